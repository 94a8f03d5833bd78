//! Everything at once: many tenants, few connections, futures cut off at any await, backends that are terminated, a
//! server that is killed, and statements that try to reach past their tenant. No row may be foreign, no slot
//! lost, nothing of a session inherited.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use tenantry_embedded::ScratchServer;
use tokio::task::JoinSet;

use crate::error::BoxError;
use crate::fixture::migrations;
use crate::pool::{self, AwaitPoint, CheckoutRequest, PoolCounts, Preprocessor, SessionSettings, drops};
use crate::{DatabaseConfig, ErrorKind, NewTenant, PoolConfig, Tenancy, TenantDb};

/// `cargo xtask torture` asks for a million with `TENANTRY_CHAOS_CHECKOUTS`.
const CHECKOUTS: u64 = 10_000;
/// `cargo xtask torture` asks for 200 with `TENANTRY_CHAOS_TENANTS`.
const TENANTS: u64 = 8;
/// The time that 100,000 checkouts may take, and each 100,000 more.
const PATIENCE: Duration = Duration::from_mins(12);
const CONNECTIONS: u32 = 6;
const TASKS: u64 = 24;

/// A hook that talks to the server, so that it can be cut off.
struct Hook;

impl Preprocessor for Hook {
    fn name(&self) -> &'static str {
        "hook"
    }

    fn prepare(&self, _request: &CheckoutRequest, _session: &mut SessionSettings) -> crate::Result<()> {
        Ok(())
    }

    fn hook(&self) -> Option<&dyn pool::Hook> {
        Some(self)
    }
}

impl pool::Hook for Hook {
    fn after_switch<'a>(
        &'a self,
        _request: &'a CheckoutRequest,
        connection: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            connection.execute("SELECT 1").await?;
            Ok(())
        })
    }
}

/// Polls a future this many times, and drops it if it is not done by then.
struct CutOff<F> {
    future: Option<Pin<Box<F>>>,
    polls_left: u32,
}

impl<F: Future> Future for CutOff<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else { return Poll::Ready(None) };
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        self.polls_left -= 1;
        if self.polls_left == 0 {
            self.future = None;
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

/// Numbers that differ from task to task.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// The events that are enough.
#[derive(Clone, Copy)]
struct Amount {
    checkouts: u64,
    /// At each await point, and this many answers drained.
    drops: u32,
}

impl Amount {
    fn wanted() -> Self {
        let checkouts = asked_for("TENANTRY_CHAOS_CHECKOUTS", CHECKOUTS);
        // More at each point prove no more, and a commit is rarely cut off.
        Self { checkouts, drops: u32::try_from(checkouts / 1_000).unwrap().min(50) }
    }

    fn patience(self) -> Duration {
        PATIENCE * u32::try_from(self.checkouts.div_ceil(100_000)).unwrap()
    }
}

fn asked_for(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// A type of each tenant that only the server knows of.
#[derive(Debug, PartialEq, sqlx::Type)]
#[sqlx(type_name = "feeling", rename_all = "lowercase")]
enum Feeling {
    Fine,
}

struct World {
    tenancy: Tenancy,
    tenants: Vec<TenantDb>,
    /// The address that a connection of `dblink` leads to, where there is `dblink`.
    dblink: Option<String>,
    stop: AtomicBool,
    finished: AtomicU64,
    cut_off: AtomicU64,
    unavailable: AtomicU64,
}

/// Each tenant has rows that carry its name; half of them have types of their own.
async fn world(url: &str, superuser_url: &str) -> World {
    let tables =
        "CREATE TABLE note (tenant text NOT NULL DEFAULT current_setting('chaos.tenant', true), title text);
                  CREATE TABLE mark (tenant text NOT NULL)";
    let pool = PoolConfig {
        max_connections: CONNECTIONS,
        acquire_timeout: Duration::from_secs(20),
        max_tenants_per_connection: 5,
        ..PoolConfig::default()
    };
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(url).unwrap().pool(pool))
        .migrations(migrations(&[tables]))
        .preprocessor(Hook)
        .install(true)
        .connect()
        .await
        .unwrap();
    let mut owner = PgConnection::connect(url).await.unwrap();
    let mut tenants = Vec::new();
    for number in 0..asked_for("TENANTRY_CHAOS_TENANTS", TENANTS) {
        let slug = format!("tenant-{number}");
        let tenant = tenancy.create(NewTenant::new(slug.as_str())).await.unwrap();
        let schema = tenant.schema();
        let rows = format!("INSERT INTO {schema}.mark SELECT '{slug}' FROM generate_series(1, 50)");
        owner.execute(AssertSqlSafe(rows)).await.unwrap();
        // The registry knows nothing of these, and the number of the label differs.
        let labels = if number % 3 == 0 { "'fine'" } else { "'low', 'fine'" };
        let feelings = format!(
            "CREATE TYPE {schema}.feeling AS ENUM ({labels}); CREATE TABLE {schema}.diary (feeling {schema}.feeling)"
        );
        owner.execute(AssertSqlSafe(feelings)).await.unwrap();
        if number % 2 == 0 {
            let types = format!(
                "CREATE TYPE {schema}.mood AS ENUM ('fine');
                 UPDATE tenantry.applied SET owns_types = true WHERE schema_name = '{schema}'"
            );
            owner.execute(AssertSqlSafe(types)).await.unwrap();
        }
    }
    // Read again, now that the types are recorded.
    let again = tenancy.tenants_after("", 1_000).await.unwrap();
    tenants.extend(again.iter().map(|tenant| tenancy.db(tenant).unwrap()));
    // Where there are no contrib modules, nothing can be left by one.
    let mut superuser = PgConnection::connect(superuser_url).await.unwrap();
    let dblink = "CREATE EXTENSION dblink SCHEMA extensions";
    let has_dblink = superuser.execute(dblink).await.is_ok();
    World {
        tenancy,
        tenants,
        dblink: has_dblink.then(|| url.to_owned()),
        stop: AtomicBool::new(false),
        finished: AtomicU64::new(0),
        cut_off: AtomicU64::new(0),
        unavailable: AtomicU64::new(0),
    }
}

fn assert_own(db: &TenantDb, marks: &[String]) {
    let slug = db.tenant().slug().as_str();
    assert!(marks.iter().all(|mark| mark == slug), "tenant {slug} read rows of {marks:?}");
}

/// One request of an application, of one of several kinds.
async fn request(world: &World, db: &TenantDb, kind: u64) -> Result<(), sqlx::Error> {
    let slug = db.tenant().slug().as_str();
    match kind {
        8.. => return hostile_request(world, db, kind).await,
        0 => {
            let marks = sqlx::query_scalar("SELECT tenant FROM mark").fetch_all(db).await?;
            assert_own(db, &marks);
        }
        1 => {
            let look = "SELECT current_schema()::text, (now() = statement_timestamp())::text";
            let row = sqlx::raw_sql(look).fetch_one(db).await?;
            assert_eq!(row.get::<String, _>(0), db.tenant().schema().as_str());
            assert_eq!(row.get::<String, _>(1), "true", "a transaction was inherited");
        }
        2 => {
            let write = sqlx::query("INSERT INTO note (tenant, title) VALUES ($1, 'single')").bind(slug);
            write.execute(db).await?;
        }
        3 | 4 => {
            let mut tx = db.begin().await?;
            let write = sqlx::query("INSERT INTO note (tenant, title) VALUES ($1, 'tx')").bind(slug);
            write.execute(&mut *tx).await?;
            let marks = sqlx::query_scalar("SELECT tenant FROM mark LIMIT 3").fetch_all(&mut *tx).await?;
            assert_own(db, &marks);
            if kind == 3 { tx.commit().await? } else { tx.rollback().await? }
        }
        5 => {
            let mut checkout = db.acquire().await?;
            let leave = format!("SET chaos.tenant TO '{slug}'");
            checkout.execute(AssertSqlSafe(leave)).await?;
            checkout.execute("CREATE TEMP TABLE mark (tenant text)").await?;
        }
        6 => {
            // A setting that somebody else left would become the default of this column.
            let left = sqlx::query_scalar("SELECT coalesce(current_setting('chaos.tenant', true), '')");
            let left: String = left.fetch_one(db).await?;
            assert_eq!(left, "", "a setting was inherited");
        }
        _ => {
            let mut rows = sqlx::query("SELECT tenant FROM mark").fetch(db);
            for _ in 0..3 {
                let Some(row) = rows.next().await else { break };
                assert_own(db, &[row?.get(0)]);
            }
        }
    }
    Ok(())
}

/// A request that leaves something behind, or looks for what others may have left.
async fn hostile_request(world: &World, db: &TenantDb, kind: u64) -> Result<(), sqlx::Error> {
    match kind {
        8 => {
            let other = world.tenants[0].tenant().schema();
            let path = format!("UPDATE pg_settings SET setting = '{other}' WHERE name = 'search_path'");
            sqlx::raw_sql(AssertSqlSafe(path)).execute(db).await?;
        }
        9 => {
            let Some(url) = &world.dblink else { return Ok(()) };
            let left = "SELECT coalesce(array_length(extensions.dblink_get_connections(), 1), 0)";
            let left: i32 = sqlx::query_scalar(left).fetch_one(db).await?;
            assert_eq!(left, 0, "a connection of dblink was inherited");
            let connect = sqlx::query("SELECT extensions.dblink_connect('left', $1)").bind(url);
            connect.execute(db).await?;
        }
        10 => {
            sqlx::query("INSERT INTO diary VALUES ($1)").bind(Feeling::Fine).execute(db).await?;
            let felt: Vec<Feeling> =
                sqlx::query_scalar("SELECT feeling FROM diary LIMIT 3").fetch_all(db).await?;
            assert!(felt.iter().all(|feeling| *feeling == Feeling::Fine));
        }
        _ => {
            let mut copied = db.copy_out("COPY mark TO STDOUT");
            while let Some(chunk) = copied.next().await {
                let marks = String::from_utf8(chunk?.to_vec()).unwrap();
                assert_own(db, &marks.lines().map(str::to_owned).collect::<Vec<_>>());
            }
        }
    }
    Ok(())
}

async fn visitor(world: Arc<World>, seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    while !world.stop.load(Ordering::Relaxed) {
        let count = world.tenants.len() as u64;
        let tenant = random.below(count) * random.below(count) / count;
        let db = &world.tenants[usize::try_from(tenant).unwrap()];
        // Mostly short requests; a stream that is not read to its end may cost its connection.
        let kind = [0, 0, 0, 0, 1, 1, 2, 3, 4, 3, 4, 5, 6, 6, 0, 7, 8, 9, 10, 11]
            [usize::try_from(random.below(20)).unwrap()];
        let request = Box::pin(request(&world, db, kind));
        // Few are cut off, and of those that take many steps more than of the others.
        let is_patient = random.below(if matches!(kind, 3 | 4) { 4 } else { 32 }) != 0;
        let polls_left = if is_patient { u32::MAX } else { 1 + u32::try_from(random.below(12)).unwrap() };
        match (CutOff { future: Some(request), polls_left }).await {
            None => drop(world.cut_off.fetch_add(1, Ordering::Relaxed)),
            Some(Ok(())) => drop(world.finished.fetch_add(1, Ordering::Relaxed)),
            Some(Err(error)) => {
                let error = crate::Error::from(error);
                assert_eq!(error.kind(), ErrorKind::DatabaseUnavailable, "{error:?}");
                world.unavailable.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
}

/// Terminates a backend of the pool now and then, and kills the server twice.
async fn havoc(world: &World, server: &mut ScratchServer, superuser_url: &str) {
    let wanted = Amount::wanted();
    let deadline = Instant::now() + wanted.patience();
    let mut restarts = [wanted.checkouts / 3, wanted.checkouts * 2 / 3].into_iter().peekable();
    loop {
        let counts = counts(world);
        let checkouts = counts.warm + counts.switched + counts.opened;
        let is_enough = checkouts >= wanted.checkouts && counts.drained >= u64::from(wanted.drops);
        let is_reached = |place: &AwaitPoint| drops(*place) >= wanted.drops;
        if is_enough && AwaitPoint::ALL.iter().all(is_reached) {
            return;
        }
        assert!(Instant::now() < deadline, "{checkouts} checkouts, {}", report(world));
        if restarts.next_if(|at| checkouts >= *at).is_some() {
            server.kill().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            server.start_again().await.unwrap();
        }
        if let Ok(mut connection) = PgConnection::connect(superuser_url).await {
            let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                             WHERE application_name = 'tenantry' ORDER BY random() LIMIT 1";
            let _ = connection.execute(terminate).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn counts(world: &World) -> PoolCounts {
    world.tenancy.status().pools.into_values().next().unwrap().counts
}

fn report(world: &World) -> String {
    let drops: Vec<_> = AwaitPoint::ALL.iter().map(|place| format!("{place:?} {}", drops(*place))).collect();
    format!(
        "{} requests done, {} cut off, {} unavailable; dropped at {}; {:?}",
        world.finished.load(Ordering::Relaxed),
        world.cut_off.load(Ordering::Relaxed),
        world.unavailable.load(Ordering::Relaxed),
        drops.join(", "),
        world.tenancy.status().pools.into_values().next().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn under_chaos_nothing_is_foreign_lost_or_inherited() {
    let mut server = ScratchServer::start().await.unwrap();
    let database = server.database("app").await.unwrap();
    let world = Arc::new(world(database.url(), database.superuser_url()).await);
    let mut visitors: JoinSet<()> = (1..=TASKS).map(|seed| visitor(Arc::clone(&world), seed)).collect();
    tokio::select! {
        () = havoc(&world, &mut server, database.superuser_url()) => {}
        // None ends before it is told to, unless something is wrong.
        Some(ended) = visitors.join_next() => ended.unwrap(),
    }
    world.stop.store(true, Ordering::Relaxed);
    visitors.join_all().await;
    println!("{}", report(&world));
    assert_no_slot_is_lost(&world).await;
    assert_no_row_is_foreign(&world, database.url()).await;
    world.tenancy.close(Duration::from_secs(10)).await.unwrap();
}

/// Lets as many tenants as there are connections hold one at the same time, and then all give it back.
async fn assert_no_slot_is_lost(world: &World) {
    let mut held = Vec::new();
    for db in world.tenants.iter().take(CONNECTIONS as usize) {
        held.push(db.acquire().await.unwrap());
    }
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let status = world.tenancy.status().pools.into_values().next().unwrap();
        if (status.open, status.waiting) == (status.idle, 0) {
            return;
        }
        assert!(Instant::now() < deadline, "{status:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn assert_no_row_is_foreign(world: &World, url: &str) {
    let mut owner = PgConnection::connect(url).await.unwrap();
    for db in &world.tenants {
        let (schema, slug) = (db.tenant().schema(), db.tenant().slug());
        let count = format!("SELECT count(*) FROM {schema}.note WHERE tenant IS DISTINCT FROM '{slug}'");
        let foreign: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut owner).await.unwrap();
        assert_eq!(foreign, 0, "in {schema}");
    }
}
