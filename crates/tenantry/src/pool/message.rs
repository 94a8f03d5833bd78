//! Sends messages of statements without parameters.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::error::Result;
use crate::sql::SearchPathValue;

/// Sends one message, and answers with the first column of the last row. A failing statement ends the message.
pub(super) async fn send(connection: &mut PgConnection, message: &str) -> Result<Option<String>> {
    let mut last_row = None;
    let mut results = sqlx::raw_sql(AssertSqlSafe(message)).fetch_many(connection);
    while let Some(result) = results.try_next().await? {
        // Only the last one is text for sure: `pg_advisory_unlock_all()` answers with a `void`.
        last_row = result.right().or(last_row);
    }
    match last_row {
        Some(row) => Ok(row.try_get(0)?),
        None => Ok(None),
    }
}

/// Leads a session to a schema, and returns true if the server confirms that it is there.
pub(super) async fn enter(connection: &mut PgConnection, path: &SearchPathValue<'_>) -> Result<bool> {
    let message = format!("SET search_path TO {path}; SELECT pg_catalog.current_schema()");
    Ok(send(connection, &message).await?.as_deref() == Some(path.schema.as_str()))
}
