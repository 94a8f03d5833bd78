//! Making a tenant of twenty tables, against `psql` with the same statements, and of a spare.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use sqlx::AssertSqlSafe;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use tenantry::{DatabaseConfig, Migrations, NewTenant, Tenancy};

use crate::bench::Bench;
use crate::measure::Spread;
use crate::report::Line;
use crate::server::Server;

const TABLES: usize = 20;

/// The time of one round, in milliseconds.
struct Round {
    replay: f64,
    psql: f64,
    spare: f64,
}

/// On a server of its own that writes to the disk.
pub(crate) async fn create(bench: &mut Bench) -> Result<()> {
    let server = Server::durable().await?;
    let rounds = measure(server.url(), bench.plan.rounds).await?;
    let by_psql = Spread::of(rounds.iter().map(|round| round.replay / round.psql));
    let by_replay = Spread::of(rounds.iter().map(|round| round.spare / round.replay));
    let replay = Spread::of(rounds.iter().map(|round| round.replay)).median;
    let spare = Spread::of(rounds.iter().map(|round| round.spare)).median;
    let by_hand = "psql -1 -f of the same statements";
    bench.report.add(&Line::of_times(("create", "replay"), replay, by_psql, 1.15, by_hand))?;
    bench.report.add(&Line::of_times(("create", "spare"), spare, by_replay, 0.05, "create/replay"))
}

async fn measure(url: &str, rounds: u32) -> Result<Vec<Round>> {
    let tenant = Migrator { migrations: Cow::from(vec![file()]), ..Migrator::DEFAULT };
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(url)?)
        .migrations(Migrations::from_migrators(sqlx::migrate!("migrations/master"), tenant)?)
        .install(true)
        .connect()
        .await?;
    let mut measured = Vec::new();
    for round in 0..=rounds {
        let replay = timed(tenancy.create(NewTenant::new(format!("replay-{round}")))).await?;
        let schema = format!("psql_{round}");
        let script = format!("CREATE SCHEMA {schema}; SET search_path TO {schema};\n{}", tables(TABLES));
        let started = Instant::now();
        psql(url, &script)?;
        let psql = started.elapsed().as_secs_f64() * 1e3;
        tenancy.fill_spares(1).await?;
        let spare = timed(tenancy.create(NewTenant::new(format!("spare-{round}")))).await?;
        ensure!(tenancy.spares().await?.is_empty(), "the spare was not taken");
        // The first of each pays for caches that are empty.
        if round > 0 {
            measured.push(Round { replay, psql, spare });
        }
    }
    tenancy.close(std::time::Duration::from_secs(5)).await?;
    Ok(measured)
}

async fn timed(work: impl Future<Output = tenantry::Result<tenantry::tenant::Tenant>>) -> Result<f64> {
    let started = Instant::now();
    work.await?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

fn psql(url: &str, script: &str) -> Result<()> {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", "-", url]).stdin(Stdio::piped());
    let mut psql = psql.spawn().context("there is no psql")?;
    psql.stdin.take().context("a pipe was asked for")?.write_all(script.as_bytes())?;
    ensure!(psql.wait()?.success(), "psql failed");
    Ok(())
}

fn file() -> Migration {
    let sql = AssertSqlSafe(tables(TABLES)).into_sql_str();
    Migration::new(1, Cow::from("tables"), MigrationType::Simple, sql, false)
}

/// Each with a primary key, a foreign key to the one before, and two indexes.
pub(crate) fn tables(count: usize) -> String {
    let mut sql = String::new();
    for number in 0..count {
        let parent = number.saturating_sub(1);
        let _ = writeln!(
            sql,
            "CREATE TABLE table_{number} (
                 id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                 parent_id bigint REFERENCES table_{parent},
                 name text NOT NULL,
                 made_at timestamptz NOT NULL DEFAULT now()
             );
             CREATE INDEX ON table_{number} (parent_id);
             CREATE INDEX ON table_{number} (name);"
        );
    }
    sql
}

/// One table with rows of some 250 bytes each, a foreign key to the one before, and two indexes.
pub(crate) fn table_with_rows(number: usize, rows: usize) -> String {
    let parent = number.saturating_sub(1);
    format!(
        "CREATE TABLE table_{number} (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent_id bigint, name text NOT NULL,
             body text, made_at timestamptz NOT NULL DEFAULT now());
         INSERT INTO table_{number} (parent_id, name, body)
             SELECT i, 'name ' || i, repeat(md5(i::text), 6) FROM generate_series(1, {rows}) AS i;
         ALTER TABLE table_{number} ADD FOREIGN KEY (parent_id) REFERENCES table_{parent};
         CREATE INDEX ON table_{number} (parent_id); CREATE INDEX ON table_{number} (name);"
    )
}
