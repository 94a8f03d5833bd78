//! Reads the facts about a schema, and about what stands outside of all schemas.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::catalog;
use super::facts::Facts;
use super::rows;
use crate::error::Result;
use crate::sql::{Identifier, Literal};
use crate::tenant::SchemaName;

const FACTS: &str = include_str!("facts.sql");

/// Catalogs of objects that no schema holds.
const OUTSIDE: [&str; 9] = [
    "pg_am",
    "pg_cast",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_language",
    "pg_publication",
    "pg_transform",
];

/// Reads everything in a schema but its ledger, with the rows of these tables.
pub(super) async fn of_schema(
    connection: &mut PgConnection,
    schema: &SchemaName,
    with_rows: &[String],
) -> Result<Facts> {
    let name = schema.as_str();
    let members = format!(
        "SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass::oid, oid FROM pg_catalog.pg_namespace \
         WHERE nspname = {}",
        Literal(name)
    );
    let mut tx = connection.begin().await?;
    let mut facts = Facts::default();
    read(&mut tx, name, &members, "true", &mut facts).await?;
    for (sequence, fact) in positions(&mut tx, schema).await? {
        facts.add(name, &format!("sequence {name}.{sequence}"), vec![fact], Vec::new());
    }
    for table in with_rows {
        let about = rows::facts(&mut tx, schema, table).await?;
        facts.add(name, &format!("rows of table {name}.{}", Identifier(table)), about, Vec::new());
    }
    tx.rollback().await?;
    Ok(facts)
}

/// Reads what stands outside of the schemas of tenants: extensions, casts, publications, settings, and what is directly
/// in these schemas. Roles belong to the whole server, where others make them at the same time.
pub(super) async fn of_database(
    connection: &mut PgConnection,
    own: &SchemaName,
    shared_schemas: &[&str],
) -> Result<Facts> {
    let all = |catalog: &str, rows: &str| {
        format!("SELECT 'pg_catalog.{catalog}'::pg_catalog.regclass::oid, oid FROM pg_catalog.{rows}")
    };
    let shared: Vec<_> = shared_schemas.iter().map(|schema| Literal(schema).to_string()).collect();
    let mut members: Vec<_> = OUTSIDE.iter().map(|catalog| all(catalog, catalog)).collect();
    members.extend([
        all("pg_database", "pg_database WHERE datname = pg_catalog.current_database()"),
        all("pg_largeobject", "pg_largeobject_metadata"),
        // Only a superuser reads the catalog itself, for it holds passwords.
        all("pg_user_mapping", "pg_user_mappings").replace(", oid", ", umid"),
        all("pg_default_acl", "pg_default_acl WHERE defaclnamespace = 0"),
        all("pg_namespace", "pg_namespace WHERE nspname !~ '^(t_|tenantry|pg_)'"),
        format!(
            "SELECT classid, objid FROM pg_catalog.pg_depend \
             WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid IN \
                 (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname IN ({})) \
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_class \
                     WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND pg_class.oid = objid \
                         AND relname = '_sqlx_migrations')",
            shared.join(", ")
        ),
    ]);
    let mut tx = connection.begin().await?;
    let mut facts = Facts::default();
    read(&mut tx, own.as_str(), &members.join(" UNION ALL "), "false", &mut facts).await?;
    let settings: Vec<(String, Vec<String>)> = sqlx::query_as(
        "SELECT pg_catalog.concat_ws(' ', 'settings of', 'role ' || rolname, 'database ' || datname), setconfig \
         FROM pg_catalog.pg_db_role_setting LEFT JOIN pg_catalog.pg_roles ON pg_roles.oid = setrole \
         LEFT JOIN pg_catalog.pg_database ON pg_database.oid = setdatabase \
         WHERE datname = pg_catalog.current_database() OR (setdatabase = 0 AND rolname = current_user)",
    )
    .fetch_all(&mut *tx)
    .await?;
    for (object, values) in settings {
        facts.add(own.as_str(), &object, values, Vec::new());
    }
    tx.rollback().await?;
    Ok(facts)
}

/// Reads with nothing in the path, so that everything says its schema.
async fn read(
    connection: &mut PgConnection,
    schema: &str,
    members: &str,
    follow: &str,
    facts: &mut Facts,
) -> Result<()> {
    sqlx::raw_sql("SET LOCAL search_path TO ''").execute(&mut *connection).await?;
    let version: i32 = sqlx::query_scalar("SELECT pg_catalog.current_setting('server_version_num')::int")
        .fetch_one(&mut *connection)
        .await?;
    let query = FACTS
        .replace("/* members */", members)
        .replace("/* follow */", follow)
        .replace("/* rows */", &catalog::rows(version));
    let rows = sqlx::query(AssertSqlSafe(query)).persistent(false).fetch_all(connection).await?;
    for row in rows {
        facts.add(schema, row.try_get("object")?, row.try_get("exact")?, row.try_get("written")?);
    }
    Ok(())
}

/// Of each sequence, the number that it gives next.
async fn positions(connection: &mut PgConnection, schema: &SchemaName) -> Result<Vec<(String, String)>> {
    let sequences: Vec<(String, String)> = sqlx::query_as(
        "SELECT relname::text, pg_catalog.quote_ident(relname) FROM pg_catalog.pg_class \
         JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = $1 AND relkind = 'S'",
    )
    .bind(schema.as_str())
    .fetch_all(&mut *connection)
    .await?;
    let mut positions = Vec::new();
    for (sequence, quoted) in sequences {
        let name = format!("{}.{}", Identifier(schema.as_str()), Identifier(&sequence));
        let query = format!("SELECT 'position ' || last_value || ' ' || is_called FROM {name}");
        let position = sqlx::query_scalar(AssertSqlSafe(query)).persistent(false).fetch_one(&mut *connection);
        positions.push((quoted, position.await?));
    }
    Ok(positions)
}
