//! Migrating a fleet, against the least that PostgreSQL lets one do.

use std::borrow::Cow;
use std::time::Instant;

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqlSafeStr as _, SqlStr};
use tenantry::observe::Outcome;

use crate::bench::Bench;
use crate::fleet::{Fleet, Route, note};
use crate::measure::Spread;
use crate::report::{Line, Target, Unit};

const TENANTS: usize = 1_000;
pub(crate) const FEW: usize = 100;
pub(crate) const MANY: usize = 10_000;
/// The number that a run has by default.
pub(crate) const CONNECTIONS: usize = 4;

/// Fleets that are up to date.
pub(crate) async fn noop(bench: &mut Bench) -> Result<()> {
    let mut fleet = Fleet::start_durable().await?;
    for count in [FEW, bench.plan.tenants(MANY)] {
        fleet.tenants(count).await?;
        let opened = fleet.open_at(sqlx::migrate!("migrations/tenant")).await?;
        let mut milliseconds = Vec::new();
        for _ in 0..bench.plan.rounds {
            let start = Instant::now();
            let summary = opened.tenancy.migrate(tenantry::Fleet::all(), |_: &Outcome<'_>| {}).await?;
            milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
            // The master schema is one more.
            ensure!(summary.up_to_date == count + 1, "{summary:?}");
        }
        opened.close().await?;
        bench.report.add(&Line {
            bench: "migrate",
            case: format!("noop {count}"),
            tasks: CONNECTIONS,
            unit: Unit::Milliseconds,
            ours: Spread::of(milliseconds).median,
            baseline: None,
            ratio: None,
            hit: None,
            round_trips: None,
            target: Some(Target::OursAtMost(1_000.0)),
            against: "nothing is pending".to_owned(),
        })?;
    }
    Ok(())
}

/// One more column each round: by a run; by a loop that does as much of it as it must; by `ALTER` alone.
pub(crate) async fn add_column(bench: &mut Bench) -> Result<()> {
    let count = bench.plan.tenants(TENANTS);
    let mut fleet = Fleet::start_durable().await?;
    fleet.tenants(count).await?;
    let schemas = make_bare_schemas(&fleet, count).await?;
    let (mut loops, mut alters, mut rate) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.plan.rounds {
        let ours = run(&fleet, count, round).await?;
        let by_loop = bare(&fleet, &schemas, |schema| whole(schema, round)).await?;
        let by_alter = bare(&fleet, &schemas, |schema| alter(schema, &format!("alone_{round}"))).await?;
        note(&format!("round {round}: {ours:.0}, {by_loop:.0} by the loop, {by_alter:.0} by ALTER alone"));
        loops.push(ours / by_loop);
        alters.push(ours / by_alter);
        rate.push(ours);
    }
    let ours = Spread::of(rate).median;
    let line = |ratios: Vec<f64>, target: Option<Target>, against: &str| {
        let ratio = Spread::of(ratios);
        Line {
            bench: "migrate",
            case: "add-column".to_owned(),
            tasks: CONNECTIONS,
            unit: Unit::PerSecond,
            ours,
            baseline: Some(ours / ratio.median),
            ratio: Some(ratio),
            hit: None,
            round_trips: None,
            target,
            against: against.to_owned(),
        }
    };
    bench.report.add(&line(loops, Some(Target::RatioAtLeast(0.6)), "a bare loop over schemas"))?;
    bench.report.add(&line(alters, None, "a bare loop of ALTER, nothing else"))
}

/// Tenants per second.
async fn run(fleet: &Fleet, count: usize, round: u32) -> Result<f64> {
    let opened = fleet.open_at(files_until(round)).await?;
    let start = Instant::now();
    let summary = opened.tenancy.migrate(tenantry::Fleet::all(), |_: &Outcome<'_>| {}).await?;
    let elapsed = start.elapsed();
    ensure!(summary.migrated == count, "{summary:?}");
    opened.close().await?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    Ok(count as f64 / elapsed.as_secs_f64())
}

pub(crate) fn files_until(round: u32) -> Migrator {
    let mut files = sqlx::migrate!("migrations/tenant");
    let added = (0..=round).map(|round| {
        let sql = format!("ALTER TABLE note ADD ours_{round} int");
        let kind = MigrationType::Simple;
        Migration::new(
            1_000 + i64::from(round),
            Cow::from(format!("column {round}")),
            kind,
            owned(sql),
            false,
        )
    });
    files.migrations.to_mut().extend(added);
    files
}

fn owned(sql: String) -> SqlStr {
    AssertSqlSafe(sql).into_sql_str()
}

/// Schemas like those of tenants, of which nobody else knows.
async fn make_bare_schemas(fleet: &Fleet, count: usize) -> Result<Vec<String>> {
    let mut connection = PgConnection::connect(&fleet.url(Route::Direct)).await?;
    let table = sqlx::migrate!("migrations/tenant").migrations[0].sql.as_str().to_owned();
    let schemas: Vec<_> = (0..count).map(|number| format!("bare_{number}")).collect();
    for schema in &schemas {
        let make = format!(
            "CREATE SCHEMA {schema}; SET search_path TO {schema};
             CREATE TABLE ledger (version bigint PRIMARY KEY, description text NOT NULL,
                 installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL,
                 checksum bytea NOT NULL, execution_time bigint NOT NULL);
             {table}"
        );
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await?;
    }
    fleet.settle().await?;
    Ok(schemas)
}

fn alter(schema: &str, column: &str) -> String {
    format!("ALTER TABLE {schema}.note ADD {column} int")
}

fn whole(schema: &str, round: u32) -> String {
    format!(
        "BEGIN; SET LOCAL search_path TO {schema}; SET LOCAL synchronous_commit TO off;
         INSERT INTO ledger VALUES ({round}, 'column', now(), true, '\\x00', 1);
         ALTER TABLE note ADD looped_{round} int; COMMIT"
    )
}

/// Schemas per second, of as many connections as a run has.
async fn bare(fleet: &Fleet, schemas: &[String], message: impl Fn(&str) -> String) -> Result<f64> {
    let url = fleet.url(Route::Direct);
    let messages: Vec<_> = schemas.iter().map(|schema| message(schema)).collect();
    let shares = messages.chunks(messages.len().div_ceil(CONNECTIONS));
    let start = Instant::now();
    futures_util::stream::iter(shares)
        .map(async |share| -> Result<()> {
            let mut connection = PgConnection::connect(&url).await?;
            for message in share {
                sqlx::raw_sql(AssertSqlSafe(message.as_str())).execute(&mut connection).await?;
            }
            Ok(())
        })
        .buffer_unordered(CONNECTIONS)
        .try_collect::<()>()
        .await?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    Ok(schemas.len() as f64 / start.elapsed().as_secs_f64())
}
