//! Looks for what cannot be carried.

use sqlx::{AssertSqlSafe, PgConnection};

use super::purpose::ReadFor;
use crate::database::Layout;
use crate::error::{ErrorKind, Result};
use crate::lifecycle::contents::{REFUSALS, enter, first, leave, reasons, shared};
use crate::lifecycle::needs::NeededExtension;
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
    let reasons = reasons(connection, &purpose.shared(layout), source.schema(), select).await?;
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
pub(in crate::lifecycle) async fn needed_extensions(
    connection: &mut PgConnection,
    schema: &SchemaName,
) -> Result<Vec<NeededExtension>> {
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

/// The tables, views and sequences of shared schemas that the schema depends on, as the server writes their names.
pub(in crate::lifecycle) async fn needed_shared(
    connection: &mut PgConnection,
    layout: &Layout,
    schema: &SchemaName,
) -> Result<Vec<String>> {
    let select = "SELECT DISTINCT format('%I.%I', n.nspname, c.relname) FROM edge
                  JOIN pg_class AS c ON refclassid = 'pg_class'::regclass AND c.oid = refobjid
                  JOIN pg_namespace AS n ON n.oid = relnamespace
                  WHERE n.nspname = ANY ($2) AND NOT EXISTS (
                      SELECT FROM pg_depend AS e
                      WHERE e.classid = refclassid AND e.objid = refobjid AND e.deptype = 'e')
                  ORDER BY 1";
    reasons(connection, &shared(layout), schema, select).await
}

/// The foreign servers that tables of the schema are of.
pub(in crate::lifecycle) async fn needed_servers(
    connection: &mut PgConnection,
    schema: &SchemaName,
) -> Result<Vec<String>> {
    let select = "SELECT DISTINCT srvname::text FROM edge
                  JOIN pg_foreign_server AS s ON refclassid = 'pg_foreign_server'::regclass AND s.oid = refobjid
                  ORDER BY 1";
    reasons(connection, &[], schema, select).await
}
