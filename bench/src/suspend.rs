//! The time for which a running application goes on to serve a tenant that an operator has suspended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tenantry::resolve::TenantKey;
use tenantry::tenant::Suspension;
use tenantry::{PoolConfig, Tenancy};
use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::fleet::Route;
use crate::measure::{Scale, Spread, percentile};
use crate::report::{Line, Target, Unit};

const TASKS: usize = 16;
/// Enough for a 99th percentile that is not the worst of all.
const SUSPENSIONS: usize = 200;
/// The time after which whoever is still served has not heard of it.
const LONGEST: Duration = Duration::from_millis(500);

/// An application whose visitors ask without a pause.
struct Application {
    tenancy: Tenancy,
    key: TenantKey,
    started: Instant,
    /// The moment of the last answer, in microseconds since the start.
    last_served: AtomicU64,
    is_over: AtomicBool,
}

pub(crate) async fn felt(bench: &mut Bench) -> Result<()> {
    let tenants = bench.fleet.tenants(1).await?;
    let tenant = tenants.first().context("there is a tenant")?;
    let operator = bench.fleet.open(Route::Direct, PoolConfig::default()).await?;
    let server = bench.fleet.open(Route::Direct, PoolConfig::default()).await?;
    let application = Arc::new(Application {
        tenancy: server.tenancy.clone(),
        key: TenantKey::Slug(tenant.slug().clone()),
        started: Instant::now(),
        last_served: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    let mut visitors: JoinSet<_> = (0..TASKS).map(|_| Arc::clone(&application).visit()).collect();
    let suspensions = if bench.plan.scale == Scale::Smoke { 2 } else { SUSPENSIONS };
    let mut felt = Vec::new();
    for _ in 0..suspensions {
        application.wait_until_served().await;
        operator.tenancy.suspend(tenant, Suspension::new()).await?;
        felt.push(application.served_since(Instant::now()).await);
        operator.tenancy.resume(tenant).await?;
    }
    application.is_over.store(true, Ordering::Relaxed);
    while let Some(visitor) = visitors.join_next().await {
        visitor.context("a visitor panicked")?;
    }
    operator.close().await?;
    server.close().await?;
    let milliseconds = |percent| percentile(felt.clone(), percent).as_secs_f64() * 1e3;
    bench.report.add(&Line {
        bench: "suspend",
        case: "felt".to_owned(),
        tasks: TASKS,
        unit: Unit::Milliseconds,
        ours: milliseconds(99),
        baseline: Some(milliseconds(50)),
        ratio: Some(Spread::of([milliseconds(99) / milliseconds(50).max(1e-3)])),
        hit: None,
        round_trips: None,
        target: Some(Target::OursAtMost(100.0)),
        against: format!("the median; ours is the 99th percentile of {suspensions}"),
    })
}

impl Application {
    /// Asks as a request does, from the key on.
    async fn visit(self: Arc<Self>) {
        while !self.is_over.load(Ordering::Relaxed) {
            if self.answer().await.is_ok() {
                self.last_served.fetch_max(self.now(), Ordering::Relaxed);
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    async fn answer(&self) -> tenantry::Result<()> {
        let tenant = self.tenancy.find(&self.key).await?;
        let db = self.tenancy.db(&tenant)?;
        sqlx::query("SELECT 1").execute(&db).await?;
        Ok(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    async fn wait_until_served(&self) {
        let before = self.now();
        while self.last_served.load(Ordering::Relaxed) <= before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The time from this moment on in which somebody still got an answer.
    async fn served_since(&self, moment: Instant) -> Duration {
        tokio::time::sleep(LONGEST).await;
        let last_served = self.started + Duration::from_micros(self.last_served.load(Ordering::Relaxed));
        last_served.saturating_duration_since(moment)
    }
}
