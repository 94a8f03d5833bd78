//! The memory of a process that migrates few tenants, against one that migrates many.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tenantry::observe::Outcome;

use crate::bench::Bench;
use crate::fleet::{Fleet, Route, note, open_at};
use crate::migrate::{CONNECTIONS, FEW, MANY, files_until};
use crate::report::{Line, Target, Unit};

/// The memory that the many may take more, in MiB.
const MARGIN: f64 = 10.0;

/// Each in a process of its own, since memory is kept by who once had it.
pub(crate) async fn compare(bench: &mut Bench) -> Result<()> {
    let many_tenants = bench.plan.tenants(MANY);
    let few = of_run_over(FEW).await?;
    let many = of_run_over(many_tenants).await?;
    bench.report.add(&Line {
        bench: "migrate",
        case: "rss".to_owned(),
        tasks: CONNECTIONS,
        unit: Unit::Mebibytes,
        ours: many,
        baseline: Some(few),
        ratio: None,
        hit: None,
        round_trips: None,
        target: Some(Target::OursAtMost(few + MARGIN)),
        against: format!("{FEW} tenants, not {many_tenants}"),
    })
}

async fn of_run_over(count: usize) -> Result<f64> {
    let mut fleet = Fleet::start_durable().await?;
    fleet.tenants(count).await?;
    let mut child = Command::new(std::env::current_exe()?);
    child.args(["--memory-of-run", &fleet.url(Route::Direct)]);
    let output = child.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout)?;
    let (migrated, kibibytes) = printed.trim().split_once(' ').context("two numbers were to be printed")?;
    ensure!(migrated.parse::<usize>()? == count, "{migrated} of {count} tenants were migrated");
    let mebibytes = kibibytes.parse::<f64>()? / 1024.0;
    note(&format!("{count} tenants: {mebibytes:.1} MiB"));
    Ok(mebibytes)
}

/// Adds a column to each tenant, and prints how many there were and the most memory this process had,
/// in KiB.
pub(crate) async fn print(url: &str) -> Result<()> {
    let opened = open_at(url, files_until(0)).await?;
    let summary = opened.tenancy.migrate(tenantry::Fleet::all(), |_: &Outcome<'_>| {}).await?;
    opened.close().await?;
    let status = std::fs::read_to_string("/proc/self/status").context("only Linux tells the memory")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak = peak.context("the kernel does not tell VmHWM")?;
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{} {peak}\n", summary.migrated))?;
    Ok(())
}
