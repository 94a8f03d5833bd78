//! The rows that migrations leave in tables.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::error::Result;
use crate::migrate::site::Site;
use crate::sql::{Identifier, Literal};
use crate::tenant::SchemaName;

/// A table of a schema, and how its rows can be seen.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Table {
    pub(super) name: String,
    /// Its policies are for its owner, too.
    pub(super) is_forced: bool,
}

/// Tables that hold rows, in the order of their names.
///
/// Policies are lifted for a moment, since they may hide rows from the owner, too. What the tables' indexes and
/// policies call is found where the migrations' own statements find it.
pub(super) async fn tables_with_rows(connection: &mut PgConnection, site: Site<'_>) -> Result<Vec<String>> {
    let mut tx = connection.begin().await?;
    // A table without a page has no row. Those of another access method may keep them elsewhere.
    let tables: Vec<Table> = sqlx::query_as(
        "SELECT relname::text AS name, relforcerowsecurity AS is_forced FROM pg_catalog.pg_class \
         JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace \
         LEFT JOIN pg_catalog.pg_am ON pg_am.oid = relam \
         WHERE nspname = $1 AND relkind = 'r' AND relname <> '_sqlx_migrations' \
             AND (pg_catalog.pg_relation_size(pg_class.oid) > 0 OR amname IS DISTINCT FROM 'heap') \
         ORDER BY relname COLLATE \"C\"",
    )
    .bind(site.schema.as_str())
    .fetch_all(&mut *tx)
    .await?;
    let mut message = site.enter("SET LOCAL").to_vec();
    // A policy that is not lifted is an error.
    message.push("SET LOCAL row_security = off".to_owned());
    message.extend(tables.iter().filter(|table| table.is_forced).map(|table| lift(site.schema, &table.name)));
    sqlx::raw_sql(AssertSqlSafe(message.join(";\n"))).execute(&mut *tx).await?;
    let mut with_rows = Vec::new();
    for Table { name, .. } in tables {
        let exists = format!("SELECT EXISTS (SELECT FROM ONLY {})", qualified(site.schema, &name));
        if sqlx::query_scalar(AssertSqlSafe(exists)).persistent(false).fetch_one(&mut *tx).await? {
            with_rows.push(name);
        }
    }
    tx.rollback().await?;
    Ok(with_rows)
}

/// Returns true if the schema has a table of this name that can hold rows.
pub(super) async fn is_there(
    connection: &mut PgConnection,
    schema: &SchemaName,
    table: &str,
) -> Result<bool> {
    let query = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace \
             ON pg_namespace.oid = relnamespace WHERE nspname = $1 AND relname = $2 AND relkind = 'r')",
    );
    Ok(query.bind(schema.as_str()).bind(table).fetch_one(connection).await?)
}

/// All tables but the ledger.
pub(super) async fn tables(connection: &mut PgConnection, schema: &SchemaName) -> Result<Vec<Table>> {
    let tables = sqlx::query_as(
        "SELECT relname::text AS name, relforcerowsecurity AS is_forced FROM pg_catalog.pg_class \
         JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace \
         WHERE nspname = $1 AND relkind IN ('r', 'p') AND relname <> '_sqlx_migrations' ORDER BY 1",
    );
    Ok(tables.bind(schema.as_str()).fetch_all(connection).await?)
}

/// Lets the owner of a table see all of its rows.
pub(super) fn lift(schema: &SchemaName, table: &str) -> String {
    format!("ALTER TABLE ONLY {} NO FORCE ROW LEVEL SECURITY", qualified(schema, table))
}

/// Undoes [`lift`].
pub(super) fn force(schema: &SchemaName, table: &str) -> String {
    format!("ALTER TABLE ONLY {} FORCE ROW LEVEL SECURITY", qualified(schema, table))
}

/// Facts about the rows of a table: how many, and a hash of each column and of all, for a transaction that is
/// undone.
pub(super) async fn facts(
    connection: &mut PgConnection,
    schema: &SchemaName,
    table: &str,
) -> Result<Vec<String>> {
    let name = qualified(schema, table);
    // Each column by itself: where one is another, the others can be compared.
    let columns: Vec<(String, bool)> = sqlx::query_as(
        "SELECT attname::text, typcategory = 'D' OR typname = 'uuid' FROM pg_catalog.pg_attribute \
         JOIN pg_catalog.pg_type ON pg_type.oid = atttypid \
         WHERE attrelid = pg_catalog.to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    )
    .bind(&name)
    .fetch_all(&mut *connection)
    .await?;
    let list: Vec<_> = columns.iter().map(|(column, _)| format!("{}", Identifier(column))).collect();
    let hash = |value: &str| {
        let value = format!("pg_catalog.replace(({value})::text, {}, '')", Literal(schema.as_str()));
        format!("pg_catalog.md5(pg_catalog.string_agg({value}, E'\\n' ORDER BY {value} COLLATE \"C\"))")
    };
    let mut facts = vec!["'count ' || pg_catalog.count(*)".to_owned()];
    facts.push(format!("'rows ' || {}", hash(&format!("ROW({})", list.join(", ")))));
    for (column, is_moment) in &columns {
        let key = if *is_moment { "moment" } else { "column" };
        let text = Literal(&format!("{key} {column} ")).to_string();
        facts.push(format!("{text} || {}", hash(&Identifier(column).to_string())));
    }
    let policies_off = format!("SET LOCAL row_security = off; {}", lift(schema, table));
    sqlx::raw_sql(AssertSqlSafe(policies_off)).execute(&mut *connection).await?;
    let query = format!("SELECT pg_catalog.array_remove(ARRAY[{}], NULL) FROM ONLY {name}", facts.join(", "));
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).persistent(false).fetch_one(connection).await?)
}

fn qualified(schema: &SchemaName, table: &str) -> String {
    format!("{}.{}", Identifier(schema.as_str()), Identifier(table))
}
