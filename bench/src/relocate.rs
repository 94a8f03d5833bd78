//! A tenant of some 100 MB that goes to another server while three tasks write to it: locked for that, against
//! `pg_dump` and `pg_restore`, and while they go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::tenant::{Alias, Tenant};
use tenantry::{DatabaseConfig, MoveOptions, NewTenant, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::{ScratchDatabase, ScratchServer};
use tokio::task::JoinHandle;

use crate::bench::Bench;
use crate::create::table_with_rows;
use crate::measure::{Plan, Spread};
use crate::pg_programs::{dump_file, dump_into, dumped, restore};
use crate::report::{Line, Target, Unit};

const TABLES: usize = 20;
/// The rows of each table, of some 250 bytes, that with their indexes are a megabyte in all tables.
const ROWS_OF_MEGABYTE: usize = 160;
const WRITERS: u32 = 3;
/// The longest that a writer may wait for a tenant that moves while it writes, in milliseconds.
const LONGEST: f64 = 150.0;
/// The pause of a writer, so that all of them write a few hundred times a second.
const PAUSE: Duration = Duration::from_millis(8);

pub(crate) async fn offline(bench: &mut Bench) -> Result<()> {
    let rounds = measure(&bench.plan, Way::Offline).await?;
    let ratio = Spread::of(rounds.iter().map(|round| round.stall / round.programs));
    let stall = Spread::of(rounds.iter().map(|round| round.stall)).median;
    let line = Line::of_times(("move", "offline"), stall, ratio, 2.0, "pg_dump -Fc and pg_restore");
    bench.report.add(&line)
}

/// The longest wait of all moves is what counts.
pub(crate) async fn online(bench: &mut Bench) -> Result<()> {
    let rounds = measure(&bench.plan, Way::Online).await?;
    let stalls = Spread::of(rounds.iter().map(|round| round.stall));
    for (case, ours, target) in [
        ("online median", stalls.median, None),
        ("online", stalls.highest, Some(Target::OursAtMost(LONGEST))),
    ] {
        bench.report.add(&Line {
            bench: "move",
            case: case.to_owned(),
            tasks: WRITERS as usize,
            unit: Unit::Milliseconds,
            ours,
            baseline: None,
            ratio: None,
            hit: None,
            round_trips: None,
            target,
            against: format!("none: the longest wait of a writer, {} moves", rounds.len()),
        })?;
    }
    Ok(())
}

/// The way in which a tenant is moved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Offline,
    Online,
}

impl Way {
    fn order(self, to: Alias) -> MoveOptions {
        let order = MoveOptions::to(to);
        if self == Self::Online { order.online() } else { order }
    }
}

/// One round, in milliseconds.
struct Round {
    /// The longest wait of a writer.
    stall: f64,
    /// The time of the programs, where they are asked.
    programs: f64,
}

/// Two servers, and a third database for the programs.
struct Servers {
    _both: [ScratchServer; 2],
    here: ScratchDatabase,
    there: ScratchDatabase,
    plain: ScratchDatabase,
}

impl Servers {
    async fn start() -> Result<Self> {
        let (one, other) = (logical().await?, logical().await?);
        let (here, there) = (one.database("here").await?, other.database("there").await?);
        run(one.url(), "ALTER ROLE here REPLICATION").await?;
        run(other.url(), "ALTER ROLE there REPLICATION").await?;
        let plain = other.database("plain").await?;
        Ok(Self { _both: [one, other], here, there, plain })
    }

    fn url(&self, tenant: &Tenant) -> &str {
        if *tenant.database() == Alias::default() { self.here.url() } else { self.there.url() }
    }
}

/// A server whose log says what was changed.
async fn logical() -> Result<ScratchServer> {
    let mut server = ScratchServer::start().await?;
    run(server.url(), "ALTER SYSTEM SET wal_level = 'logical'").await?;
    server.kill().await;
    server.start_again().await?;
    Ok(server)
}

async fn measure(plan: &Plan, way: Way) -> Result<Vec<Round>> {
    let servers = Servers::start().await?;
    let there = Alias::parse("there")?;
    let pool = PoolConfig { move_wait: Duration::from_mins(1), ..PoolConfig::default() };
    let [home, away] = [servers.here.url(), servers.there.url()].map(DatabaseConfig::from_url);
    let tenancy = Tenancy::builder()
        .database(home?.pool(pool.clone()))
        .database_as(there.clone(), away?.pool(pool))
        .install(true)
        .connect()
        .await?;
    let mut acme = tenancy.create(NewTenant::new("acme")).await?;
    fill(servers.here.url(), &acme, plan.megabytes as usize * ROWS_OF_MEGABYTE).await?;
    let writers = Writers::start(&tenancy.db(&acme)?);
    let mut measured = Vec::new();
    for round in 0..=plan.moves {
        let to = if *acme.database() == there { Alias::default() } else { there.clone() };
        writers.forget_waits();
        acme = relocate(&tenancy, &servers, &acme, way.order(to)).await?;
        tokio::time::sleep(PAUSE * 30).await;
        let stall = writers.longest_wait();
        let programs = if way == Way::Offline { programs(&servers, &acme).await? } else { f64::NAN };
        // The first of each pays for caches that are empty.
        if round > 0 {
            measured.push(Round { stall, programs });
        }
        for copy in tenancy.copies_due_for_purge(0, 10).await? {
            tenancy.purge_copy(&copy, ()).await?;
        }
    }
    writers.end(&tenancy.db(&acme)?).await?;
    tenancy.close(Duration::from_secs(5)).await?;
    Ok(measured)
}

async fn relocate(tenancy: &Tenancy, servers: &Servers, acme: &Tenant, order: MoveOptions) -> Result<Tenant> {
    let dump = async |arguments: &[String]| dumped(servers.url(acme), arguments);
    let nothing_kept = "0s".parse()?;
    Ok(tenancy.move_tenant(acme, order.keep(nothing_kept), dump).await?.tenant)
}

/// The same by the programs of PostgreSQL, without anything that keeps writers away.
async fn programs(servers: &Servers, acme: &Tenant) -> Result<f64> {
    let schema = acme.schema();
    let file = dump_file();
    let started = Instant::now();
    dump_into(&file, servers.url(acme), schema.as_str(), &["-Z0"])?;
    restore(&file, servers.plain.url(), &["--no-owner", "--no-privileges"])?;
    let elapsed = started.elapsed();
    std::fs::remove_file(&file)?;
    run(servers.plain.url(), &format!("DROP SCHEMA {schema} CASCADE")).await?;
    Ok(elapsed.as_secs_f64() * 1e3)
}

/// Tasks that write by a handle that they keep, and know what was acknowledged.
struct Writers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    acknowledged: AtomicU64,
    longest: Mutex<Duration>,
}

impl Shared {
    fn note(&self, waited: Duration) {
        let mut longest = self.longest.lock().unwrap_or_else(PoisonError::into_inner);
        *longest = waited.max(*longest);
    }
}

impl Writers {
    fn start(db: &TenantDb) -> Self {
        let shared = Arc::new(Shared::default());
        let task = |writer| tokio::spawn(write(db.clone(), writer, Arc::clone(&shared)));
        Self { tasks: (0..WRITERS).map(task).collect(), shared }
    }

    fn forget_waits(&self) {
        *self.shared.longest.lock().unwrap_or_else(PoisonError::into_inner) = Duration::ZERO;
    }

    /// The longest wait for an answer, in milliseconds.
    fn longest_wait(&self) -> f64 {
        self.shared.longest.lock().unwrap_or_else(PoisonError::into_inner).as_secs_f64() * 1e3
    }

    /// Asserts that all that was acknowledged is there, once.
    async fn end(self, db: &TenantDb) -> Result<()> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        let acknowledged = self.shared.acknowledged.load(Ordering::Relaxed);
        let (rows, different): (i64, i64) =
            sqlx::query_as("SELECT count(*), count(DISTINCT (writer, n)) FROM written").fetch_one(db).await?;
        ensure!(
            rows.unsigned_abs() == acknowledged && rows == different,
            "{acknowledged} writes were acknowledged; {rows} rows are there, {different} different ones"
        );
        Ok(())
    }
}

async fn write(db: TenantDb, writer: u32, shared: Arc<Shared>) -> Result<()> {
    let mut n = 0_i64;
    while !shared.is_over.load(Ordering::Relaxed) {
        n += 1;
        let started = Instant::now();
        sqlx::query("INSERT INTO written (writer, n) VALUES ($1, $2)")
            .bind(i64::from(writer))
            .bind(n)
            .execute(&db)
            .await?;
        shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        shared.note(started.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn fill(url: &str, acme: &Tenant, rows: usize) -> Result<()> {
    let schema = acme.schema();
    run(url, &format!("CREATE TABLE {schema}.written (id bigserial PRIMARY KEY, writer bigint, n bigint)"))
        .await?;
    for number in 0..TABLES {
        run(url, &format!("SET search_path TO {schema}; {}", table_with_rows(number, rows))).await?;
    }
    run(url, "ANALYZE").await
}

async fn run(url: &str, sql: &str) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    Ok(connection.close().await?)
}
