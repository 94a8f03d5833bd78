//! Objects of other schemas that depend on what is in one.

use sqlx::PgConnection;

use crate::error::{Error, ErrorKind, Result};
use crate::tenant::SchemaName;

/// The fate of objects of other schemas that depend on what is dropped, such as a view over a tenant's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dependents {
    /// They keep it from being dropped.
    Refuse,
    /// They are dropped with it.
    Drop,
}

/// Objects that are named in the error.
const NAMED: usize = 5;

/// Makes the planner go through the index of `pg_depend`, however many schemas there are beside this one. For the rest
/// of the transaction.
const BY_INDEX: &str = "SET LOCAL enable_hashjoin TO off; SET LOCAL enable_mergejoin TO off; \
                        SET LOCAL enable_seqscan TO off; SET LOCAL jit TO off";

/// Refuses a schema on which objects of other schemas depend. Inside of a transaction.
///
/// # Errors
/// [`ErrorKind::Dependents`] naming them.
pub(crate) async fn refuse_dependents(connection: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    sqlx::raw_sql(BY_INDEX).execute(&mut *connection).await?;
    let strangers: Vec<String> = sqlx::query_scalar(include_str!("dependents.sql"))
        .bind(schema.as_str())
        .fetch_all(connection)
        .await?;
    if strangers.is_empty() {
        return Ok(());
    }
    let more = match strangers.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let named = strangers[..strangers.len().min(NAMED)].join(", ");
    let message = format!("what is outside of schema `{schema}` depends on it: {named}{more}");
    Err(Error::new(ErrorKind::Dependents, message)
        .with_hint("drop them first, or have them dropped together with the schema"))
}
