//! Purging tenants of forty tables, against `DROP SCHEMA … CASCADE` of the same.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::tenant::Tenant;
use tenantry::{DatabaseConfig, Migrations, NewTenant, PurgeOptions, Tenancy};

use crate::bench::Bench;
use crate::create::tables;
use crate::measure::{Spread, milliseconds_each};
use crate::report::{Line, Unit};
use crate::server::Server;

const TABLES: usize = 40;
const TENANTS: usize = 200;
/// The number that take their turn at a time.
const TURN: usize = 20;

/// On a server of its own that writes to the disk.
pub(crate) async fn purge(bench: &mut Bench) -> Result<()> {
    let server = Server::durable().await?;
    let mut by_hand = PgConnection::connect(server.url()).await?;
    let tenancy = connect(server.url()).await?;
    let count = bench.plan.tenants(TENANTS);
    let mut tenants = Vec::new();
    for number in 0..count {
        let tenant = tenancy.create(NewTenant::new(format!("tenant-{number:03}"))).await?;
        tenants.push(tenancy.delete(&tenant).await?);
        let schema = format!("by_hand_{number}");
        run(&mut by_hand, format!("CREATE SCHEMA {schema}; SET search_path TO {schema}; {}", tables(TABLES)))
            .await?;
    }
    run(&mut by_hand, "VACUUM ANALYZE").await?;
    let (mut ours, mut ratios) = (Vec::new(), Vec::new());
    for (turn, tenants) in tenants.chunks(TURN).enumerate() {
        let started = Instant::now();
        purge_all(&tenancy, tenants).await?;
        let purged = milliseconds_each(started, tenants.len());
        let started = Instant::now();
        for number in (turn * TURN..).take(tenants.len()) {
            run(&mut by_hand, format!("DROP SCHEMA by_hand_{number} CASCADE")).await?;
        }
        ratios.push(purged / milliseconds_each(started, tenants.len()));
        ours.push(purged);
    }
    tenancy.close(Duration::from_secs(5)).await?;
    let (ours, ratio) = (Spread::of(ours).median, Spread::of(ratios));
    bench.report.add(&Line {
        bench: "purge",
        case: format!("{TABLES} tables"),
        tasks: 1,
        unit: Unit::Milliseconds,
        ours,
        baseline: Some(ours / ratio.median),
        ratio: Some(ratio),
        hit: None,
        round_trips: None,
        target: None,
        against: "DROP SCHEMA … CASCADE, which needs a lock for each relation at once".to_owned(),
    })
}

async fn purge_all(tenancy: &Tenancy, tenants: &[Tenant]) -> Result<()> {
    for tenant in tenants {
        tenancy.purge(tenant, PurgeOptions { now: true, ..PurgeOptions::default() }).await?;
    }
    Ok(())
}

async fn connect(url: &str) -> Result<Tenancy> {
    let sql = AssertSqlSafe(tables(TABLES)).into_sql_str();
    let file = Migration::new(1, Cow::from("tables"), MigrationType::Simple, sql, false);
    let tenant = Migrator { migrations: Cow::from(vec![file]), ..Migrator::DEFAULT };
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(url)?)
        .migrations(Migrations::from_migrators(sqlx::migrate!("migrations/master"), tenant)?)
        .install(true)
        .connect()
        .await?;
    Ok(tenancy)
}

async fn run(connection: &mut PgConnection, sql: impl Into<String>) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(connection).await?;
    Ok(())
}
