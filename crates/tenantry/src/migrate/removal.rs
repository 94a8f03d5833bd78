use sqlx::{AssertSqlSafe, Postgres, Transaction};

use crate::error::Result;
use crate::registry::applied;
use crate::sql::Identifier;
use crate::tenant::SchemaName;

/// Drops a schema, if it is there, and forgets what it had applied: both or neither, which is why it takes a
/// transaction.
pub(crate) async fn drop_schema(tx: &mut Transaction<'_, Postgres>, schema: &SchemaName) -> Result<()> {
    let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", Identifier(schema.as_str()));
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut **tx).await?;
    applied::forget(tx, schema).await
}
