//! Measures what a quiet tenant feels of noisy ones.
//!
//! A noisy tenant has hundreds of requests waiting, each of which keeps its connection busy for a
//! while. The quiet one sends one small statement at a time, with pauses. What counts is the slowest of
//! a hundred of these.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::{Executor, PgPool, Postgres};
use tenantry::tenant::Tenant;
use tenantry::{PoolConfig, TenantDb};

use crate::bench::Bench;
use crate::fleet::Route;
use crate::measure::{Plan, Side as _, Spread, Team, Worker, latencies, percentile, warm_up};
use crate::report::{Line, Target, Unit};
use crate::side::{HookedTask, OurTask, Switch, hooked_pool, on_behalf_of, switch_to};
use crate::zipf::{Draw, Traffic};

const CONNECTIONS: u32 = 20;
const WAITERS: usize = 500;
/// The time for which a noisy statement holds its connection.
const HOLD: Duration = Duration::from_millis(5);
/// The time for which the noise lasts before the quiet tenant comes.
const LEAD: Duration = Duration::from_millis(300);
/// The time for which it goes on afterwards, so that the last statement meets it too.
const MARGIN: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(1);

/// The 99th percentile of the quiet tenant in one round, in milliseconds.
struct Round {
    alone: f64,
    ours: f64,
    first_in_first_out: f64,
}

/// One noisy tenant.
pub(crate) async fn one(bench: &mut Bench) -> Result<()> {
    let rounds = rounds(bench, 1).await?;
    let ours = || rounds.iter().map(|round| round.ours);
    let alone = Spread::of(rounds.iter().map(|round| round.alone));
    bench.report.add(&Line {
        baseline: Some(alone.median),
        ratio: Some(Spread::of(rounds.iter().map(|round| round.ours / round.alone))),
        target: Some(Target::RatioAtMost(2.0)),
        against: "p99 of the quiet tenant alone".to_owned(),
        ..line("one", ours())
    })?;
    bench.report.add(&first_in_first_out("one-fifo", &rounds, None))
}

/// Enough noisy tenants to fill every connection.
pub(crate) async fn all(bench: &mut Bench) -> Result<()> {
    let rounds = rounds(bench, 4).await?;
    let share = 2.0 * milliseconds(HOLD) / f64::from(CONNECTIONS);
    let allowed = |round: &Round| round.alone + milliseconds(HOLD) + share;
    let bound = Spread::of(rounds.iter().map(allowed)).median;
    let alone = Spread::of(rounds.iter().map(|round| round.alone)).median;
    bench.report.add(&Line {
        baseline: Some(bound),
        ratio: Some(Spread::of(rounds.iter().map(|round| round.ours / allowed(round)))),
        target: Some(Target::RatioAtMost(1.0)),
        against: format!("the bound: alone {alone:.2} + hold {HOLD:?} + 2 × hold / {CONNECTIONS}"),
        ..line("all", rounds.iter().map(|round| round.ours))
    })?;
    bench.report.add(&first_in_first_out("all-fifo", &rounds, Some(Target::RatioAtLeast(10.0))))
}

/// Measures how much worse the same is where the first to come is served first.
fn first_in_first_out(case: &str, rounds: &[Round], target: Option<Target>) -> Line {
    let theirs = rounds.iter().map(|round| round.first_in_first_out);
    Line {
        baseline: Some(Spread::of(theirs).median),
        ratio: Some(Spread::of(rounds.iter().map(|round| round.first_in_first_out / round.ours))),
        target,
        against: "p99 with sqlx's pool, SET in both hooks".to_owned(),
        ..line(case, rounds.iter().map(|round| round.ours))
    }
}

fn line(case: &str, ours: impl IntoIterator<Item = f64>) -> Line {
    Line {
        bench: "noisy",
        case: case.to_owned(),
        tasks: WAITERS + 1,
        unit: Unit::Milliseconds,
        ours: Spread::of(ours).median,
        baseline: None,
        ratio: None,
        hit: None,
        round_trips: None,
        target: None,
        against: String::new(),
    }
}

async fn rounds(bench: &mut Bench, noisy: usize) -> Result<Vec<Round>> {
    let tenants = bench.fleet.tenants(noisy + 1).await?;
    let (quiet, noisy) = tenants.split_first().context("there is a quiet tenant")?;
    let pool = PoolConfig { max_connections: CONNECTIONS, max_waiting: 2_000, ..PoolConfig::default() };
    let opened = bench.fleet.open(Route::Direct, pool).await?;
    let tenancy = &opened.tenancy;
    let noisy_dbs = noisy.iter().map(|tenant| tenancy.db(tenant)).collect::<tenantry::Result<Vec<_>>>()?;
    let sqlx_pool = hooked_pool(&bench.fleet.url(Route::Direct), CONNECTIONS)?;

    let draw = || Draw::new(&Traffic::Uniform(1), 0);
    let mut our_quiet = OurTask { tenants: Arc::new([tenancy.db(quiet)?]), draw: draw() };
    let mut their_quiet =
        HookedTask { pool: sqlx_pool.clone(), switches: Arc::new([switch_to(quiet)]), draw: draw() };
    let mut our_noise = Team::new(spread_over(&noisy_dbs).map(|db| OurNoise { db: db.clone() }));
    let their_noise = |tenant: &Tenant| TheirNoise { pool: sqlx_pool.clone(), switch: switch_to(tenant) };
    let mut their_noise = Team::new(spread_over(noisy).map(their_noise));
    warm_up(&bench.plan, [&mut our_noise, &mut their_noise]).await?;

    let mut rounds = Vec::new();
    for _ in 0..bench.plan.rounds {
        let (alone, ours, first_in_first_out);
        (our_quiet, alone) = listen(our_quiet, bench.plan.round).await?;
        (our_quiet, ours) = listen_in(&mut our_noise, our_quiet, &bench.plan).await?;
        (their_quiet, first_in_first_out) = listen_in(&mut their_noise, their_quiet, &bench.plan).await?;
        rounds.push(Round { alone, ours, first_in_first_out });
    }
    opened.close().await?;
    Ok(rounds)
}

/// One of the tenants for each waiter, the same number for all.
fn spread_over<T>(tenants: &[T]) -> impl Iterator<Item = &T> {
    tenants.iter().cycle().take(WAITERS)
}

/// The 99th percentile of the quiet tenant while the others make noise.
async fn listen_in<N: Worker, Q: Worker>(noise: &mut Team<N>, quiet: Q, plan: &Plan) -> Result<(Q, f64)> {
    let listening = async {
        tokio::time::sleep(LEAD).await;
        listen(quiet, plan.round).await
    };
    let (noise, heard) = tokio::join!(noise.play(LEAD + plan.round + MARGIN), listening);
    noise?;
    heard
}

/// The 99th percentile of the quiet tenant, whatever else goes on.
async fn listen<Q: Worker>(mut quiet: Q, length: Duration) -> Result<(Q, f64)> {
    // A task like all others, and not the program's main one, which has a thread for itself.
    let listening = tokio::spawn(async move {
        let heard = latencies(&mut quiet, length, PAUSE).await?;
        Ok((quiet, milliseconds(percentile(heard, 99))))
    });
    listening.await.context("the quiet task panicked")?
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

struct OurNoise {
    db: TenantDb,
}

impl Worker for OurNoise {
    async fn step(&mut self) -> Result<()> {
        hold(&self.db).await
    }
}

struct TheirNoise {
    pool: PgPool,
    switch: Switch,
}

impl Worker for TheirNoise {
    async fn step(&mut self) -> Result<()> {
        on_behalf_of(Arc::clone(&self.switch), hold(&self.pool)).await
    }
}

async fn hold<'c>(executor: impl Executor<'c, Database = Postgres>) -> Result<()> {
    sqlx::query("SELECT pg_sleep($1)").bind(HOLD.as_secs_f64()).execute(executor).await?;
    Ok(())
}
