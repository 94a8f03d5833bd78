//! A transaction that is dropped, and the next one on the same connection.

use anyhow::Result;
use sqlx::PgPool;
use tenantry::{PoolConfig, TenantDb};

use crate::bench::Bench;
use crate::fleet::Route;
use crate::measure::{Spread, Team, Worker, interleave, warm_up};
use crate::report::{Line, Target, Unit};
use crate::side::plain_pool;

const UPDATE: &str = "UPDATE note SET title = title WHERE id = 1";

/// One connection, so that each transaction waits until the one before is rolled back.
pub(crate) async fn drop_it(bench: &mut Bench) -> Result<()> {
    let tenants = bench.fleet.tenants(1).await?;
    let config = PoolConfig { max_connections: 1, ..PoolConfig::default() };
    let opened = bench.fleet.open(Route::Direct, config).await?;
    let pool = plain_pool(&bench.fleet.url(Route::Direct), tenants[0].schema().as_str(), 1)?;
    let mut ours = Team::new([OurDrops { db: opened.tenancy.db(&tenants[0])? }]);
    let mut theirs = Team::new([PoolDrops { pool }]);
    warm_up(&bench.plan, [&mut ours, &mut theirs]).await?;
    let rounds = interleave(&bench.plan, [&mut ours, &mut theirs]).await?;
    opened.close().await?;
    let microseconds = |side: usize| rounds.iter().map(move |round| 1e6 / round[side]);
    bench.report.add(&Line {
        bench: "tx",
        case: "drop".to_owned(),
        tasks: 1,
        unit: Unit::Microseconds,
        ours: Spread::of(microseconds(0)).median,
        baseline: Some(Spread::of(microseconds(1)).median),
        ratio: Some(Spread::of(rounds.iter().map(|round| round[1] / round[0]))),
        hit: None,
        round_trips: None,
        target: Some(Target::RatioAtMost(1.5)),
        against: "sqlx's pool, no tenancy".to_owned(),
    })
}

/// Ours.
struct OurDrops {
    db: TenantDb,
}

impl Worker for OurDrops {
    async fn step(&mut self) -> Result<()> {
        let mut tx = self.db.begin().await?;
        sqlx::query(UPDATE).execute(&mut *tx).await?;
        Ok(())
    }
}

/// sqlx's pool, without tenancy.
struct PoolDrops {
    pool: PgPool,
}

impl Worker for PoolDrops {
    async fn step(&mut self) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(UPDATE).execute(&mut *tx).await?;
        Ok(())
    }
}
