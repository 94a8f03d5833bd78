//! Reads what a schema holds that is to be copied.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection};

use crate::database::Layout;
use crate::error::Result;
use crate::sql::Identifier;
use crate::tenant::SchemaName;

pub(super) const REFUSALS: &str = include_str!("contents/refusals.sql");
const TABLES: &str = include_str!("contents/tables.sql");

/// Reasons that an error tells of.
const TOLD: usize = 3;

/// A table with rows of its own.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct SourceTable {
    pub(super) name: String,
    /// The columns that hold values.
    pub(super) columns: Vec<String>,
    /// The rows have to be written as text and read again, in the schema they are in.
    pub(super) by_text: bool,
    /// The partitioned table that it is a part of.
    pub(super) root: Option<String>,
    /// The role that sees all of its rows, where policies hide some from its owner.
    pub(super) reader: Option<String>,
}

impl SourceTable {
    /// Returns true for rows that one statement in the same database cannot copy.
    pub(super) fn goes_by_text(&self) -> bool {
        self.by_text || self.reader.is_some()
    }
}

/// The schemas that tenants share.
pub(super) fn shared(layout: &Layout) -> Vec<&str> {
    let shared = std::iter::once(&layout.master_schema).chain(&layout.extension_schemas);
    shared.map(SchemaName::as_str).collect()
}

/// The tables of a schema that can be locked, with its name in front.
pub(super) async fn lockable(connection: &mut PgConnection, schema: &SchemaName) -> Result<Vec<String>> {
    let names = members("relkind IN ('r', 'p')");
    let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(names))
        .bind(schema.as_str())
        .persistent(false)
        .fetch_all(connection)
        .await?;
    Ok(names.iter().map(|name| qualified(schema, name)).collect())
}

/// The bytes that each table of a schema has on disk, without its indexes.
pub(super) async fn sizes(
    connection: &mut PgConnection,
    schema: &SchemaName,
) -> Result<BTreeMap<String, i64>> {
    let sizes = format!(
        "SELECT name, pg_catalog.pg_table_size(pg_catalog.to_regclass(pg_catalog.format('%I.%I', $1, name))) \
         FROM ({}) AS member (name)",
        members("relkind = 'r'")
    );
    let sizes: Vec<(String, Option<i64>)> = sqlx::query_as(AssertSqlSafe(sizes))
        .bind(schema.as_str())
        .persistent(false)
        .fetch_all(connection)
        .await?;
    Ok(sizes.into_iter().map(|(name, size)| (name, size.unwrap_or_default())).collect())
}

/// A query for the names of the relations of the schema `$1`, oldest first.
pub(super) fn members(condition: &str) -> String {
    format!(
        "SELECT relname::text FROM pg_namespace AS n \
         JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n' \
         JOIN pg_class AS c ON c.oid = d.objid \
         WHERE n.nspname = $1 AND d.classid = 'pg_class'::regclass AND {condition} AND NOT EXISTS ( \
             SELECT FROM pg_depend AS e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e') \
         ORDER BY c.oid"
    )
}

pub(super) fn qualified(schema: &SchemaName, name: &str) -> String {
    format!("{}.{}", Identifier(schema.as_str()), Identifier(name))
}

/// Finds what in a schema depends on what is in a schema that is not shared.
pub(super) async fn leading_out(
    connection: &mut PgConnection,
    shared: &[&str],
    schema: &SchemaName,
) -> Result<Vec<String>> {
    reasons(connection, shared, schema, "SELECT what FROM leading_out WHERE NOT is_incoming ORDER BY what")
        .await
}

/// Asks why a schema cannot be copied beside its source, which shares some schemas with the copy.
pub(super) async fn reasons(
    connection: &mut PgConnection,
    shared: &[&str],
    schema: &SchemaName,
    select: &str,
) -> Result<Vec<String>> {
    enter(connection, schema).await?;
    let reasons = sqlx::query_scalar(AssertSqlSafe(format!("{REFUSALS} {select}")))
        .bind(schema.as_str())
        .bind(shared)
        .persistent(false)
        .fetch_all(&mut *connection)
        .await?;
    leave(connection).await?;
    Ok(reasons)
}

/// The tables whose rows may be copied.
pub(super) async fn tables(connection: &mut PgConnection, schema: &SchemaName) -> Result<Vec<SourceTable>> {
    let tables = sqlx::query_as(TABLES).bind(schema.as_str()).persistent(false);
    Ok(tables.fetch_all(connection).await?)
}

/// Has the server leave the name of the schema out of what it writes, and read catalogs by their indexes: read from one
/// end to the other, they cost more with each schema of somebody else. To compile a question takes longer than to
/// answer it.
pub(super) async fn enter(connection: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    let path = Identifier(schema.as_str());
    let settings = "SET LOCAL enable_seqscan = off; SET LOCAL jit = off";
    run(connection, &format!("SET LOCAL search_path TO {path}; {settings}")).await
}

/// Has it read tables as it likes again.
pub(super) async fn leave(connection: &mut PgConnection) -> Result<()> {
    run(connection, "RESET enable_seqscan; RESET jit").await
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

/// The first of several reasons, and how many more there are.
pub(super) fn first(reasons: &[String]) -> String {
    match reasons.len().saturating_sub(TOLD) {
        0 => reasons.join("; "),
        more => format!("{}; and {more} more", reasons[..TOLD].join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_reasons_are_told() {
        let reasons: Vec<_> = ["a", "b", "c", "d"].map(str::to_owned).into();
        assert_eq!(first(&reasons[..3]), "a; b; c");
        assert_eq!(first(&reasons), "a; b; c; and 1 more");
    }
}
