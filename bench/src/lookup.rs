//! Finding a tenant that is in memory, among few and among many.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::{Connection as _, PgConnection};
use tenantry::registry::RegistryConfig;
use tenantry::resolve::TenantKey;
use tenantry::tenant::{Slug, Tenant};
use tenantry::{PoolConfig, Tenancy};

use crate::bench::Bench;
use crate::fleet::{Fleet, Opened, Route};
use crate::measure::{Spread, Team, Worker, interleave};
use crate::report::{Line, Target, Unit};

const FEW: usize = 10;
const MANY: usize = 100_000;
/// Enough that reading the clock does not count.
const LOOKUPS_PER_STEP: u32 = 1_000;

pub(crate) async fn find(bench: &mut Bench) -> Result<()> {
    let (few, many) = (FEW, bench.plan.tenants(MANY));
    register(&bench.fleet, many).await?;
    let (small, large) = (open(&bench.fleet).await?, open(&bench.fleet).await?);
    let mut few_team = Team::new([task(&small.tenancy, few).await?]);
    let mut many_team = Team::new([task(&large.tenancy, many).await?]);

    let mut map_team = Team::new([map_of(&large.tenancy, many).await?]);

    let loads = [&small, &large].map(|opened| opened.tenancy.status().cache.loads);
    let rounds = interleave(&bench.plan, [&mut few_team, &mut many_team, &mut map_team]).await?;
    let loads_after = [&small, &large].map(|opened| opened.tenancy.status().cache.loads);
    ensure!(loads == loads_after, "{loads:?} became {loads_after:?}: not all finds were hits");
    small.close().await?;
    large.close().await?;

    let nanoseconds = |rate: f64| 1e9 / (rate * f64::from(LOOKUPS_PER_STEP));
    let few_cost = Spread::of(rounds.iter().map(|round| nanoseconds(round[0]))).median;
    let many_cost = Spread::of(rounds.iter().map(|round| nanoseconds(round[1]))).median;
    let map_cost = Spread::of(rounds.iter().map(|round| nanoseconds(round[2]))).median;
    bench.report.add(&line(few, few_cost))?;
    bench.report.add(&Line {
        baseline: Some(few_cost),
        ratio: Some(Spread::of(rounds.iter().map(|round| round[0] / round[1]))),
        against: format!("the same among {few}"),
        ..line(many, many_cost)
    })?;
    bench.report.add(&Line {
        baseline: Some(map_cost),
        ratio: Some(Spread::of(rounds.iter().map(|round| round[2] / round[1]))),
        target: None,
        against: "a HashMap of the same keys and tenants".to_owned(),
        ..line(many, many_cost)
    })
}

fn line(tenants: usize, ours: f64) -> Line {
    Line {
        bench: "lookup",
        case: tenants.to_string(),
        tasks: 1,
        unit: Unit::Nanoseconds,
        ours,
        baseline: None,
        ratio: None,
        hit: Some(1.0),
        round_trips: Some(0.0),
        target: Some(Target::OursAtMost(500.0)),
        against: "random keys, all in memory".to_owned(),
    }
}

/// Enters tenants without schemas, which nobody will miss.
async fn register(fleet: &Fleet, count: usize) -> Result<()> {
    let mut connection = PgConnection::connect(&fleet.url(Route::Direct)).await?;
    let insert = "INSERT INTO tenantry.tenant (id, slug, schema_name, status)
                  SELECT gen_random_uuid(), 'lookup-' || n, 'lookup_' || n, 'active'
                  FROM generate_series(0, $1 - 1) n
                  ON CONFLICT DO NOTHING";
    sqlx::query(insert).bind(i32::try_from(count)?).execute(&mut connection).await?;
    fleet.settle().await
}

async fn open(fleet: &Fleet) -> Result<Opened> {
    let hour = Duration::from_hours(1);
    let registry = RegistryConfig { cache_capacity: 1_000_000, cache_ttl: hour, ..RegistryConfig::default() };
    fleet.open_with(Route::Direct, PoolConfig::default(), registry).await
}

/// Has the first tenants, this many, in memory before it begins.
async fn task(tenancy: &Tenancy, count: usize) -> Result<LookupTask> {
    let keys = (0..count).map(|number| Slug::parse(&format!("lookup-{number}")).map(TenantKey::Slug));
    let keys: Arc<[TenantKey]> = keys.collect::<Result<_, _>>()?;
    let loads = keys.iter().map(|key| tenancy.find(key));
    futures_util::stream::iter(loads).buffer_unordered(8).try_for_each(async |_| Ok(())).await?;
    Ok(LookupTask { tenancy: tenancy.clone(), keys, random: fastrand::Rng::with_seed(7) })
}

struct LookupTask {
    tenancy: Tenancy,
    keys: Arc<[TenantKey]>,
    random: fastrand::Rng,
}

impl Worker for LookupTask {
    async fn step(&mut self) -> Result<()> {
        for _ in 0..LOOKUPS_PER_STEP {
            self.tenancy.find(&self.keys[self.random.usize(..self.keys.len())]).await?;
        }
        Ok(())
    }
}

/// The least that can be done: a map that nobody changes hands out clones of the same tenants.
struct MapTask {
    tenants: HashMap<TenantKey, Tenant>,
    keys: Arc<[TenantKey]>,
    random: fastrand::Rng,
}

async fn map_of(tenancy: &Tenancy, count: usize) -> Result<MapTask> {
    let LookupTask { keys, random, .. } = task(tenancy, count).await?;
    let mut tenants = HashMap::with_capacity(count);
    for key in keys.iter() {
        tenants.insert(key.clone(), tenancy.find(key).await?);
    }
    Ok(MapTask { tenants, keys, random })
}

impl Worker for MapTask {
    async fn step(&mut self) -> Result<()> {
        for _ in 0..LOOKUPS_PER_STEP {
            let key = &self.keys[self.random.usize(..self.keys.len())];
            std::hint::black_box(self.tenants.get(key).cloned());
        }
        Ok(())
    }
}
