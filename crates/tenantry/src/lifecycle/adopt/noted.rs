//! Reads what other tools have noted, and leaves it alone.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::database::Layout;
use crate::migration::FOREIGN_LEDGERS;
use crate::registry::LEDGER;
use crate::sql::Identifier;
use crate::tenant::SchemaName;

/// The newest version that a tool has noted.
#[derive(Clone, Debug)]
pub(super) struct Noted {
    pub(super) tool: &'static str,
    /// The full name of the table in which it has.
    pub(super) ledger: String,
    pub(super) version: Option<String>,
    /// True if it is a table that a migration here goes on with.
    pub(super) is_own: bool,
}

/// Reads the ledger in a schema. A table that only has the name of one, or that may not be read, is none.
pub(super) async fn noted_in(
    connection: &mut PgConnection,
    schema: &SchemaName,
    tables: &[String],
) -> Option<Noted> {
    for ledger in FOREIGN_LEDGERS.iter().filter(|ledger| tables.iter().any(|it| it == ledger.table)) {
        let name = format!("{}.{}", Identifier(schema.as_str()), Identifier(ledger.table));
        let query = sqlx::query_scalar(AssertSqlSafe(ledger.newest.replace("{}", &name))).persistent(false);
        if let Ok(version) = query.fetch_optional(&mut *connection).await {
            let (tool, is_own) = (ledger.tool, ledger.table == LEDGER);
            let version: Option<String> = version.flatten();
            // One that is empty says nothing, which another may say better.
            if version.is_some() {
                return Some(Noted { tool, ledger: format!("{schema}.{}", ledger.table), version, is_own });
            }
        }
    }
    None
}

/// Reads the ledger that a tool keeps for all schemas, in `public` or where shared tables live.
pub(super) async fn noted_in_shared(connection: &mut PgConnection, layout: &Layout) -> Option<Noted> {
    let public = SchemaName::parse("public").ok();
    for schema in std::iter::once(&layout.master_schema).chain(public.as_ref()) {
        // sqlx's own would be that of the master schema.
        let tables = FOREIGN_LEDGERS.iter().map(|ledger| ledger.table).filter(|table| *table != LEDGER);
        let tables: Vec<_> = tables.map(str::to_owned).collect();
        let is_there = sqlx::query_scalar(
            "SELECT relname::text FROM pg_catalog.pg_class
             JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
             WHERE nspname = $1 AND relname = ANY ($2)",
        );
        let there: Vec<String> = is_there
            .bind(schema.as_str())
            .bind(&tables)
            .fetch_all(&mut *connection)
            .await
            .unwrap_or_default();
        if let Some(noted) = noted_in(connection, schema, &there).await {
            return Some(noted);
        }
    }
    None
}
