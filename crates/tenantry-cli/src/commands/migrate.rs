//! Migrates the fleet.
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tenantry::migrate::{Summary, Warning};
use tenantry::observe::{Observer, Outcome};
use tenantry::tenant::{Slug, Status};
use tenantry::{Fleet, Tenancy};

use super::{Context, Finish, lint};
use crate::connect::with_tenancy;
use crate::failure::{Failure, Report};
use crate::output::{Format, note, print_report};

/// Bring the master schema and every tenant up to date
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this tenant, and not the master schema; repeatable
    #[arg(long = "tenant", value_name = "SLUG")]
    tenants: Vec<String>,
    /// Changes nothing where the files that are pending have warnings
    #[arg(long)]
    deny_warnings: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let fleet = fleet(tenancy, &options.tenants).await?;
        let size = match options.tenants.len() {
            0 => count(tenancy).await?,
            chosen => chosen as u64,
        };
        let warnings = tenancy.lint(&fleet).await?;
        warn(cx, &warnings, options.deny_warnings)?;
        let progress = Progress::new(size, cx.output.format());
        let result = tenancy.migrate(fleet, &progress).await;
        progress.bar.finish_and_clear();
        let summary = result?;
        print(cx, summary, progress.failures(), &warnings);
        Ok(if summary.failed > 0 { Finish::SomeFailed } else { Finish::Done })
    })
    .await
}

/// The tenants that were named. Each must be one that migrations reach.
async fn fleet(tenancy: &Tenancy, names: &[String]) -> anyhow::Result<Fleet> {
    if names.is_empty() {
        return Ok(Fleet::all());
    }
    let mut slugs: Vec<Slug> = Vec::new();
    for name in names {
        let tenant = tenancy.tenant(name).await?;
        if !matches!(tenant.status(), Status::Active | Status::Suspended) {
            let message = format!("tenant `{}` is {} and is not migrated", tenant.slug(), tenant.status());
            return Err(Failure::new("tenant_unavailable", message)
                .with_tenant(tenant.slug().as_str())
                .with_hint("only tenants that are active or suspended are migrated")
                .into());
        }
        slugs.push(tenant.slug().clone());
    }
    Ok(Fleet::only(slugs))
}

/// Tells what the lint says of the files that are about to be applied. Programs find it in the answer.
fn warn(cx: &Context, warnings: &[Warning], denies: bool) -> anyhow::Result<()> {
    for warning in warnings {
        note(cx.output.format(), &format!("warning: {}", lint::to_text(warning)));
    }
    if denies && !warnings.is_empty() {
        let message = format!("nothing was migrated: {}", lint::counted(0, warnings.len()));
        return Err(Failure::new("lint", message)
            .with_hint(
                "`tenantry lint` shows them; `-- lint: allow RULE` in front of a statement silences one",
            )
            .into());
    }
    Ok(())
}

/// How many tenants there are to migrate, for the bar.
async fn count(tenancy: &Tenancy) -> tenantry::Result<u64> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(DISTINCT slug) FROM tenantry.tenant_lookup WHERE status IN ('active', 'suspended')",
    )
    .fetch_one(&tenancy.master())
    .await?;
    Ok(count.unsigned_abs())
}

fn print(cx: &mut Context, summary: Summary, failures: Vec<Report>, warnings: &[Warning]) {
    let Summary { migrated, up_to_date, failed } = summary;
    match cx.output.format() {
        Format::Json => cx.output.json(&json!({
            "migrated": migrated,
            "up_to_date": up_to_date,
            "failed": failed,
            "failures": failures,
            "warnings": warnings,
        })),
        Format::Table => {
            cx.output
                .line(&format!("schemas: {migrated} migrated, {up_to_date} up to date, {failed} failed"));
        }
    }
}

/// Draws a bar on a terminal, and lines elsewhere.
struct Progress {
    bar: ProgressBar,
    format: Format,
    /// For JSON, which has them in the answer.
    failures: Mutex<Vec<Report>>,
}

impl Progress {
    fn new(size: u64, format: Format) -> Self {
        // Hidden by itself where stderr is no terminal.
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, format, failures: Mutex::default() }
    }

    fn failures(self) -> Vec<Report> {
        self.failures.into_inner().unwrap_or_default()
    }
}

impl Observer for &Progress {
    fn finished(&self, outcome: &Outcome<'_>) {
        let name = outcome.tenant.map_or("the master schema", |tenant| tenant.slug().as_str());
        if outcome.tenant.is_some() {
            self.bar.set_message(name.to_owned());
            self.bar.inc(1);
        }
        match outcome.error {
            // A failure of the master schema ends the command and is reported there.
            Some(error) if outcome.tenant.is_some() => {
                let report = Report::of(error);
                self.bar.suspend(|| print_report(self.format, &report));
                if let (Format::Json, Ok(mut failures)) = (self.format, self.failures.lock()) {
                    failures.push(report);
                }
            }
            None if !outcome.applied.is_empty() && self.bar.is_hidden() => {
                let versions: Vec<_> = outcome.applied.iter().map(ToString::to_string).collect();
                let elapsed = outcome.elapsed.as_millis();
                note(self.format, &format!("migrated {name}: {} in {elapsed} ms", versions.join(", ")));
            }
            _ => {}
        }
    }
}
