//! Says what is not set up as it should be.
use tenantry::doctor::{Finding, Severity};
use tenantry::{Migrations, Tenancy};

use crate::connect;
use crate::context::{Context, Finish};
use crate::failure::Failure;
use crate::interrupt::unless_interrupted;
use crate::output::Format;
use crate::progress::Progress;
use crate::visible::visible;

/// Find what is wrong, why it matters, and what mends it
///
/// Nothing is changed. Fails if there is an error among the findings; warnings alone do not fail it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

pub(crate) async fn run(_: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let config = connect::as_configured(&cx.global).await?;
    connect::note_mistakes(cx.output.format(), &Migrations::of(&config));
    let progress = Progress::new(cx.output.format());
    let builder = Tenancy::builder().config(&config)?;
    let findings = unless_interrupted(Box::pin(builder.doctor_observed(&progress))).await;
    progress.finish();
    let findings = findings?;
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
    }
    for (index, finding) in findings.iter().enumerate() {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let gap = if index == 0 { "" } else { "\n" };
        cx.output.line(&format!(
            "{gap}{severity} in database {}: {}",
            finding.database,
            visible(&finding.what)
        ));
        cx.output.line(&format!("  why:  {}", visible(&finding.why)));
        cx.output.line(&format!("  mend: {}", visible(&finding.mend)));
    }
}
