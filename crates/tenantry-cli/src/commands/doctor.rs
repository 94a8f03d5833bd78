//! Says what is not set up as it should be.
use tenantry::Tenancy;
use tenantry::doctor::{Finding, Severity};

use super::{Context, Finish};
use crate::connect;
use crate::failure::Failure;
use crate::output::Format;

/// Look for what is not set up as it should be, and say what mends it
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

pub(crate) async fn run(_: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let config = connect::as_configured(&cx.global).await?;
    let findings = Tenancy::builder().config(&config)?.doctor().await;
    match cx.output.format() {
        Format::Json => cx.output.json(&findings),
        Format::Table => print(cx, &findings),
    }
    match findings.iter().filter(|finding| finding.severity == Severity::Error).count() {
        0 => Ok(Finish::Done),
        1 => Err(Failure::new("unhealthy", "1 error was found").into()),
        errors => Err(Failure::new("unhealthy", format!("{errors} errors were found")).into()),
    }
}

fn print(cx: &mut Context, findings: &[Finding]) {
    if findings.is_empty() {
        cx.output.line("nothing found");
        return;
    }
    let rows = findings.iter().map(|finding| {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let database = finding.database.to_string();
        vec![severity.to_owned(), database, finding.what.clone(), finding.remedy.clone()]
    });
    cx.output.table(&["SEVERITY", "DATABASE", "FINDING", "REMEDY"], rows);
}
