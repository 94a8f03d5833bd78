//! Creates and upgrades the registry, and checks that it is there.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection as _, Executor, PgConnection, Postgres};

use super::store::PRIVILEGES;
use crate::database::Layout;
use crate::error::{Error, ErrorKind, Result, sqlstate};
use crate::pool::{Databases, MasterDb};
use crate::sql::privileges::{default_privileges, privileges, revocation};
use crate::sql::{Identifier, Literal};
use crate::tenant::{Alias, SchemaName};

/// The registry's own SQL, in order. A file is never edited once it was released; a new one is added.
const STEPS: &[Step] = &[
    Step { number: 1, scope: Scope::EveryDatabase, sql: include_str!("sql/0001_database.sql") },
    Step { number: 2, scope: Scope::DefaultDatabase, sql: include_str!("sql/0002_tenants.sql") },
    Step { number: 3, scope: Scope::DefaultDatabase, sql: include_str!("sql/0003_spares.sql") },
    Step { number: 4, scope: Scope::EveryDatabase, sql: include_str!("sql/0004_run_token.sql") },
    Step { number: 5, scope: Scope::DefaultDatabase, sql: include_str!("sql/0005_runs.sql") },
    Step { number: 6, scope: Scope::EveryDatabase, sql: include_str!("sql/0006_after_file.sql") },
    Step { number: 7, scope: Scope::EveryDatabase, sql: include_str!("sql/0007_schema_number.sql") },
    Step { number: 8, scope: Scope::DefaultDatabase, sql: include_str!("sql/0008_audit.sql") },
    Step { number: 9, scope: Scope::DefaultDatabase, sql: include_str!("sql/0009_suspension.sql") },
    Step { number: 10, scope: Scope::DefaultDatabase, sql: include_str!("sql/0010_deletion.sql") },
    Step { number: 11, scope: Scope::DefaultDatabase, sql: include_str!("sql/0011_former_slugs.sql") },
    Step { number: 12, scope: Scope::EveryDatabase, sql: include_str!("sql/0012_structure.sql") },
    Step { number: 13, scope: Scope::DefaultDatabase, sql: include_str!("sql/0013_events.sql") },
    Step { number: 14, scope: Scope::EveryDatabase, sql: include_str!("sql/0014_replay.sql") },
    Step { number: 15, scope: Scope::DefaultDatabase, sql: include_str!("sql/0015_type.sql") },
    Step { number: 16, scope: Scope::EveryDatabase, sql: include_str!("sql/0016_kept_files.sql") },
    Step { number: 17, scope: Scope::DefaultDatabase, sql: include_str!("sql/0017_move.sql") },
    Step { number: 18, scope: Scope::EveryDatabase, sql: include_str!("sql/0018_released_files.sql") },
    Step { number: 19, scope: Scope::DefaultDatabase, sql: include_str!("sql/0019_database.sql") },
    Step { number: 20, scope: Scope::EveryDatabase, sql: include_str!("sql/0020_spares_everywhere.sql") },
    Step { number: 21, scope: Scope::DefaultDatabase, sql: include_str!("sql/0021_online_move.sql") },
    Step { number: 22, scope: Scope::EveryDatabase, sql: include_str!("sql/0022_undone.sql") },
    Step { number: 23, scope: Scope::DefaultDatabase, sql: include_str!("sql/0023_node.sql") },
];

struct Step {
    number: i32,
    scope: Scope,
    sql: &'static str,
}

#[derive(PartialEq, Eq)]
enum Scope {
    EveryDatabase,
    DefaultDatabase,
}

/// The key of the advisory lock under which the registry is installed: "tenantry" in ASCII.
const INSTALL_LOCK: i64 = 0x7465_6e61_6e74_7279;

/// sqlx's own table, in which each schema keeps what it has applied.
pub(crate) const LEDGER: &str = "_sqlx_migrations";

/// Creates or upgrades the registry in every database, together with the schemas every session needs.
///
/// Safe when many processes do it at once: one works, the others find it done. A database that is down is left out.
pub(crate) async fn install(databases: &Databases, layout: &Layout) -> Result<()> {
    for alias in databases.aliases() {
        match install_at(databases, alias, layout).await {
            Err(error) if is_of_its_own_tenants(&error, alias) => {
                tracing::warn!(database = %alias, %error, "Installed nothing in database `{alias}`");
            }
            result => result?,
        }
    }
    Ok(())
}

async fn install_at(databases: &Databases, alias: &Alias, layout: &Layout) -> Result<()> {
    let mut connection = databases.owner_connection(alias).await?;
    let role = databases.config(alias)?.application_role();
    install_in(&mut connection, alias, layout, role).await
}

/// The beginning of every transaction that makes schemas of ours on Citus, whatever the database says: they stay on the
/// coordinator.
const ON_COORDINATOR: &str = "SET LOCAL citus.enable_schema_based_sharding TO off";

/// Returns true for a database that is down, unless it is the default one, which says who the tenants are: without
/// that nothing works.
fn is_of_its_own_tenants(error: &Error, alias: &Alias) -> bool {
    error.kind() == ErrorKind::DatabaseUnavailable && *alias != Alias::default()
}

async fn install_in(
    connection: &mut PgConnection,
    alias: &Alias,
    layout: &Layout,
    application_role: &str,
) -> Result<()> {
    let failed = |error: sqlx::Error| {
        let message = format!("the registry could not be installed in database `{alias}`");
        Error::new(ErrorKind::Registry, message)
            .with_hint("the role needs CREATE on the database")
            .with_source(error)
    };
    let mut tx = connection.begin().await.map_err(failed)?;
    if layout.dialects.of(alias).is_citus() {
        sqlx::raw_sql(ON_COORDINATOR).execute(&mut *tx).await.map_err(failed)?;
    }
    lock(&mut tx).await.map_err(failed)?;
    create_log_if_missing(&mut tx).await.map_err(failed)?;
    let done = installed_steps(&mut *tx).await.map_err(failed)?;
    refuse_newer(&done, alias)?;
    for step in steps_for(alias).filter(|step| !done.contains(&step.number)) {
        sqlx::raw_sql(step.sql).execute(&mut *tx).await.map_err(failed)?;
        sqlx::query("INSERT INTO tenantry.installed (step) VALUES ($1)")
            .bind(step.number)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
    }
    for schema in std::iter::once(&layout.master_schema).chain(&layout.extension_schemas) {
        create_schema_if_missing(&mut tx, schema).await.map_err(failed)?;
    }
    grant(&mut tx, layout, application_role).await.map_err(failed)?;
    tx.commit().await.map_err(failed)
}

/// Polls for the lock: a session that blocks on an advisory lock is a transaction that stays open.
async fn lock(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    loop {
        let is_ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
            .bind(INSTALL_LOCK)
            .fetch_one(&mut *connection)
            .await?;
        if is_ours {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes the list of what was installed. `IF NOT EXISTS` would ask for the privilege to create, and tell
/// the client a notice, even where nothing is to be done.
async fn create_log_if_missing(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('tenantry.installed') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        let create = "CREATE SCHEMA IF NOT EXISTS tenantry;
             CREATE TABLE tenantry.installed
                 (step int PRIMARY KEY, installed_at timestamptz NOT NULL DEFAULT now())";
        sqlx::raw_sql(create).execute(connection).await?;
    }
    Ok(())
}

/// Creates a schema unless it is there, so that no privilege is asked for where nothing is to be done.
async fn create_schema_if_missing(
    connection: &mut PgConnection,
    schema: &SchemaName,
) -> Result<(), sqlx::Error> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)")
            .bind(schema.as_str())
            .fetch_one(&mut *connection)
            .await?;
    if !exists {
        let create = format!("CREATE SCHEMA {}", Identifier(schema.as_str()));
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(connection).await?;
    }
    Ok(())
}

/// Lets the application read the registry and use the shared schemas, where it is a role of its own.
async fn grant(connection: &mut PgConnection, layout: &Layout, role: &str) -> Result<(), sqlx::Error> {
    let Layout { master_schema, extension_schemas, .. } = layout;
    let is_owner: bool =
        sqlx::query_scalar("SELECT current_user = $1").bind(role).fetch_one(&mut *connection).await?;
    let mut grants = String::new();
    for schema in extension_schemas {
        if schema != master_schema && owns_schema(connection, schema).await? {
            let _ = write!(grants, "GRANT USAGE ON SCHEMA {} TO PUBLIC;", Identifier(schema.as_str()));
        }
    }
    if !is_owner {
        let _ = write!(
            grants,
            "GRANT USAGE ON SCHEMA tenantry TO {0};
             GRANT SELECT ON ALL TABLES IN SCHEMA tenantry TO {0};",
            Identifier(role)
        );
        let (schema, role) = (Identifier(master_schema.as_str()), Identifier(role));
        if owns_schema(connection, master_schema).await? {
            let mut statements = privileges(&schema, &role);
            // Among all tables is the ledger, which is nobody's business but the owner's.
            if has_ledger(connection, master_schema).await? {
                statements.push(revocation(format_args!("{schema}.{LEDGER}"), &role));
            }
            grants.push_str(&statements.join(";\n"));
        } else if may_create_in(connection, master_schema).await? {
            // Until PostgreSQL 14, `public` is the superuser's, and everybody may create there.
            grants.push_str(&default_privileges(&schema, &role).join(";\n"));
        }
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(grants)).execute(connection).await?;
    Ok(())
}

async fn has_ledger(connection: &mut PgConnection, schema: &SchemaName) -> Result<bool, sqlx::Error> {
    let ledger = format!("{}.{LEDGER}", Identifier(schema.as_str()));
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(ledger).fetch_one(connection).await
}

async fn may_create_in(connection: &mut PgConnection, schema: &SchemaName) -> Result<bool, sqlx::Error> {
    let sql = "SELECT pg_catalog.has_schema_privilege($1, 'CREATE')";
    sqlx::query_scalar(sql).bind(schema.as_str()).fetch_one(connection).await
}

async fn owns_schema(connection: &mut PgConnection, schema: &SchemaName) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "SELECT pg_catalog.pg_has_role(nspowner, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = {}",
        Literal(schema.as_str())
    );
    let owns: Option<bool> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_optional(connection).await?;
    Ok(owns.unwrap_or(false))
}

/// Checks that the registry of every database is there and is the one this library knows.
///
/// A database that is down concerns its own tenants. Only without the default one, which says who the tenants
/// are, nothing works.
pub(crate) async fn verify(databases: &Databases) -> Result<()> {
    // All at once: where several are down, the waiting is that for one.
    let asked = databases.aliases().map(|alias| databases.away().ask(alias, verify_in(databases, alias)));
    for (alias, verified) in databases.aliases().zip(join_all(asked).await) {
        match verified {
            Err(error) if is_of_its_own_tenants(&error, alias) => {
                tracing::warn!(database = %alias, %error, "Started without database `{alias}`");
            }
            result => result?,
        }
    }
    Ok(())
}

async fn verify_in(databases: &Databases, alias: &Alias) -> Result<()> {
    let master = MasterDb::new(databases.pool(alias)?.clone());
    let done = match installed_steps(&master).await {
        Ok(done) => done,
        Err(error) if is_missing_table(&error) => Vec::new(),
        Err(error @ sqlx::Error::Database(_)) => {
            let message = format!("the registry in database `{alias}` cannot be read");
            return Err(Error::new(ErrorKind::Registry, message).with_hint(PRIVILEGES).with_source(error));
        }
        // The checkout failed, or the connection.
        Err(error) => return Err(error.into()),
    };
    refuse_newer(&done, alias)?;
    if steps_for(alias).all(|step| done.contains(&step.number)) {
        return Ok(());
    }
    let state = if done.is_empty() { "is not installed" } else { "is older than this version of tenantry" };
    Err(Error::new(ErrorKind::Registry, format!("the registry in database `{alias}` {state}"))
        .with_hint("run `tenantry init`, or build with `.install(true)`"))
}

/// The step that the registry of a database has come to with this version of the library.
pub(crate) fn newest_step(alias: &Alias) -> i32 {
    steps_for(alias).map(|step| step.number).max().unwrap_or_default()
}

fn steps_for(alias: &Alias) -> impl Iterator<Item = &'static Step> {
    let is_default = *alias == Alias::default();
    STEPS.iter().filter(move |step| is_default || step.scope == Scope::EveryDatabase)
}

async fn installed_steps(executor: impl Executor<'_, Database = Postgres>) -> Result<Vec<i32>, sqlx::Error> {
    sqlx::query_scalar("SELECT step FROM tenantry.installed ORDER BY step").fetch_all(executor).await
}

fn refuse_newer(done: &[i32], alias: &Alias) -> Result<()> {
    let known = STEPS.iter().map(|step| step.number).max();
    match done.iter().max() {
        Some(newest) if Some(*newest) > known => {
            let message =
                format!("the registry in database `{alias}` was upgraded by a newer version of tenantry");
            Err(Error::new(ErrorKind::Registry, message).with_hint("use that version, or a newer one"))
        }
        _ => Ok(()),
    }
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| sqlstate::is_missing(&code))
}
