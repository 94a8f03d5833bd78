//! The order to import one database, as arguments or a line of a list give it.
use std::env;

use serde::Deserialize;
use serde_json::{Map, Value};
use tenantry::tenant::{Alias, DomainName, SchemaName, Slug, TenantName, TypeName};
use tenantry::{NewTenant, SourceDatabase};

use crate::failure::Failure;
use crate::input::read_text;
use crate::setting::read_settings;

/// The choices for all databases of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choices {
    pub(super) is_without_large_objects: bool,
    pub(super) is_dry_run: bool,
}

/// A database, and the tenant that it is to become. It is not shown: the URL may hold a password.
#[derive(Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Order {
    pub(super) url: String,
    pub(super) slug: String,
    pub(super) name: Option<String>,
    #[serde(deserialize_with = "read_settings")]
    pub(super) settings: Map<String, Value>,
    pub(super) domain: Option<String>,
    pub(super) domains: Vec<String>,
    pub(super) schema: Option<String>,
    #[serde(rename = "type")]
    pub(super) type_name: Option<TypeName>,
    pub(super) database: Option<Alias>,
    pub(super) applied_through: Option<i64>,
}

impl Order {
    pub(super) fn new_tenant(&self) -> tenantry::Result<NewTenant> {
        let mut new = NewTenant::new(&self.slug);
        for (key, value) in &self.settings {
            new = new.setting(key, value.clone());
        }
        if let Some(name) = &self.name {
            new = new.name(TenantName::parse(name)?.as_str());
        }
        for domain in self.domains.iter().chain(&self.domain) {
            new = new.domain(DomainName::parse(domain)?);
        }
        if let Some(type_name) = &self.type_name {
            new = new.of_type(type_name.clone());
        }
        if let Some(database) = &self.database {
            new = new.database(database.clone());
        }
        Ok(match self.applied_through {
            Some(version) => new.applied_through(version),
            None => new,
        })
    }

    pub(super) fn source(&self, choices: Choices) -> tenantry::Result<SourceDatabase> {
        let mut source = SourceDatabase::from_url(&self.url)?;
        if let Some(schema) = &self.schema {
            source = source.schema(SchemaName::parse(schema)?);
        }
        Ok(if choices.is_without_large_objects { source.without_large_objects() } else { source })
    }

    /// Checks all that can be known without a database.
    pub(super) fn check(&self, choices: Choices) -> Result<Slug, String> {
        if self.name.is_some() && self.settings.contains_key("name") {
            return Err("the name is given twice: as `name`, and in `settings`".to_owned());
        }
        let slug = Slug::parse(&self.slug).map_err(|error| error.to_string())?;
        if self.url.is_empty() {
            return Err("there is no `url`".to_owned());
        }
        self.new_tenant().map_err(|error| error.to_string())?;
        self.source(choices).map_err(|error| error.to_string())?;
        Ok(slug)
    }
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
