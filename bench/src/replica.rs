//! Point selects on a replica, against the same on its primary.

use std::sync::Arc;

use anyhow::Result;
use tenantry::{PoolConfig, TenantDb, TenantReadDb};

use crate::bench::Bench;
use crate::fleet::{Opened, Route};
use crate::measure::{Spread, Team, interleave, warm_up};
use crate::report::{Line, Target, Unit};
use crate::side::{OurTask, PoolTask, ReadTask, plain_pool};
use crate::zipf::{Draw, Traffic};

const TASKS: usize = 16;
const CONNECTIONS: u32 = 8;

/// One tenant that may use the whole pool, as in `checkout/hot`: on a standby against sqlx's pool to that standby, and
/// against ours to the primary.
pub(crate) async fn hot(bench: &mut Bench) -> Result<()> {
    let tenants = bench.fleet.tenants(1).await?;
    let config = PoolConfig { max_connections: CONNECTIONS, reserve: Some(0), ..PoolConfig::default() };
    let (standby, url) = bench.fleet.standby().await?;
    let opened = bench.fleet.open_reading(Route::Direct, &url, config).await?;
    let draws = || (0..TASKS).map(|seed| Draw::new(&Traffic::Uniform(1), seed));

    let readers: Arc<[TenantReadDb]> = [opened.tenancy.replica(&tenants[0])?].into();
    let mut ours = Team::new(draws().map(|draw| ReadTask { tenants: Arc::clone(&readers), draw }));
    let writers: Arc<[TenantDb]> = [opened.tenancy.db(&tenants[0])?].into();
    let mut on_primary = Team::new(draws().map(|draw| OurTask { tenants: Arc::clone(&writers), draw }));
    let pool = plain_pool(&url, tenants[0].schema().as_str(), CONNECTIONS)?;
    let mut theirs = Team::new(draws().map(|draw| PoolTask { pool: pool.clone(), draw }));

    warm_up(&bench.plan, [&mut ours, &mut theirs, &mut on_primary]).await?;
    let rounds = interleave(&bench.plan, [&mut ours, &mut theirs, &mut on_primary]).await?;
    on_replica(&opened)?;
    pool.close().await;
    opened.close().await?;
    drop(standby);
    for (case, rival, target, against) in [
        ("hot", 1, Some(Target::RatioAtLeast(1.2)), "sqlx's pool to the standby, no tenancy"),
        ("hot-primary", 2, Some(Target::RatioAtLeast(0.95)), "the same by `TenantDb`, on the primary"),
    ] {
        bench.report.add(&Line {
            bench: "replica",
            case: case.to_owned(),
            tasks: TASKS,
            unit: Unit::PerSecond,
            ours: Spread::of(rounds.iter().map(|round| round[0])).median,
            baseline: Some(Spread::of(rounds.iter().map(|round| round[rival])).median),
            ratio: Some(Spread::of(rounds.iter().map(|round| round[0] / round[rival]))),
            hit: None,
            round_trips: None,
            target,
            against: against.to_owned(),
        })?;
    }
    Ok(())
}

/// Makes sure that the replica was measured, and not the primary in its place.
fn on_replica(opened: &Opened) -> Result<()> {
    let status = opened.tenancy.status();
    let mut replicas = status.replicas.values().flatten();
    anyhow::ensure!(
        replicas.any(|replica| replica.pool.counts.warm > 0),
        "nothing was read from the replica"
    );
    Ok(())
}
