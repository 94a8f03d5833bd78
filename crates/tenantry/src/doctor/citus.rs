//! Tells whether the server is of the kind that the configuration names, and what is wrong where it is Citus.

use sqlx::Row as _;

use super::finding::Told;
use super::{Check, Finding, Patient};
use crate::database::Engine;
use crate::pool::Opener;
use crate::tenant::Node;

/// Tables that the finding about keys names.
const NAMED: i64 = 5;

/// The database, by what it is and by what it is said to be.
pub(super) async fn look(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let is_citus = is_coordinator(patient).await?;
    let (problem, mend) = match (patient.config.named_engine(), is_citus) {
        (Engine::Citus, false) => (
            "`engine = \"citus\"` is configured, and the database is no coordinator of Citus",
            "CREATE EXTENSION citus; SELECT citus_add_node('host', 5432) -- or leave `engine` out",
        ),
        (Engine::Postgres, true) => (
            "`engine = \"postgres\"` is configured, and the database is a coordinator of Citus",
            "leave `engine` out, or name another database",
        ),
        (_, false) => return Ok(Vec::new()),
        (_, true) => return look_at_citus(patient).await,
    };
    let why = "no schema is made or migrated there";
    Ok(vec![patient.error(Check::Engine, problem, why).mend_by(mend)])
}

/// Not in one statement: the table of the nodes is there with the extension alone.
async fn is_coordinator(patient: &mut Patient<'_>) -> Result<bool, sqlx::Error> {
    let extension = "SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'citus'";
    Ok(!patient.catalog.rows(extension).await?.is_empty()
        && !patient.catalog.rows("SELECT 1 FROM pg_catalog.pg_dist_node LIMIT 1").await?.is_empty())
}

async fn look_at_citus(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = inactive_nodes(patient).await?;
    findings.extend(unreachable_workers(patient).await?);
    findings.extend(settings(patient).await?);
    findings.extend(left_over(patient).await?);
    findings.extend(not_distributed(patient).await?);
    findings.extend(without_key(patient).await?);
    Ok(findings)
}

async fn inactive_nodes(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let query = "SELECT nodename::text AS host, nodeport AS port FROM pg_catalog.pg_dist_node \
                 WHERE NOT isactive ORDER BY 1, 2";
    let mut told = Told::default();
    for row in patient.catalog.rows(query).await? {
        let (host, port): (&str, i32) = (row.try_get("host")?, row.try_get("port")?);
        let what = format!("the node {host}:{port} of Citus is not active");
        let why = "tenants whose tables are there are not served, and no tenant is made there";
        let mend = format!("SELECT citus_activate_node('{host}', {port})");
        told.push(patient.error(Check::CitusNode, what, why).mend_by(mend));
    }
    Ok(told.finish())
}

/// Workers that statements are to go to, and that are not reached from here.
async fn unreachable_workers(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    if !patient.config.routes_to_workers() {
        return Ok(Vec::new());
    }
    let query = "SELECT nodename::text AS host, nodeport AS port FROM pg_catalog.pg_dist_node \
                 WHERE isactive AND shouldhaveshards AND noderole = 'primary' ORDER BY 1, 2";
    let application = Opener::of_application(patient.alias, patient.config);
    let mut told = Told::default();
    for row in patient.catalog.rows(query).await? {
        let (host, port): (&str, i32) = (row.try_get("host")?, row.try_get("port")?);
        let node = Node::new(host, u16::try_from(port).unwrap_or_default());
        let Some(opener) = application.to_node(&node) else { continue };
        let Err(error) = opener.open().await.map(drop) else { continue };
        let what = format!("the worker {node} cannot be used from here: {error:#}");
        let why = "`route_to_workers` is on, so the tenants whose tables are there are not served";
        let mend = error.hint().unwrap_or("check that the server runs there, and lets this machine in");
        told.push(patient.error(Check::CitusNode, what, why).mend_by(mend));
    }
    Ok(told.finish())
}

/// Settings that the installation has made for all.
async fn settings(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let query = "SELECT pg_catalog.current_setting('wal_level') AS wal_level, \
                 coalesce(pg_catalog.current_setting('citus.enable_schema_based_sharding', true), 'off') AS sharding";
    let mut findings = Vec::new();
    for row in patient.catalog.rows(query).await? {
        let (wal_level, sharding): (&str, &str) = (row.try_get("wal_level")?, row.try_get("sharding")?);
        if wal_level != "logical" {
            let what = format!("`wal_level` is `{wal_level}`");
            let why = "a tenant that is moved to another node cannot be written meanwhile";
            let mend = "set `wal_level = logical` on all nodes, and restart them";
            findings.push(patient.warning(Check::CitusSetting, what, why).mend_by(mend));
        }
        if sharding == "on" {
            let what = "`citus.enable_schema_based_sharding` is on in this database";
            let why = "schemas that others make are distributed unasked; those of Tenantry are not";
            let mend = "ALTER DATABASE … RESET citus.enable_schema_based_sharding";
            findings.push(patient.warning(Check::CitusSetting, what, why).mend_by(mend));
        }
    }
    Ok(findings)
}

async fn left_over(patient: &mut Patient<'_>) -> Result<Option<Finding>, sqlx::Error> {
    let query = "SELECT count(*) AS number FROM pg_catalog.pg_prepared_xacts \
                 WHERE gid LIKE 'citus\\_%' AND database = pg_catalog.current_database() \
                   AND prepared < pg_catalog.now() - interval '10 minutes'";
    let rows = patient.catalog.rows(query).await?;
    let number: i64 = rows.first().map_or(Ok(0), |row| row.try_get("number"))?;
    let what = format!("{number} prepared transactions of Citus are left over");
    let why = "what they have locked stays locked";
    let mend = "SELECT recover_prepared_transactions()";
    Ok((number > 0).then(|| patient.error(Check::CitusNode, what, why).mend_by(mend)))
}

async fn not_distributed(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let query = format!(
        "WITH tenant AS MATERIALIZED ({}) SELECT nspname::text AS schema FROM tenant \
         WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_dist_schema WHERE schemaid = tenant.oid) ORDER BY 1",
        patient.tenant_schemas(),
    );
    let mut told = Told::default();
    for row in patient.catalog.rows(&query).await? {
        let schema: &str = row.try_get("schema")?;
        let what = format!("the schema `{schema}` of a tenant is not distributed");
        let why = "its tables are on the coordinator, whose room and time all tenants share";
        let mend = format!("SELECT citus_schema_distribute('{schema}')");
        told.push(patient.warning(Check::NotDistributed, what, why).mend_by(mend));
    }
    Ok(told.finish())
}

/// One finding, since it is one migration that made them.
async fn without_key(patient: &mut Patient<'_>) -> Result<Option<Finding>, sqlx::Error> {
    let query = format!(
        "WITH tenant AS MATERIALIZED ({}) \
         SELECT relname::text AS name, count(*) AS tenants, count(*) OVER () AS kinds FROM tenant \
         JOIN pg_catalog.pg_class ON relnamespace = tenant.oid AND relkind IN ('r', 'p') \
         WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index \
             WHERE indrelid = pg_class.oid AND (indisprimary OR indisreplident)) \
         GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {NAMED}",
        patient.tenant_schemas(),
    );
    let rows = patient.catalog.rows(&query).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let more = first.try_get::<i64, _>("kinds")?.saturating_sub(NAMED).max(0);
    let mut tables = Vec::new();
    for row in &rows {
        let (name, tenants): (&str, i64) = (row.try_get("name")?, row.try_get("tenants")?);
        tables.push(format!("`{name}` in {tenants} schemas"));
    }
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let what = format!("tables of tenants have no primary key: {}{more}", tables.join(", "));
    let why = "a tenant with such a table cannot be written while it is moved to another node";
    let mend = "give them a primary key by a new migration of the tenants";
    Ok(Some(patient.warning(Check::NoPrimaryKey, what, why).mend_by(mend)))
}
