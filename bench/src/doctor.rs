//! The cost of looking at a tenant, in a small fleet and in a large one.

use std::time::Instant;

use anyhow::{Result, ensure};
use tenantry::PoolConfig;
use tenantry::doctor::{Check, Finding};

use crate::bench::Bench;
use crate::fleet::{Fleet, Route};
use crate::measure::Spread;
use crate::report::{Line, Target, Unit};

const FEW: usize = 200;
const MANY: usize = 2_000;
/// The connections that share the tenants.
const CONNECTIONS: usize = 2;

/// A tenant of a large fleet against one of a small fleet, on two servers in turns.
pub(crate) async fn per_tenant(bench: &mut Bench) -> Result<()> {
    let (few, many) = (bench.plan.tenants(FEW), bench.plan.tenants(MANY));
    let (mut small, mut large) = (Fleet::start().await?, Fleet::start().await?);
    small.tenants(few).await?;
    large.tenants(many).await?;
    let (mut ratios, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..bench.plan.rounds {
        let baseline = microseconds_each(&small, few).await?;
        let each = microseconds_each(&large, many).await?;
        ratios.push(each / baseline);
        ours.push(each);
    }
    let (ours, ratio) = (Spread::of(ours).median, Spread::of(ratios));
    bench.report.add(&Line {
        bench: "doctor",
        case: format!("tenant of {many}"),
        tasks: CONNECTIONS,
        unit: Unit::Microseconds,
        ours,
        baseline: Some(ours / ratio.median),
        ratio: Some(ratio),
        hit: None,
        round_trips: None,
        target: Some(Target::RatioAtMost(1.25)),
        against: format!("a tenant of {few}"),
    })
}

async fn microseconds_each(fleet: &Fleet, count: usize) -> Result<f64> {
    let opened = fleet.open(Route::Direct, PoolConfig::default()).await?;
    let start = Instant::now();
    let findings = opened.tenancy.doctor().await;
    let elapsed = start.elapsed();
    let is_about_tenants = |finding: &Finding| finding.check == Check::Drift;
    ensure!(!findings.iter().any(is_about_tenants), "the tenants are not alike: {findings:?}");
    opened.close().await?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    Ok(elapsed.as_secs_f64() * 1e6 / count as f64)
}
