//! The cost of a clone, an archive and a look by doctor, for a tenant of a large fleet against one of a small fleet.

use std::io;
use std::time::Instant;

use anyhow::{Result, ensure};
use tenantry::doctor::{Check, Finding};
use tenantry::{CloneOptions, ExportOptions, NewTenant, PoolConfig, PurgeOptions};

use crate::bench::Bench;
use crate::fleet::{Fleet, Opened, Route};
use crate::measure::{Spread, milliseconds_each};
use crate::pg_programs::dumped;
use crate::report::Line;

/// Tenants of each fleet that are cloned, and that are exported, in a round.
const SOME: usize = 20;
/// The bound of the ratio, in both directions.
const MOST: f64 = 1.25;

/// The milliseconds of one tenant.
#[derive(Clone, Copy)]
struct Cost {
    clone: f64,
    export: f64,
    doctor: f64,
}

/// A fleet, with a tenancy that has looked at it before.
struct Ground {
    fleet: Fleet,
    count: usize,
    opened: Opened,
}

/// Both fleets are on servers of their own, and are measured in turns.
pub(crate) async fn per_tenant(bench: &mut Bench, few: usize, many: usize) -> Result<()> {
    let (few, many) = (bench.plan.tenants(few), bench.plan.tenants(many));
    let (small, large) = (Ground::new(few).await?, Ground::new(many).await?);
    let mut rounds = Vec::new();
    for _ in 0..bench.plan.rounds {
        rounds.push((small.measure().await?, large.measure().await?));
    }
    small.opened.close().await?;
    large.opened.close().await?;
    for (case, of) in [
        ("clone", (|cost| cost.clone) as fn(&Cost) -> f64),
        ("export", |cost| cost.export),
        ("doctor", |cost| cost.doctor),
    ] {
        let ratio = Spread::of(rounds.iter().map(|(small, large)| of(large) / of(small)));
        let ours = Spread::of(rounds.iter().map(|(_, large)| of(large))).median;
        let case = format!("cost of {case}, of {many}");
        bench.report.add(&Line::of_times(("fleet", &case), ours, ratio, MOST, &format!("of {few}")))?;
    }
    Ok(())
}

impl Ground {
    async fn new(count: usize) -> Result<Self> {
        let mut fleet = Fleet::start().await?;
        fleet.tenants(count).await?;
        let opened = fleet.open(Route::Direct, PoolConfig::default()).await?;
        let ground = Self { fleet, count, opened };
        // What is read for the first time costs more, and the structure is kept from then on.
        ground.measure().await?;
        ground.fleet.settle().await?;
        Ok(ground)
    }

    async fn measure(&self) -> Result<Cost> {
        Ok(Cost { clone: self.clone().await?, export: self.export().await?, doctor: self.doctor().await? })
    }

    fn some(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.count.min(SOME)).map(|number| format!("tenant-{number:04}"))
    }

    async fn clone(&self) -> Result<f64> {
        let (tenancy, url) = (&self.opened.tenancy, self.fleet.url(Route::Direct));
        let mut clones = Vec::new();
        let started = Instant::now();
        for slug in self.some() {
            let source = tenancy.tenant(&slug).await?;
            let new = NewTenant::new(format!("copy-of-{slug}"));
            let dump = async |arguments: &[String]| dumped(&url, arguments);
            clones.push(tenancy.clone_tenant(&source, new, CloneOptions::default(), dump).await?.tenant);
        }
        let each = milliseconds_each(started, clones.len());
        for clone in clones {
            let deleted = tenancy.delete(&clone).await?;
            tenancy.purge(&deleted, PurgeOptions { now: true, ..PurgeOptions::default() }).await?;
        }
        Ok(each)
    }

    async fn export(&self) -> Result<f64> {
        let (tenancy, url) = (&self.opened.tenancy, self.fleet.url(Route::Direct));
        let started = Instant::now();
        let mut count = 0;
        for slug in self.some() {
            let tenant = tenancy.tenant(&slug).await?;
            let dump = async |arguments: &[String]| dumped(&url, arguments);
            tenancy.export(&tenant, io::sink(), &ExportOptions::default(), dump).await?;
            count += 1;
        }
        Ok(milliseconds_each(started, count))
    }

    async fn doctor(&self) -> Result<f64> {
        let started = Instant::now();
        let findings = self.opened.tenancy.doctor().await;
        let each = milliseconds_each(started, self.count);
        let is_about_tenants = |finding: &Finding| finding.check == Check::Drift;
        ensure!(!findings.iter().any(is_about_tenants), "the tenants are not alike: {findings:?}");
        Ok(each)
    }
}
