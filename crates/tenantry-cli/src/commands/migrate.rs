//! Migrates the fleet.
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tenantry::migrate::{Limits, MigrateOptions, Migration, Preview, Summary, Warning};
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
    /// Shows which files would be applied where, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Tenants that are migrated at a time, each on a connection of its own
    #[arg(long, value_name = "N", default_value_t = MigrateOptions::default().jobs)]
    jobs: NonZeroU32,
    /// How long a statement may wait for a lock, before the tenant is tried again later; 0 for ever
    #[arg(long, value_name = "MILLISECONDS", default_value_t = milliseconds(Limits::default().lock_timeout))]
    lock_timeout_ms: u64,
    /// How long a statement in a transaction may run; 0 for ever
    #[arg(long, value_name = "MILLISECONDS", default_value_t = milliseconds(Limits::default().statement_timeout))]
    statement_timeout_ms: u64,
    /// How often a tenant is tried whose migration could not get a lock
    #[arg(long, value_name = "N", default_value_t = MigrateOptions::default().attempts)]
    attempts: NonZeroU32,
}

impl Options {
    fn migrate(&self, fleet: Fleet) -> MigrateOptions {
        let limits = Limits {
            lock_timeout: Duration::from_millis(self.lock_timeout_ms),
            statement_timeout: Duration::from_millis(self.statement_timeout_ms),
        };
        MigrateOptions { fleet, jobs: self.jobs, limits, attempts: self.attempts }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
        if options.dry_run {
            return dry_run(cx, tenancy, &fleet, &warnings).await;
        }
        let progress = Progress::new(size, cx.output.format());
        let result = tenancy.migrate(options.migrate(fleet), &progress).await;
        progress.bar.finish_and_clear();
        let summary = result?;
        print(cx, summary, progress.failures(), &warnings);
        Ok(if summary.failed > 0 { Finish::SomeFailed } else { Finish::Done })
    })
    .await
}

/// Prints what would be done. Exit code 3 if some schema would be refused.
async fn dry_run(
    cx: &mut Context,
    tenancy: &Tenancy,
    fleet: &Fleet,
    warnings: &[Warning],
) -> anyhow::Result<Finish> {
    let (mut behind, mut up_to_date) = (Vec::new(), 0);
    let mut refused = Vec::new();
    let format = cx.output.format();
    tenancy
        .preview(fleet, |preview| match &preview.pending {
            Ok(files) if files.is_empty() => up_to_date += 1,
            Ok(files) => behind.push(Behind::of(&preview, files)),
            Err(error) => {
                let report = Report::of(error);
                print_report(format, &report);
                refused.push(report);
            }
        })
        .await?;
    match format {
        Format::Json => cx.output.json(&json!({
            "behind": behind,
            "up_to_date": up_to_date,
            "refused": refused,
            "warnings": warnings,
        })),
        Format::Table => {
            for schema in &behind {
                cx.output.line(&schema.to_text());
            }
            let (behind, refused) = (behind.len(), refused.len());
            cx.output.line(&format!("schemas: {behind} behind, {up_to_date} up to date, {refused} refused"));
        }
    }
    Ok(if refused.is_empty() { Finish::Done } else { Finish::SomeFailed })
}

/// A schema that would be migrated.
#[derive(serde::Serialize)]
struct Behind {
    /// `None` for the master schema.
    tenant: Option<String>,
    pending: Vec<Pending>,
}

#[derive(serde::Serialize)]
struct Pending {
    version: i64,
    file: String,
    transaction: bool,
}

impl Behind {
    fn of(preview: &Preview<'_>, files: &[&Migration]) -> Self {
        let pending = files.iter().map(|migration| Pending {
            version: migration.version(),
            file: migration.file().to_owned(),
            transaction: migration.is_transactional(),
        });
        Self { tenant: preview.tenant.map(|tenant| tenant.slug().to_string()), pending: pending.collect() }
    }

    fn to_text(&self) -> String {
        let files: Vec<_> = self.pending.iter().map(Pending::to_text).collect();
        format!("{}: {}", self.tenant.as_deref().unwrap_or("the master schema"), files.join(", "))
    }
}

impl Pending {
    fn to_text(&self) -> String {
        if self.transaction { self.file.clone() } else { format!("{} (not in a transaction)", self.file) }
    }
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
