//! Migrates the fleet.
mod dry_run;
mod marking;
mod previewed;
mod progress;
mod sql;

use std::num::NonZeroU32;
use std::time::Duration;

use clap_complete::ArgValueCompleter;
use serde_json::json;
use tenantry::migrate::{Canaries, Direction, Limits, MaxFailures, MigrateOptions, Summary, Warning};
use tenantry::tenant::Slug;
use tenantry::{Fleet, Migrations, Tenancy};

use self::dry_run::dry_run;
use self::marking::{Marks, carry_out};
use self::progress::{Failures, Progress};
use self::sql::print_sql;
use super::lint;
use crate::connect::{note_mistakes, operator, with_files};
use crate::context::{Context, Finish};
use crate::duration::parse_duration;
use crate::failure::Failure;
use crate::interrupt::until_interrupted;
use crate::output::{Format, confirm, note};
use crate::slugs::complete_slugs;

/// The library's own limits, in words.
const LOCK_TIMEOUT: &str = "3s";
const STATEMENT_TIMEOUT: &str = "10min";

/// Bring the master schema and every tenant up to date
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    course: Course,
    #[command(flatten)]
    effort: Effort,
    /// Continue the newest run that is not done, or the run of this number: the same tenants, to the same version
    #[arg(long, value_name = "RUN", num_args = 0..=1, conflicts_with_all = ["Selection", "Course"])]
    #[allow(clippy::option_option, reason = "the number is optional, and so is the flag")]
    resume: Option<Option<i64>>,
    /// Wait while somebody else migrates the fleet
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    caution: Caution,
    #[command(flatten)]
    marks: Marks,
}

/// The tenants to migrate.
#[derive(Debug, clap::Args)]
#[group(id = "Selection", multiple = true)]
struct Selection {
    /// Only this tenant, and not the master schema; repeatable
    #[arg(long = "tenant", value_name = "SLUG", add = ArgValueCompleter::new(complete_slugs))]
    tenants: Vec<Slug>,
    /// Only the tenants for which this holds, and not the master schema: SQL over the columns of
    /// `tenantry.tenant`, such as "settings->>'plan' = 'pro'"
    #[arg(long = "where", value_name = "CONDITION", conflicts_with = "tenants")]
    condition: Option<String>,
    /// All but this tenant; repeatable
    #[arg(long, value_name = "SLUG", add = ArgValueCompleter::new(complete_slugs))]
    exclude: Vec<Slug>,
}

impl Selection {
    fn fleet(self) -> Fleet {
        let fleet = match self.condition {
            Some(condition) => Fleet::matching(condition),
            None if self.tenants.is_empty() => Fleet::all(),
            None => Fleet::only(self.tenants),
        };
        fleet.except(self.exclude)
    }
}

/// The version to come to, and the waves.
#[derive(Debug, clap::Args)]
#[group(id = "Course", multiple = true)]
struct Course {
    /// Bring tenants to this version, also back by the `.down.sql` files; 0 undoes everything, also a file that is
    /// numbered 0. Leaves the master schema alone
    #[arg(long, value_name = "VERSION")]
    to: Option<i64>,
    /// Apply files that come late, to schemas that have applied files with higher numbers
    #[arg(long)]
    allow_out_of_order: bool,
    /// Migrate this many tenants first, or those whose setting `canary` is true; stop if one fails
    #[arg(long, value_name = "N|tagged")]
    canary: Option<Canaries>,
    /// Stop when more tenants than this have failed
    #[arg(long, value_name = "N|P%")]
    max_failures: Option<MaxFailures>,
}

/// The checks to make before.
#[derive(Debug, clap::Args)]
#[group(id = "Caution", multiple = true)]
#[allow(clippy::struct_excessive_bools, reason = "flags")]
struct Caution {
    /// Change nothing if the pending files have warnings
    #[arg(long)]
    deny_warnings: bool,
    /// Show which files would be applied where, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the SQL that would run, once for all tenants for which it is the same, and change nothing
    #[arg(long, conflicts_with = "dry_run")]
    sql: bool,
    /// Undo migrations without asking
    #[arg(long)]
    yes: bool,
}

/// The share of the server that it may take.
#[derive(Debug, clap::Args)]
struct Effort {
    /// The number of tenants to migrate at a time, each on a connection of its own
    #[arg(long, value_name = "N", default_value_t = MigrateOptions::default().jobs)]
    jobs: NonZeroU32,
    /// The longest that a statement may wait for a lock, before the tenant is tried again later; 0 for no limit
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = LOCK_TIMEOUT)]
    #[arg(alias = "lock-timeout-ms")]
    lock_timeout: Duration,
    /// The longest that a statement in a transaction may run; 0 for no limit
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = STATEMENT_TIMEOUT)]
    #[arg(alias = "statement-timeout-ms")]
    statement_timeout: Duration,
    /// The number of attempts for a tenant whose migration could not get a lock
    #[arg(long, value_name = "N", default_value_t = MigrateOptions::default().attempts)]
    attempts: NonZeroU32,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_files(cx, async |cx, tenancy| {
        let Options { selection, course, effort, resume, wait, caution, marks } = options;
        if let Some(order) = marks.order() {
            return carry_out(cx, tenancy, &selection.fleet(), order).await;
        }
        let what = match resume {
            Some(id) => resumed(tenancy, id).await?,
            None => begun(selection, course),
        };
        let migrate = with_effort(what, &effort, wait);
        let warnings = tenancy.lint(migrate.clone()).await?;
        note_creation(cx, tenancy.migrations());
        warn(cx, &warnings, caution.deny_warnings)?;
        if caution.dry_run {
            return dry_run(cx, tenancy, migrate, &warnings).await;
        }
        if caution.sql {
            return print_sql(cx, tenancy, migrate, &warnings).await;
        }
        if migrate.to.is_some() && !confirm_undoing(tenancy, &migrate, caution.yes).await? {
            return Ok(Finish::Done);
        }
        let progress = Progress::new(cx.output.format());
        // It ends after the tenants under way.
        let result = until_interrupted(tenancy.migrate(migrate, &progress), || progress.cancel()).await;
        let failures = progress.finish();
        let summary = result?;
        print(cx, summary, &failures, &warnings);
        finish(summary)
    })
    .await
}

fn begun(selection: Selection, course: Course) -> MigrateOptions {
    let Course { to, allow_out_of_order, canary, max_failures } = course;
    MigrateOptions { to, allow_out_of_order, canaries: canary, max_failures, ..selection.fleet().into() }
}

async fn resumed(tenancy: &Tenancy, id: Option<i64>) -> anyhow::Result<MigrateOptions> {
    let run = match id {
        Some(id) => tenancy.run(id).await?,
        None => tenancy.unfinished_run().await?,
    };
    let run = run.ok_or_else(|| {
        let name = id.map_or_else(|| "no unfinished run".to_owned(), |id| format!("no run {id}"));
        Failure::new("unknown_run", format!("there is {name} to go on with"))
            .with_hint("`tenantry runs` shows the runs there are; `tenantry migrate` begins a new one")
    })?;
    Ok(MigrateOptions::resuming(&run)?)
}

fn with_effort(what: MigrateOptions, effort: &Effort, wait: bool) -> MigrateOptions {
    let limits = Limits { lock_timeout: effort.lock_timeout, statement_timeout: effort.statement_timeout };
    MigrateOptions {
        jobs: effort.jobs,
        limits,
        attempts: effort.attempts,
        wait,
        operator: operator(),
        ..what
    }
}

/// The user, the host and the process that call.
/// Asks before migrations are undone, which takes tables and columns with all that is in them.
async fn confirm_undoing(tenancy: &Tenancy, options: &MigrateOptions, is_sure: bool) -> anyhow::Result<bool> {
    let mut schemas = 0;
    tenancy
        .preview(options.clone(), |preview| {
            let changes = preview.changes.unwrap_or_default();
            schemas += usize::from(changes.iter().any(|change| change.direction() == Direction::Down));
        })
        .await?;
    if schemas == 0 {
        return Ok(true);
    }
    confirm(
        &format!("undo migrations of {schemas} tenants, and lose what they hold in what is dropped"),
        is_sure,
    )
}

/// Says what stands in the way of new tenants only; what stands in the way of a run is its error.
fn note_creation(cx: &Context, migrations: &Migrations) {
    if migrations.mistakes().iter().all(|mistake| mistake.version().is_none()) {
        note_mistakes(cx.output.format(), migrations);
    }
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

fn print(cx: &mut Context, summary: Summary, failures: &Failures, warnings: &[Warning]) {
    let Summary { run, migrated, up_to_date, failed, stopped } = summary;
    match cx.output.format() {
        Format::Json => cx.output.json(&json!({
            "run": run,
            "migrated": migrated,
            "up_to_date": up_to_date,
            "failed": failed,
            "stopped": stopped,
            "failures": failures.reports,
            "groups": failures.causes,
            "warnings": warnings,
        })),
        Format::Table => {
            cx.output
                .line(&format!("schemas: {migrated} migrated, {up_to_date} up to date, {failed} failed"));
        }
    }
}

fn finish(summary: Summary) -> anyhow::Result<Finish> {
    match (summary.stopped, summary.run) {
        (Some(stopped), Some(run)) => Err(Failure::new("stopped", format!("run {run} stopped: {stopped}"))
            .with_hint(format!(
                "`tenantry migrate --resume` continues it; `tenantry runs show {run}` shows what it did"
            ))
            .into()),
        (Some(stopped), None) => Err(Failure::new("stopped", stopped.to_string()).into()),
        (None, _) if summary.failed > 0 => Ok(Finish::SomeFailed),
        (None, _) => Ok(Finish::Done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_of_the_library() {
        let Limits { lock_timeout, statement_timeout } = Limits::default();
        assert_eq!(parse_duration(LOCK_TIMEOUT), Ok(lock_timeout));
        assert_eq!(parse_duration(STATEMENT_TIMEOUT), Ok(statement_timeout));
    }
}
