//! The limits of the server against what it is asked for.

use sqlx::Row as _;

use super::{Check, Finding, Patient};
use crate::database::PoolMode;
use crate::migrate::MigrateOptions;
use crate::sql::Literal;

/// The listener, and the connection that sign-ups keep.
const OF_REGISTRY: i64 = 2;

/// Of a migration: one for the registry, and one that holds the lock of the run.
const BESIDE_JOBS: i64 = 2;

/// Checks that the largest schema can be dropped: that takes a lock for every object in it, all in one transaction.
pub(super) async fn locks(patient: &mut Patient<'_>) -> Result<Option<Finding>, sqlx::Error> {
    let largest = match &patient.largest {
        Some((_, schema)) => LARGEST_KNOWN.replace("/* schema */", &Literal(schema).to_string()),
        None => LARGEST_UNKNOWN.replace("/* tenants */", &patient.tenant_schemas()),
    };
    let largest = largest + OBJECTS;
    let rows = patient.catalog.rows(&largest).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let schema: &str = row.try_get("schema")?;
    let (need, per_slot, slots): (i64, i64, i64) =
        (row.try_get("objects")?, row.try_get("per_slot")?, row.try_get("slots")?);
    let room = per_slot * slots;
    if need * 2 <= room {
        return Ok(None);
    }
    let what = format!(
        "the schema `{schema}` has {need} objects, and the server has room for {room} locks \
         (`max_locks_per_transaction` = {per_slot})"
    );
    let finding = if need > room {
        let why = "it cannot be dropped: PostgreSQL would be out of shared memory";
        patient.error(Check::Locks, what, why)
    } else {
        let why = "dropping it takes more than half of what all sessions share";
        patient.warning(Check::Locks, what, why)
    };
    let enough = (need * 2 / slots + 1).max(per_slot + 1);
    Ok(Some(finding.mend_by(format!(
        "ALTER SYSTEM SET max_locks_per_transaction = {} -- then restart the server",
        u64::try_from(enough).unwrap_or_default().next_power_of_two(),
    ))))
}

/// Begins with the schema that was the largest when all were looked at.
const LARGEST_KNOWN: &str = "\
    WITH largest AS MATERIALIZED (SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname = /* schema */), ";

/// Begins with the schema that has most relations.
const LARGEST_UNKNOWN: &str = "\
    WITH tenant AS MATERIALIZED (/* tenants */), \
    largest AS MATERIALIZED ( \
        SELECT tenant.oid, tenant.nspname FROM pg_catalog.pg_class JOIN tenant ON tenant.oid = relnamespace \
        GROUP BY 1, 2 ORDER BY count(*) DESC, 2 LIMIT 1), ";

/// Counts out the largest schema, and only that one.
const OBJECTS: &str = "\
    relation AS MATERIALIZED ( \
        SELECT pg_class.oid, reltoastrelid FROM pg_catalog.pg_class JOIN largest ON largest.oid = relnamespace) \
    SELECT nspname::text AS schema, 1 + (SELECT count(*) FROM relation) \
        + (SELECT 2 * count(*) FROM relation WHERE reltoastrelid <> 0) \
        + (SELECT count(*) FROM pg_catalog.pg_type WHERE typnamespace = largest.oid) \
        + (SELECT count(*) FROM pg_catalog.pg_constraint WHERE connamespace = largest.oid) \
        + (SELECT count(*) FROM pg_catalog.pg_proc WHERE pronamespace = largest.oid) \
        + (SELECT count(*) FROM pg_catalog.pg_attrdef JOIN relation ON relation.oid = adrelid) \
        + (SELECT count(*) FROM pg_catalog.pg_trigger JOIN relation ON relation.oid = tgrelid) \
        + (SELECT count(*) FROM pg_catalog.pg_policy JOIN relation ON relation.oid = polrelid) \
        + (SELECT count(*) FROM pg_catalog.pg_rewrite JOIN relation ON relation.oid = ev_class) AS objects, \
        pg_catalog.current_setting('max_locks_per_transaction')::bigint AS per_slot, \
        pg_catalog.current_setting('max_connections')::bigint \
        + pg_catalog.current_setting('max_prepared_transactions')::bigint AS slots \
    FROM largest";

/// Checks that the server takes as many connections as one process of the application and a migration open.
pub(super) async fn connections(patient: &mut Patient<'_>) -> Result<Option<Finding>, sqlx::Error> {
    let config = patient.config.pool_config();
    if config.mode == PoolMode::Transaction {
        // These are connections to the pooler, which opens as many to the server as it is told.
        return Ok(None);
    }
    let rows = patient.application.rows(LIMITS).await?;
    let limits = rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("most")?)));
    let limits: Vec<(String, i64)> = limits.collect::<Result<_, sqlx::Error>>()?;
    let Some((name, most)) = limits.into_iter().min_by_key(|(_, most)| *most) else { return Ok(None) };
    let pool = i64::from(config.max_connections);
    let jobs = i64::from(MigrateOptions::default().jobs.get()) + BESIDE_JOBS;
    let need = pool + OF_REGISTRY + jobs;
    if need <= most {
        return Ok(None);
    }
    let what = format!(
        "{need} connections may be opened, {pool} by one process of the application, {OF_REGISTRY} for the \
         registry, {jobs} by a migration; {name} leaves {most}"
    );
    let why = "the server refuses what is too much: requests fail, or a migration";
    let finding = if pool + OF_REGISTRY > most {
        patient.error(Check::Connections, what, why)
    } else {
        patient.warning(Check::Connections, what, why)
    };
    let fits = (most - OF_REGISTRY - jobs).max(1);
    Ok(Some(finding.mend_by(format!(
        "set `max_connections = {fits}` under `[pool]` in tenantry.toml, or TENANTRY_POOL_MAX_CONNECTIONS={fits}; or \
         raise that limit"
    ))))
}

/// The limit of connections of the role that asks. Negative is no limit.
const LIMITS: &str = "\
    SELECT * FROM ( \
        SELECT 'the server''s `max_connections`' AS name, \
            pg_catalog.current_setting('max_connections')::bigint \
            - pg_catalog.current_setting('superuser_reserved_connections')::bigint \
            - coalesce(pg_catalog.current_setting('reserved_connections', true)::bigint, 0) AS most \
        UNION ALL SELECT 'the connection limit of the role', rolconnlimit::bigint \
            FROM pg_catalog.pg_roles WHERE rolname = current_user \
        UNION ALL SELECT 'the connection limit of the database', datconnlimit::bigint \
            FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database() \
    ) AS limits WHERE most >= 0";
