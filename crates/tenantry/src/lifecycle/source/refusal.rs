//! Looks for what cannot be carried.

#[cfg(feature = "archive")]
use sqlx::AssertSqlSafe;
use sqlx::PgConnection;

use super::purpose::ReadFor;
#[cfg(feature = "archive")]
use crate::archive::ArchivedExtension;
use crate::database::Layout;
use crate::error::{ErrorKind, Result};
#[cfg(feature = "archive")]
use crate::lifecycle::contents::REFUSALS;
use crate::lifecycle::contents::{enter, first, leave, reasons, shared};
use crate::tenant::{SchemaName, Tenant};

const NOTES: &str = include_str!("notes.sql");

/// # Errors
/// [`ErrorKind::Unsupported`] with what cannot be copied. Nothing was made yet.
pub(super) async fn refuse(
    connection: &mut PgConnection,
    layout: &Layout,
    source: &Tenant,
    purpose: ReadFor,
) -> Result<()> {
    let select = "SELECT what FROM refusal ORDER BY what";
    let reasons = reasons(connection, &shared(layout), source.schema(), select).await?;
    if reasons.is_empty() {
        return Ok(());
    }
    Err(purpose.refused(source, ErrorKind::Unsupported, first(&reasons)).with_hint(purpose.reason()))
}

/// Tells what the copy is without.
pub(in crate::lifecycle) async fn notes(
    connection: &mut PgConnection,
    schema: &SchemaName,
) -> Result<Vec<String>> {
    enter(connection, schema).await?;
    let notes = sqlx::query_scalar(NOTES).bind(schema.as_str()).persistent(false);
    let notes = notes.fetch_all(&mut *connection).await?;
    leave(connection).await?;
    Ok(notes)
}

/// The extensions that own something which the schema depends on.
#[cfg(feature = "archive")]
pub(in crate::lifecycle) async fn needed_extensions(
    connection: &mut PgConnection,
    schema: &SchemaName,
) -> Result<Vec<ArchivedExtension>> {
    enter(connection, schema).await?;
    let select = "SELECT name, schema, version FROM needed_extension ORDER BY name";
    let extensions = sqlx::query_as(AssertSqlSafe(format!("{REFUSALS} {select}")))
        .bind(schema.as_str())
        .bind([""; 0])
        .persistent(false)
        .fetch_all(&mut *connection)
        .await?;
    leave(connection).await?;
    Ok(extensions)
}
