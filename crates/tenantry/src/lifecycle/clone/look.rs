//! Looks at the schema that is to be cloned.

use sqlx::PgConnection;

use super::options::CloneOptions;
use crate::database::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::{SourceTable, enter, first, reasons, shared};
use crate::tenant::{SchemaName, Tenant};

const NOTES: &str = include_str!("notes.sql");

/// # Errors
/// [`ErrorKind::Unsupported`] with what cannot be copied. Nothing was made yet.
pub(super) async fn refuse(connection: &mut PgConnection, layout: &Layout, source: &Tenant) -> Result<()> {
    let select = "SELECT what FROM refusal ORDER BY what";
    let reasons = reasons(connection, &shared(layout), source.schema(), select).await?;
    if reasons.is_empty() {
        return Ok(());
    }
    let message = format!("tenant `{}` cannot be cloned: {}", source.slug(), first(&reasons));
    Err(Error::new(ErrorKind::Unsupported, message)
        .with_tenant(source.slug())
        .with_hint("a clone would be without it, or go on depending on its source"))
}

/// Tells what the copy is without.
pub(super) async fn notes(connection: &mut PgConnection, schema: &SchemaName) -> Result<Vec<String>> {
    enter(connection, schema).await?;
    let notes = sqlx::query_scalar(NOTES).bind(schema.as_str()).persistent(false);
    Ok(notes.fetch_all(connection).await?)
}

/// # Errors
/// [`ErrorKind::InvalidInput`] for a name of the options that no table has.
pub(super) fn check_names(options: &CloneOptions, tables: &[SourceTable]) -> Result<()> {
    let is_known = |name: &&String| {
        tables.iter().any(|table| table.name == **name || table.root.as_ref() == Some(*name))
    };
    match options.named().iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => {
            let message = format!("there is no table `{name}` with rows in the tenant that is to be cloned");
            Err(Error::new(ErrorKind::InvalidInput, message))
        }
    }
}
