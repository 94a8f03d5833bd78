//! A fleet over four servers: against the same fleet on one of them, and with one of the four away.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tenantry::observe::Outcome;
use tenantry::placement::Policy;
use tenantry::resolve::{Subdomain, TenantKey};
use tenantry::tenant::{Alias, Tenant};
use tenantry::{DatabaseConfig, NewTenant, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::{ScratchDatabase, ScratchServer};

use crate::bench::Bench;
use crate::fleet::{Opened, Route, migrations};
use crate::measure::{Side as _, Team, Worker, interleave, warm_up};
use crate::report::{Line, Target};
use crate::side::{OurTask, read_note};
use crate::zipf::{Draw, Traffic, Zipf};

/// The names of the databases, each on a server of its own.
const ALIASES: [&str; 4] = ["default", "b", "c", "d"];
const TENANTS: usize = 1_000;
const TASKS: usize = 40;
/// The connections of the whole fleet.
const CONNECTIONS: u32 = 20;
/// The pause of a client whose request has failed, or was served.
const PAUSE: Duration = Duration::from_millis(10);

/// Four servers with the tenants of one fleet.
struct Servers {
    all: Vec<ScratchServer>,
    _databases: Vec<ScratchDatabase>,
    opened: Opened,
    tenants: Vec<Tenant>,
}

impl Servers {
    /// Starts them, and makes this many tenants, one database after the other.
    async fn start(tenants: usize) -> Result<Self> {
        let (mut servers, mut databases) = (Vec::new(), Vec::new());
        for _ in ALIASES {
            let server = ScratchServer::start().await?;
            databases.push(server.database("bench").await?);
            servers.push(server);
        }
        let max_connections = CONNECTIONS / u32::try_from(ALIASES.len())?;
        let pool = PoolConfig { max_connections, ..PoolConfig::default() };
        let mut builder = Tenancy::builder()
            .migrations(migrations(sqlx::migrate!("migrations/tenant"))?)
            .resolver(Subdomain::of("localhost")?)
            .placement(Policy::RoundRobin)
            .install(true);
        for (alias, database) in ALIASES.iter().zip(&databases) {
            let config = DatabaseConfig::from_url(database.url())?.pool(pool.clone());
            builder = builder.database_as(Alias::parse(alias)?, config);
        }
        let tenancy = builder.connect().await?;
        tenancy.migrate(tenantry::Fleet::all(), |_: &Outcome<'_>| {}).await?;
        let new = (0..tenants).map(|number| NewTenant::new(format!("tenant-{number:04}")));
        let made = futures_util::stream::iter(new).map(|new| tenancy.create(new)).buffered(4);
        let tenants = made.try_collect().await.context("cannot make the tenants")?;
        Ok(Self { all: servers, _databases: databases, opened: Opened { tenancy }, tenants })
    }

    /// Tasks for the tenants whose database is as meant.
    fn team(
        &self,
        tasks: usize,
        is_meant: impl Fn(&Tenant) -> bool,
        traffic: impl Fn(usize) -> Traffic,
    ) -> Result<Team<OurTask>> {
        let meant = self.tenants.iter().filter(|tenant| is_meant(tenant));
        let dbs = meant.map(|tenant| self.opened.tenancy.db(tenant)).collect::<tenantry::Result<Vec<_>>>()?;
        let (traffic, dbs): (_, Arc<[TenantDb]>) = (traffic(dbs.len()), dbs.into());
        let task = |seed| OurTask { tenants: Arc::clone(&dbs), draw: Draw::new(&traffic, seed) };
        Ok(Team::new((0..tasks).map(task)))
    }
}

/// A thousand tenants over four servers on one machine, with as many connections as they have on one.
pub(crate) async fn zipf(bench: &mut Bench) -> Result<()> {
    let (plan, count) = (bench.plan, bench.plan.tenants(TENANTS));
    let zipf = Traffic::Zipf(Arc::new(Zipf::new(u32::try_from(count)?, 1.0)));
    let four = Servers::start(count).await?;
    let mut over_four = four.team(TASKS, |_| true, |_| zipf.clone())?;
    let tenants = bench.fleet.tenants(count).await?;
    let pool = PoolConfig { max_connections: CONNECTIONS, ..PoolConfig::default() };
    let one = bench.fleet.open(Route::Direct, pool).await?;
    let dbs = tenants.iter().map(|tenant| one.tenancy.db(tenant));
    let dbs: Arc<[TenantDb]> = dbs.collect::<tenantry::Result<_>>()?;
    let task = |seed| OurTask { tenants: Arc::clone(&dbs), draw: Draw::new(&zipf, seed) };
    let mut on_one = Team::new((0..TASKS).map(task));

    warm_up(&plan, [&mut over_four, &mut on_one]).await?;
    let rounds = interleave(&plan, [&mut over_four, &mut on_one]).await?;
    four.opened.close().await?;
    one.close().await?;
    let target = Target::RatioAtLeast(0.9);
    bench.report.add(&Line::of_rates(("many", "zipf"), TASKS, &rounds, target, "the same on one server"))
}

/// One of four servers goes away while the tenants of the others are served, and requests for its own go on coming.
pub(crate) async fn down(bench: &mut Bench) -> Result<()> {
    let (plan, count) = (bench.plan, bench.plan.tenants(TENANTS).max(8));
    let mut four = Servers::start(count).await?;
    let is_away = |tenant: &Tenant| tenant.database().as_str() == ALIASES[3];
    let mut others = four.team(TASKS * 3 / 4, |tenant| !is_away(tenant), Traffic::Uniform)?;
    let its_tenants: Arc<[Tenant]> = four.tenants.iter().filter(|it| is_away(it)).cloned().collect();
    let visitor = |seed| Visitor {
        tenancy: four.opened.tenancy.clone(),
        tenants: Arc::clone(&its_tenants),
        draw: Draw::new(&Traffic::Uniform(its_tenants.len()), seed),
    };
    let mut visitors = Team::new((0..TASKS / 4).map(visitor));

    warm_up(&plan, [&mut others, &mut visitors]).await?;
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let (there, visited) = tokio::join!(others.play(plan.round), visitors.play(plan.round));
        visited?;
        four.all[3].kill().await;
        let (away, visited) = tokio::join!(others.play(plan.round), visitors.play(plan.round));
        visited?;
        four.all[3].start_again().await?;
        rounds.push([away?, there?]);
    }
    four.opened.close().await?;
    let target = Target::RatioAtLeast(0.95);
    bench.report.add(&Line::of_rates(
        ("fleet", "down"),
        TASKS,
        &rounds,
        target,
        "the others while all four are there",
    ))
}

/// A client of tenants whose server may be away: each request finds its tenant, is served or fails, and then pauses.
struct Visitor {
    tenancy: Tenancy,
    tenants: Arc<[Tenant]>,
    draw: Draw,
}

impl Worker for Visitor {
    async fn step(&mut self) -> Result<()> {
        let (note, tenant) = (self.draw.note(), &self.tenants[self.draw.tenant()]);
        let served = async {
            let tenant = self.tenancy.find(&TenantKey::Slug(tenant.slug().clone())).await?;
            read_note(&self.tenancy.db(&tenant)?, note).await
        };
        // Whether it is served is not what is measured.
        let _ = served.await;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}
