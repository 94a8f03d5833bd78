//! Says what is not set up as it should be.
use tenantry::doctor::{Check, Finding, Severity};
use tenantry::tenant::Alias;
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
/// Nothing is changed. Fails if there is an error among the findings; warnings alone do not fail it, and a database
/// that does not answer, beside the default one, ends it with 3.
#[derive(Debug, clap::Args)]
#[command(after_help = "A gate for deployments:
  tenantry doctor --deny drift,behind")]
pub(crate) struct Options {
    /// Compare tenants with what the migrations make, and replay these in a scratch schema if that is not known yet
    #[arg(long)]
    replay: bool,
    /// Fail if one of these is found, by the names that JSON has for them, or could not be looked for; and for nothing
    /// else. With `drift`, migrations are replayed
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = check_of)]
    deny: Vec<Check>,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let config = connect::as_configured(&cx.global).await?;
    connect::note_mistakes(cx.output.format(), &Migrations::of(&config));
    let progress = Progress::new(cx.output.format());
    let builder = Tenancy::builder().config(&config)?;
    let replays = options.replay || options.deny.contains(&Check::Drift);
    let findings = unless_interrupted(Box::pin(async {
        if replays {
            builder.doctor_replaying(&progress).await
        } else {
            builder.doctor_observed(&progress).await
        }
    }))
    .await;
    progress.finish();
    let findings = findings?;
    match cx.output.format() {
        Format::Json => cx.output.json(&findings),
        Format::Table => print(cx, &findings),
    }
    judge(&findings, &options.deny)
}

/// Fails where there is an error; or, where it is said what is not allowed, where there is that.
fn judge(findings: &[Finding], denied: &[Check]) -> anyhow::Result<Finish> {
    let is_error = |finding: &&Finding| finding.severity == Severity::Error;
    // The rest was examined without it.
    let is_away =
        |finding: &&Finding| finding.check == Check::Unreachable && finding.database != Alias::default();
    // What could not be looked for may be there.
    let is_denied = |finding: &&Finding| {
        denied.contains(&finding.check) || matches!(finding.check, Check::Unexamined | Check::Unreachable)
    };
    let (count, what) = if denied.is_empty() {
        (findings.iter().filter(is_error).filter(|finding| !is_away(finding)).count(), "error")
    } else {
        (findings.iter().filter(is_denied).count(), "denied finding")
    };
    match count {
        0 if findings.iter().any(|finding| is_away(&finding)) => Ok(Finish::SomeFailed),
        0 => Ok(Finish::Done),
        1 => Err(Failure::new("unhealthy", format!("1 {what} was found")).into()),
        several => Err(Failure::new("unhealthy", format!("{several} {what}s were found")).into()),
    }
}

/// Reads the name of a check as JSON has it, with hyphens or underscores.
fn check_of(name: &str) -> Result<Check, String> {
    let name_of = |check: &Check| serde_json::to_value(check).ok()?.as_str().map(str::to_owned);
    let found =
        Check::ALL.into_iter().find(|check| name_of(check).as_deref() == Some(&name.replace('-', "_")));
    found.ok_or_else(|| {
        let known: Vec<_> = Check::ALL.iter().filter_map(name_of).collect();
        format!("the known ones are: {}", known.join(", "))
    })
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
