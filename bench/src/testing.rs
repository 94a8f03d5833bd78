//! Tests with two tenants of twenty tables, against the set-up of `#[sqlx::test]` with the same SQL.
//!
//! The other side does what sqlx's attribute does, statement by statement: it notes the database in a table, creates
//! it, runs the migrations, opens a pool, and drops the database afterwards. Both are on one server, whose files are in
//! memory.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, SqlSafeStr as _};
use tenantry::Migrations;
use tenantry::testing::World;
use tenantry_embedded::ScratchDatabase;
use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::create::tables;
use crate::measure::{Scale, Spread};
use crate::report::{Line, Target, Unit};

const TABLES: usize = 20;
const TESTS: usize = 200;
/// The number that two processors run at a time.
const TASKS: usize = 2;
const SLUGS: [&str; 2] = ["acme", "globex"];

const INSERT: &str = "INSERT INTO table_0 (name) VALUES ('a row')";
const COUNT: &str = "SELECT count(*) FROM table_0";

pub(crate) async fn two_tenants(bench: &mut Bench) -> Result<()> {
    let tests = if bench.plan.scale == Scale::Smoke { 4 } else { TESTS };
    // Keeps the server between the sides.
    let database = ScratchDatabase::create().await?;
    let ours = Ours { migrations: migrations()? };
    // The first makes the template.
    let ours = Arc::new(ours);
    Arc::clone(&ours).test().await?;
    let theirs = Theirs::new(database.superuser_url())?;
    let started = Instant::now();
    let fresh = many(ours, tests, Ours::test).await?;
    let our_time = started.elapsed().as_secs_f64() * 1e3;
    let started = Instant::now();
    let their_fresh = many(Arc::new(theirs), tests, Theirs::test).await?;
    let their_time = started.elapsed().as_secs_f64() * 1e3;
    bench.report.add(&Line {
        bench: "testing",
        case: "suite".to_owned(),
        tasks: TASKS,
        unit: Unit::Milliseconds,
        ours: our_time,
        baseline: Some(their_time),
        ratio: Some(Spread::of([our_time / their_time])),
        hit: None,
        round_trips: None,
        target: Some(Target::RatioAtMost(0.5)),
        against: format!("the same {tests} tests as `#[sqlx::test]` sets them up"),
    })?;
    let (ours, theirs) = (Spread::of(fresh).median, Spread::of(their_fresh).median);
    bench.report.add(&Line {
        bench: "testing",
        case: "fresh".to_owned(),
        tasks: TASKS,
        unit: Unit::Milliseconds,
        ours,
        baseline: Some(theirs),
        ratio: Some(Spread::of([ours / theirs])),
        hit: None,
        round_trips: None,
        target: Some(Target::OursAtMost(40.0)),
        against: "the median until a test can begin".to_owned(),
    })
}

/// Runs tests, as many at a time as a runner does, and answers with the times until each could begin.
async fn many<T, F>(side: Arc<T>, tests: usize, test: fn(Arc<T>) -> F) -> Result<Vec<f64>>
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<Duration>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (side, next) = (Arc::clone(&side), Arc::clone(&next));
        tasks.spawn(async move {
            let mut times = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < tests {
                times.push(test(Arc::clone(&side)).await?.as_secs_f64() * 1e3);
            }
            Ok::<_, anyhow::Error>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = tasks.join_next().await {
        all.append(&mut times.context("a test panicked")??);
    }
    Ok(all)
}

struct Ours {
    migrations: Migrations,
}

impl Ours {
    async fn test(self: Arc<Self>) -> Result<Duration> {
        let started = Instant::now();
        let world = World::builder().migrations(self.migrations.clone()).tenants(SLUGS).create().await?;
        let fresh = started.elapsed();
        let (acme, globex) = (world.db("acme"), world.db("globex"));
        sqlx::query(INSERT).execute(&acme).await?;
        let rows: i64 = sqlx::query_scalar(COUNT).fetch_one(&globex).await?;
        anyhow::ensure!(rows == 0, "a row got to another tenant");
        world.finish().await?;
        Ok(fresh)
    }
}

fn migrations() -> Result<Migrations> {
    let file = migration(1, tables(TABLES));
    let tenant = Migrator { migrations: Cow::from(vec![file]), ..Migrator::DEFAULT };
    Ok(Migrations::from_migrators(Migrator::DEFAULT, tenant)?)
}

fn migration(version: i64, sql: String) -> Migration {
    let sql = AssertSqlSafe(sql).into_sql_str();
    Migration::new(version, Cow::from("tables"), MigrationType::Simple, sql, false)
}

/// The other side: `#[sqlx::test]`.
struct Theirs {
    administrator: PgPool,
    options: PgConnectOptions,
    migrator: Migrator,
    databases: AtomicUsize,
}

impl Theirs {
    fn new(url: &str) -> Result<Self> {
        let options: PgConnectOptions = url.parse()?;
        let administrator = PgPoolOptions::new().max_connections(20).connect_lazy_with(options.clone());
        let files = (1..).zip(SLUGS).map(|(version, slug)| {
            let path = format!("CREATE SCHEMA {slug}; SET LOCAL search_path TO {slug};\n");
            migration(version, path + &tables(TABLES) + "SET LOCAL search_path TO public;")
        });
        let migrator = Migrator { migrations: Cow::from(files.collect::<Vec<_>>()), ..Migrator::DEFAULT };
        Ok(Self { administrator, options, migrator, databases: AtomicUsize::new(0) })
    }

    async fn test(self: Arc<Self>) -> Result<Duration> {
        let started = Instant::now();
        let name = format!("_sqlx_test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.create(&name).await?;
        let options = self.options.clone().database(&name);
        let pool = PgPoolOptions::new().max_connections(5).connect_lazy_with(options);
        self.migrator.run(&pool).await?;
        let fresh = started.elapsed();
        sqlx::raw_sql(AssertSqlSafe(INSERT.replace("table_0", "acme.table_0"))).execute(&pool).await?;
        let count = COUNT.replace("table_0", "globex.table_0");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&pool).await?;
        anyhow::ensure!(rows == 0, "a row got to another schema");
        pool.close().await;
        self.remove(&name).await?;
        Ok(fresh)
    }

    async fn create(&self, name: &str) -> Result<()> {
        let mut connection = self.administrator.acquire().await?;
        sqlx::raw_sql(
            "SELECT pg_advisory_xact_lock(8318549251334697844);
             CREATE SCHEMA IF NOT EXISTS _sqlx_test;
             CREATE TABLE IF NOT EXISTS _sqlx_test.databases (
                 db_name text PRIMARY KEY, test_path text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
             CREATE INDEX IF NOT EXISTS databases_created_at ON _sqlx_test.databases (created_at);
             CREATE SEQUENCE IF NOT EXISTS _sqlx_test.database_ids;",
        )
        .execute(&mut *connection)
        .await?;
        drop(connection);
        self.remove(name).await?;
        let note = "INSERT INTO _sqlx_test.databases (db_name, test_path) VALUES ($1, $1)";
        sqlx::query(note).bind(name).execute(&self.administrator).await?;
        let create = AssertSqlSafe(format!("CREATE DATABASE \"{name}\""));
        sqlx::raw_sql(create).execute(&self.administrator).await?;
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let remove = AssertSqlSafe(format!("DROP DATABASE IF EXISTS \"{name}\""));
        sqlx::raw_sql(remove).execute(&self.administrator).await?;
        let forget = "DELETE FROM _sqlx_test.databases WHERE db_name = $1";
        sqlx::query(forget).bind(name).execute(&self.administrator).await?;
        Ok(())
    }
}
