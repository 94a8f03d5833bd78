//! A database that `import` makes a tenant of.
use std::env;

use tenantry::tenant::{SchemaName, Slug};
use tenantry::{NewTenant, SourceDatabase};

use crate::failure::Failure;
use crate::input::read_text;
use crate::order::Order;

/// The choices for all databases of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choices {
    pub(super) is_without_large_objects: bool,
    pub(super) is_without_other_schemas: bool,
    pub(super) is_dry_run: bool,
}

pub(super) fn new_tenant(order: &Order) -> tenantry::Result<NewTenant> {
    let new = order.named()?;
    Ok(match order.applied_through {
        Some(version) => new.applied_through(version),
        None => new,
    })
}

pub(super) fn source(order: &Order, choices: Choices) -> tenantry::Result<SourceDatabase> {
    let mut source = SourceDatabase::from_url(url(order))?;
    if let Some(schema) = &order.schema {
        source = source.schema(SchemaName::parse(schema)?);
    }
    if choices.is_without_large_objects {
        source = source.without_large_objects();
    }
    Ok(if choices.is_without_other_schemas { source.without_other_schemas() } else { source })
}

/// The database to import; an order without one does not pass [`check`].
pub(super) fn url(order: &Order) -> &str {
    order.url.as_deref().unwrap_or_default()
}

/// Checks all that can be known without a database.
pub(super) fn check(order: &Order, choices: Choices) -> Result<Slug, String> {
    let slug = order.check()?;
    if url(order).is_empty() {
        return Err("there is no `url`".to_owned());
    }
    source(order, choices).map_err(|error| error.to_string())?;
    Ok(slug)
}

/// The URL that is typed, or that is in a variable or on stdin, where nobody else sees it.
pub(super) fn read_url(text: &str) -> anyhow::Result<String> {
    if text == "-" {
        return Ok(read_text(None)?.trim().to_owned());
    }
    match text.strip_prefix("env:") {
        None => Ok(text.to_owned()),
        Some(name) => env::var(name).map_err(|_| {
            Failure::usage(format!("there is no variable `{name}` with the URL of a database")).into()
        }),
    }
}
