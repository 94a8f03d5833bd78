//! Looking a connection up, using it for one statement, and giving it back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sqlx::{Connection as _, PgConnection};
use tenantry::tenant::Tenant;
use tenantry::{PoolConfig, TenantDb};

use crate::bench::Bench;
use crate::fleet::{Fleet, Opened, Route};
use crate::measure::{Side, Spread, Team, Worker, interleave, warm_up};
use crate::proxy::Proxy;
use crate::report::{Line, Target, Unit};
use crate::side::{
    BareTask, ClientTask, HookedTask, OurTask, PoolTask, hooked_pool, options_in, plain_pool, switch_to,
};
use crate::zipf::{Draw, Traffic, Zipf};

/// One comparison of point selects.
struct Match {
    case: &'static str,
    traffic: Traffic,
    tenants: usize,
    tasks: usize,
    connections: u32,
    /// The time that a round trip takes longer than on this machine.
    delay: Option<Duration>,
    rival: Rival,
    target: Option<Target>,
}

/// The side that ours is compared with.
#[derive(Clone, Copy)]
enum Rival {
    /// sqlx's pool without tenancy.
    Pool,
    /// sqlx's pool with `SET search_path` in its hooks.
    Hooked,
    /// A connection per task, without a pool.
    Bare,
}

/// One tenant that may use the whole pool.
pub(crate) async fn hot(bench: &mut Bench) -> Result<()> {
    Match { rival: Rival::Pool, target: Some(Target::RatioAtLeast(1.2)), ..one_tenant("hot", 16) }
        .run(bench)
        .await
}

/// Measures how near the pool comes to no pool.
pub(crate) async fn limit(bench: &mut Bench) -> Result<()> {
    Match { target: Some(Target::RatioAtLeast(0.95)), ..one_tenant("limit", 8) }.run(bench).await?;
    one_tenant("limit", 16).run(bench).await
}

fn one_tenant(case: &'static str, tasks: usize) -> Match {
    Match {
        case,
        traffic: Traffic::Uniform(1),
        tenants: 1,
        tasks,
        connections: 8,
        delay: None,
        rival: Rival::Bare,
        target: None,
    }
}

/// Far more tasks than connections, and a few tenants that make most of the requests.
pub(crate) async fn zipf(bench: &mut Bench) -> Result<()> {
    let tenants = bench.plan.tenants(1_000);
    let zipf = Zipf::new(u32::try_from(tenants)?, 1.0);
    let traffic = Traffic::Zipf(Arc::new(zipf));
    let target = Some(Target::RatioAtLeast(1.5));
    Match { case: "zipf", traffic, tasks: 200, target, ..many_tenants(tenants) }.run(bench).await
}

/// One task per connection and no tenant that returns soon: nearly every checkout is a switch.
pub(crate) async fn uniform(bench: &mut Bench) -> Result<()> {
    let tenants = bench.plan.tenants(1_000);
    Match { target: Some(Target::RatioAtLeast(0.9)), ..many_tenants(tenants) }.run(bench).await?;
    let (delay, target) = (Some(Duration::from_millis(1)), Some(Target::RatioAtLeast(1.2)));
    Match { case: "uniform-1ms", delay, target, ..many_tenants(tenants) }.run(bench).await
}

fn many_tenants(tenants: usize) -> Match {
    Match {
        case: "uniform",
        traffic: Traffic::Uniform(tenants),
        tenants,
        tasks: 20,
        connections: 20,
        delay: None,
        rival: Rival::Hooked,
        target: None,
    }
}

impl Match {
    async fn run(self, bench: &mut Bench) -> Result<()> {
        let (plan, tenants) = (bench.plan, bench.fleet.tenants(self.tenants).await?);
        let [our_road, their_road] =
            [Road::open(&bench.fleet, self.delay).await?, Road::open(&bench.fleet, self.delay).await?];
        let opened = bench.fleet.open(our_road.route(), self.pool()).await?;
        let mut ours = self.our_team(&opened, &tenants)?;
        let mut theirs = self.their_team(&bench.fleet.url(their_road.route()), &tenants).await?;

        warm_up(&plan, [&mut ours, &mut *theirs]).await?;
        let (steps, switches) = (ours.steps, opened.switches()?);
        let rounds = interleave(&plan, [&mut ours, &mut *theirs]).await?;
        let (steps, switches) = (ours.steps - steps, opened.switches()? - switches);
        opened.close().await?;

        bench.report.add(&Line {
            hit: Some(1.0 - f64::from(switches) / f64::from(steps)),
            round_trips: Some(self.round_trips(bench, &tenants).await?),
            ..Line::of_rates(("checkout", self.case), self.tasks, &rounds, self.target, self.rival.name())
        })
    }

    /// The same once more through a proxy that counts, outside of what is timed.
    async fn round_trips(&self, bench: &Bench, tenants: &[Tenant]) -> Result<f64> {
        let proxy = Proxy::start(bench.fleet.port(), Duration::ZERO).await?;
        let opened = bench.fleet.open(Route::Port(proxy.port()), self.pool()).await?;
        let mut ours = self.our_team(&opened, tenants)?;
        warm_up(&bench.plan, [&mut ours]).await?;
        let (steps, flights) = (ours.steps, proxy.flights());
        ours.play(bench.plan.round).await?;
        let (steps, flights) = (ours.steps - steps, proxy.flights() - flights);
        opened.close().await?;
        Ok(f64::from(flights) / f64::from(steps))
    }

    fn pool(&self) -> PoolConfig {
        // The reserve is for others, and there is nobody else.
        let reserve = (self.tenants == 1).then_some(0);
        PoolConfig { max_connections: self.connections, reserve, ..PoolConfig::default() }
    }

    fn our_team(&self, opened: &Opened, tenants: &[Tenant]) -> Result<Team<OurTask>> {
        let dbs = tenants.iter().map(|tenant| opened.tenancy.db(tenant));
        let dbs: Arc<[TenantDb]> = dbs.collect::<tenantry::Result<_>>()?;
        Ok(Team::new(self.draws().map(|draw| OurTask { tenants: Arc::clone(&dbs), draw })))
    }

    async fn their_team(&self, url: &str, tenants: &[Tenant]) -> Result<Box<dyn Side>> {
        let first = tenants[0].schema().as_str();
        Ok(match self.rival {
            Rival::Pool => {
                let pool = plain_pool(url, first, self.connections)?;
                Box::new(Team::new(self.draws().map(|draw| PoolTask { pool: pool.clone(), draw })))
            }
            Rival::Hooked => {
                let pool = hooked_pool(url, self.connections)?;
                let switches: Arc<[_]> = tenants.iter().map(switch_to).collect();
                let task = |draw| HookedTask { pool: pool.clone(), switches: Arc::clone(&switches), draw };
                Box::new(Team::new(self.draws().map(task)))
            }
            Rival::Bare => {
                let options = options_in(url, first)?;
                let mut tasks = Vec::new();
                for draw in self.draws() {
                    tasks.push(BareTask { connection: PgConnection::connect_with(&options).await?, draw });
                }
                Box::new(Team::new(tasks))
            }
        })
    }

    fn draws(&self) -> impl Iterator<Item = Draw> {
        (0..self.tasks).map(|seed| Draw::new(&self.traffic, seed))
    }
}

impl Rival {
    fn name(self) -> &'static str {
        match self {
            Self::Pool => "sqlx's pool, no tenancy",
            Self::Hooked => "sqlx's pool, SET in both hooks",
            Self::Bare => "a bare connection per task",
        }
    }
}

/// A switch for every statement, against none.
pub(crate) async fn switch_tokio(bench: &mut Bench) -> Result<()> {
    let delay = Some(Duration::from_millis(1));
    Alternation { case: "switch-tokio", delay: None, target: Target::RatioAtLeast(0.55) }.run(bench).await?;
    Alternation { case: "switch-tokio-1ms", delay, target: Target::RatioAtLeast(0.9) }.run(bench).await
}

/// Two tenants in turns, each task on a connection of its own, compared with one tenant.
struct Alternation {
    case: &'static str,
    delay: Option<Duration>,
    target: Target,
}

impl Alternation {
    const TASKS: usize = 2;

    async fn run(self, bench: &mut Bench) -> Result<()> {
        let tenants = bench.fleet.tenants(2).await?;
        let [our_road, their_road] =
            [Road::open(&bench.fleet, self.delay).await?, Road::open(&bench.fleet, self.delay).await?];
        let (ours_opened, mut ours) = team_in_turns(bench, our_road.route(), &tenants).await?;
        let (theirs_opened, mut theirs) = team_in_turns(bench, their_road.route(), &tenants[..1]).await?;

        warm_up(&bench.plan, [&mut ours, &mut theirs]).await?;
        let (steps, switches) = (ours.steps, switches_of(&ours_opened)?);
        let rounds = interleave(&bench.plan, [&mut ours, &mut theirs]).await?;
        let (steps, switches) = (ours.steps - steps, switches_of(&ours_opened)? - switches);
        close_all(ours_opened).await?;
        close_all(theirs_opened).await?;

        bench.report.add(&Line {
            hit: Some(1.0 - f64::from(switches) / f64::from(steps)),
            round_trips: Some(Self::round_trips(bench, &tenants).await?),
            ..Line::of_rates(
                ("checkout", self.case),
                Self::TASKS,
                &rounds,
                self.target,
                "one tenant, no switch",
            )
        })
    }

    /// The same once more through a proxy that counts. It holds answers back, or one would now and then
    /// arrive before all of what is sent without waiting for it was sent.
    async fn round_trips(bench: &Bench, tenants: &[Tenant]) -> Result<f64> {
        let proxy = Proxy::start(bench.fleet.port(), Duration::from_millis(1)).await?;
        let (opened, mut ours) = team_in_turns(bench, Route::Port(proxy.port()), tenants).await?;
        warm_up(&bench.plan, [&mut ours]).await?;
        let (steps, flights) = (ours.steps, proxy.flights());
        ours.play(bench.plan.round).await?;
        let (steps, flights) = (ours.steps - steps, proxy.flights() - flights);
        close_all(opened).await?;
        Ok(f64::from(flights) / f64::from(steps))
    }
}

/// Tasks with a pool of one connection each, or the pool would find a warm one for every tenant.
async fn team_in_turns(
    bench: &Bench,
    route: Route,
    tenants: &[Tenant],
) -> Result<(Vec<Opened>, Team<ClientTask>)> {
    let mut pools = Vec::new();
    let mut tasks = Vec::new();
    for seed in 0..Alternation::TASKS {
        let pool = PoolConfig { max_connections: 1, ..PoolConfig::default() };
        let opened = bench.fleet.open(route, pool).await?;
        let clients = tenants.iter().map(|tenant| opened.tenancy.client(tenant));
        let tenants = clients.collect::<tenantry::Result<_>>()?;
        tasks.push(ClientTask { tenants, turn: 0, draw: Draw::new(&Traffic::Uniform(1), seed) });
        pools.push(opened);
    }
    Ok((pools, Team::new(tasks)))
}

fn switches_of(pools: &[Opened]) -> Result<u32> {
    pools.iter().map(Opened::switches).sum()
}

async fn close_all(pools: Vec<Opened>) -> Result<()> {
    for opened in pools {
        opened.close().await?;
    }
    Ok(())
}

/// The way of one side, which it shares with nobody.
enum Road {
    Direct,
    Slow(Proxy),
}

impl Road {
    async fn open(fleet: &Fleet, delay: Option<Duration>) -> Result<Self> {
        match delay {
            Some(delay) => Ok(Self::Slow(Proxy::start(fleet.port(), delay).await?)),
            None => Ok(Self::Direct),
        }
    }

    fn route(&self) -> Route {
        match self {
            Self::Direct => Route::Direct,
            Self::Slow(proxy) => Route::Port(proxy.port()),
        }
    }
}

/// Measures a warm checkout when nothing is asked of the server.
pub(crate) async fn own(bench: &mut Bench) -> Result<()> {
    let tenants = bench.fleet.tenants(1).await?;
    let opened = bench.fleet.open(Route::Direct, PoolConfig::default()).await?;
    let mut team = Team::new([OwnTask { db: opened.tenancy.db(&tenants[0])? }]);
    warm_up(&bench.plan, [&mut team]).await?;
    let rounds = interleave(&bench.plan, [&mut team]).await?;
    opened.close().await?;
    let microseconds = rounds.iter().map(|[rate]| 1e6 / (rate * f64::from(CHECKOUTS_PER_STEP)));
    bench.report.add(&Line {
        bench: "checkout",
        case: "own".to_owned(),
        tasks: 1,
        unit: Unit::Microseconds,
        ours: Spread::of(microseconds).median,
        baseline: None,
        ratio: None,
        hit: None,
        round_trips: None,
        target: Some(Target::OursAtMost(2.0)),
        against: "acquire() and drop, no statement".to_owned(),
    })
}

/// Enough that reading the clock does not count.
const CHECKOUTS_PER_STEP: u32 = 100;

struct OwnTask {
    db: TenantDb,
}

impl Worker for OwnTask {
    async fn step(&mut self) -> Result<()> {
        for _ in 0..CHECKOUTS_PER_STEP {
            drop(self.db.acquire().await?);
        }
        Ok(())
    }
}
