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
                      WHERE e.classid = edge.refclassid AND e.objid = edge.refobjid AND e.deptype = 'e')
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlx::Connection as _;
    use tenantry_embedded::ScratchDatabase;

    use super::*;
    use crate::lifecycle::contents::tables;
    use crate::structure::{Fingerprint, Subject};

    /// Asks all that is asked of a schema that is copied, and answers with the rows of catalogs that the server has
    /// read for it.
    async fn rows_read(connection: &mut PgConnection, schema: &SchemaName) -> i64 {
        let mut tx = connection.begin().await.unwrap();
        let layout = Layout::default();
        let refusals = reasons(&mut tx, &shared(&layout), schema, "SELECT what FROM refusal").await.unwrap();
        assert_eq!(refusals, [""; 0]);
        notes(&mut tx, schema).await.unwrap();
        assert!(needed_extensions(&mut tx, schema).await.unwrap().is_empty());
        needed_shared(&mut tx, &layout, schema).await.unwrap();
        needed_servers(&mut tx, schema).await.unwrap();
        assert_eq!(tables(&mut tx, schema).await.unwrap().len(), 2);
        Fingerprint::of(&mut tx, Subject { schema, own_role: None }).await.unwrap();
        let read =
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_sys_tables
                    WHERE relname IN ('pg_depend', 'pg_class', 'pg_attribute', 'pg_constraint', 'pg_index')";
        sqlx::query_scalar(read).fetch_one(&mut *tx).await.unwrap()
    }

    #[tokio::test]
    async fn a_schema_is_read_at_the_same_cost_whatever_else_there_is() {
        let database = ScratchDatabase::create().await.unwrap();
        let make = "CREATE TABLE {}.a (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE);
                    CREATE TABLE {}.b (a bigint REFERENCES {}.a, CHECK (a > 0));";
        let mut owner = PgConnection::connect(database.url()).await.unwrap();
        let schema = SchemaName::parse("mine").unwrap();
        let mut run =
            async |sql: String| sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut owner).await.unwrap();
        run(format!("CREATE SCHEMA mine; {}", make.replace("{}", "mine"))).await;
        let mut fresh = PgConnection::connect(database.url()).await.unwrap();
        let alone = rows_read(&mut fresh, &schema).await;
        for other in 0..150 {
            let name = format!("other_{other}");
            run(format!("CREATE SCHEMA {name}; {}", make.replace("{}", &name))).await;
        }
        let mut fresh = PgConnection::connect(database.url()).await.unwrap();
        let among_others = rows_read(&mut fresh, &schema).await;
        // A scan would read some three thousand for the others.
        assert!(among_others < alone + 300, "{alone} rows alone, {among_others} among others");
    }
}
