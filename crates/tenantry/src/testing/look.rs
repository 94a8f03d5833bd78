//! The questions of what is in a database, and of what is new in it since a moment.
//!
//! Whatever a transaction has written since then carries a number of a transaction that is not older. So what is new is
//! found without comparing anything, and only what is gone has to be looked for among what there was.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Row as _};

use crate::error::{Error, ErrorKind, Result};
use crate::pool::MasterDb;
use crate::registry::schemas_in_use::{OF_SPARES, OF_TENANTS};
use crate::sql::{Identifier, Literal};

/// A table, by schema and name.
pub(super) type TableName = (String, String);

/// Everything that was there when a template was finished.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct TemplateState {
    /// The number of the first transaction after it, without its epoch.
    pub(super) mark: String,
    pub(super) schemas: Vec<String>,
    /// Schema, kind and name.
    pub(super) objects: Vec<(String, String, String)>,
    /// The tables that have room for rows, with their number.
    pub(super) rows: Vec<(TableName, i64)>,
    /// The sequences that have been used, with their last number.
    pub(super) sequences: Vec<(TableName, i64)>,
    /// Slug and schema.
    pub(super) tenants: Vec<(String, String)>,
}

/// The state at the end of a test, with what of it is new.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndState {
    pub(super) schemas: Vec<(String, bool)>,
    /// Schema, kind and name of what is new or was altered.
    pub(super) fresh: Vec<(String, String, String)>,
    /// The number of objects of each kind in each schema.
    pub(super) counts: Vec<(String, String, i64)>,
    /// The tables that have room for rows.
    pub(super) filled: Vec<TableName>,
    pub(super) sequences: Vec<(TableName, i64)>,
    pub(super) tenants: Vec<(String, String)>,
    pub(super) spares: Vec<String>,
    /// The functions that may write, by name.
    pub(super) writing_functions: Vec<String>,
    /// Settings of the whole database.
    pub(super) settings: Vec<String>,
    /// Open transactions of others, by the last statement of each.
    pub(super) transactions: Vec<String>,
    /// Advisory locks, by the last statement of those who hold them.
    pub(super) locks: Vec<String>,
}

/// The rows of a table, and those of them that are new.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct RowCount {
    pub(super) table: TableName,
    pub(super) all: i64,
    pub(super) fresh: i64,
}

/// The objects of all schemas but those of the server and of the registry.
const OBJECTS: &str = "
    place AS MATERIALIZED (
        SELECT oid, nspname::text AS schema, xmin FROM pg_catalog.pg_namespace
        WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'tenantry')
    ), relation AS MATERIALIZED (
        SELECT pg_class.oid, schema, relname::text AS name, relkind, pg_class.xmin
        FROM pg_catalog.pg_class JOIN place ON relnamespace = place.oid WHERE relkind <> 't'
    ), object AS MATERIALIZED (
        SELECT schema, CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
                WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'c' THEN 'type' WHEN 'f' THEN 'foreign table'
                ELSE 'table' END AS kind, name, xmin
            FROM relation
        UNION ALL SELECT schema, 'type', typname::text, pg_type.xmin
            FROM pg_catalog.pg_type JOIN place ON typnamespace = place.oid WHERE typtype IN ('d', 'e', 'r')
        UNION ALL SELECT schema, 'function', proname::text, pg_proc.xmin
            FROM pg_catalog.pg_proc JOIN place ON pronamespace = place.oid
        UNION ALL SELECT schema, 'constraint', conname::text, pg_constraint.xmin
            FROM pg_catalog.pg_constraint JOIN place ON connamespace = place.oid
        UNION ALL SELECT schema, 'trigger', tgname::text, pg_trigger.xmin
            FROM pg_catalog.pg_trigger JOIN relation ON tgrelid = relation.oid WHERE NOT tgisinternal
    )";

/// The parts of objects, which are told as a change of these.
const PARTS: &str = "
    part AS (
        SELECT schema, 'table' AS kind, name, pg_attribute.xmin
            FROM pg_catalog.pg_attribute JOIN relation ON attrelid = relation.oid
            WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND attnum > 0
        UNION ALL SELECT schema, 'table', name, pg_attrdef.xmin
            FROM pg_catalog.pg_attrdef JOIN relation ON adrelid = relation.oid
        UNION ALL SELECT schema, 'table', name, pg_policy.xmin
            FROM pg_catalog.pg_policy JOIN relation ON polrelid = relation.oid
        UNION ALL SELECT schema, CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END, name, pg_rewrite.xmin
            FROM pg_catalog.pg_rewrite JOIN relation ON ev_class = relation.oid
        UNION ALL SELECT schema, 'type', typname::text, pg_enum.xmin
            FROM pg_catalog.pg_enum JOIN pg_catalog.pg_type ON enumtypid = pg_type.oid
            JOIN place ON typnamespace = place.oid
    )";

/// Questions about the rows of every database.
const FACTS: &str = "
    'filled', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(schema, name)) FROM relation
        WHERE relkind IN ('r', 'm') AND pg_catalog.pg_relation_size(oid) > 0),
    'sequences', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
            pg_catalog.json_build_array(schema, name), last)) FROM (
            SELECT schema, name, CASE relkind WHEN 'S' THEN
                CASE WHEN pg_catalog.has_sequence_privilege(oid, 'USAGE, SELECT')
                    THEN pg_catalog.pg_sequence_last_value(oid) END END AS last FROM relation
        ) AS used WHERE last IS NOT NULL)";

/// Questions about what others do at the end of a test.
const SESSIONS: &str = "
    'writing_functions', (SELECT pg_catalog.json_agg(DISTINCT proname)
        FROM pg_catalog.pg_proc JOIN place ON pronamespace = place.oid WHERE provolatile = 'v'),
    'settings', (SELECT pg_catalog.json_agg(setting)
        FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) AS setting
        WHERE setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())),
    'transactions', (SELECT pg_catalog.json_agg(pg_catalog.left(query, 100)) FROM pg_catalog.pg_stat_activity
        WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
          AND state LIKE 'idle in transaction%'),
    'locks', (SELECT pg_catalog.json_agg(pg_catalog.left(query, 100))
        FROM pg_catalog.pg_locks JOIN pg_catalog.pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND datname = pg_catalog.current_database())";

/// Looks at everything, for a test to be compared with.
pub(super) async fn look_at_all(master: &MasterDb) -> Result<TemplateState> {
    let sql = format!(
        "WITH {OBJECTS} SELECT pg_catalog.json_strip_nulls(pg_catalog.json_build_object(
            'mark', ((pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::numeric) % 4294967296)::text,
            'schemas', (SELECT pg_catalog.json_agg(schema) FROM place),
            'objects', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(schema, kind, name)) FROM object),
            'tenants', ({OF_TENANTS}), {FACTS}))::text"
    );
    let seen: WholeState = ask(master, sql).await?;
    let counts = count_rows(master, &seen.filled, None).await?;
    let rows = counts.into_iter().map(|count| (count.table, count.all)).collect();
    let WholeState { mark, schemas, objects, sequences, tenants, .. } = seen;
    Ok(TemplateState { mark, schemas, objects, rows, sequences, tenants })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WholeState {
    mark: String,
    schemas: Vec<String>,
    objects: Vec<(String, String, String)>,
    filled: Vec<TableName>,
    sequences: Vec<(TableName, i64)>,
    tenants: Vec<(String, String)>,
}

/// Looks at what is new.
pub(super) async fn look_at_news(master: &MasterDb, mark: &str) -> Result<EndState> {
    let fresh = is_fresh(mark);
    let sql = format!(
        "WITH {OBJECTS}, {PARTS} SELECT pg_catalog.json_strip_nulls(pg_catalog.json_build_object(
            'schemas', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(schema, {fresh})) FROM place),
            'fresh', (SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array(schema, kind, name))
                FROM (SELECT * FROM object UNION ALL SELECT * FROM part) AS it WHERE {fresh}),
            'counts', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(schema, kind, count)) FROM
                (SELECT schema, kind, pg_catalog.count(*) FROM object GROUP BY schema, kind) AS it),
            'tenants', ({OF_TENANTS}), 'spares', ({OF_SPARES}), {FACTS}, {SESSIONS}))::text"
    );
    ask(master, sql).await
}

/// The names of all objects.
pub(super) async fn names(master: &MasterDb) -> Result<Vec<(String, String, String)>> {
    let sql = format!(
        "WITH {OBJECTS} SELECT pg_catalog.json_agg(pg_catalog.json_build_array(schema, kind, name))::text FROM object"
    );
    ask(master, sql).await
}

/// Counts the rows of tables, and those that are new since a moment.
pub(super) async fn count_rows(
    master: &MasterDb,
    tables: &[TableName],
    mark: Option<&str>,
) -> Result<Vec<RowCount>> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let fresh = mark.map_or_else(|| "false".to_owned(), is_fresh);
    let counts = tables.iter().map(|(schema, name)| {
        format!(
            "SELECT pg_catalog.json_build_object('table', pg_catalog.json_build_array({}, {}), \
                 'all', pg_catalog.count(*), 'fresh', pg_catalog.count(*) FILTER (WHERE {fresh})) AS it FROM {}.{}",
            Literal(schema),
            Literal(name),
            Identifier(schema),
            Identifier(name)
        )
    });
    let counts = counts.collect::<Vec<_>>().join(" UNION ALL ");
    ask(master, format!("SELECT pg_catalog.json_agg(it)::text FROM ({counts}) AS counts")).await
}

/// The condition that a row was written since a moment.
fn is_fresh(mark: &str) -> String {
    format!("pg_catalog.age(xmin) <= pg_catalog.age({}::pg_catalog.xid)", Literal(mark))
}

async fn ask<T: DeserializeOwned>(master: &MasterDb, sql: String) -> Result<T> {
    // One round trip, since nothing is prepared.
    let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(master).await?;
    let json: Option<String> = row.map(|row| row.try_get(0)).transpose()?.flatten();
    let json = json.unwrap_or_else(|| "[]".to_owned());
    serde_json::from_str(&json).map_err(|error| {
        Error::new(ErrorKind::Database, "the server does not tell what is in the database").with_source(error)
    })
}
