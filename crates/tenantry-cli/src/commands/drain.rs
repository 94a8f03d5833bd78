//! Empties a database of its tenants.
use serde_json::{Value, json};
use tenantry::lifecycle::{DrainPlan, PlannedMove};
use tenantry::tenant::{Alias, Status};
use tenantry::{Config, MoveOptions, Moved, Tenancy};

use super::relocate::{warn, watched};
use crate::away;
use crate::causes::Causes;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::failure::Report;
use crate::output::{Format, note};
use crate::progress::Progress;

/// Close a database for good, and move its tenants
///
/// The tenants are spread over the other databases that are open and answer, as new ones would be. Spares are removed.
/// Without --online or --offline nobody is moved: it shows where they go. Repeat the command to go on, and to see what
/// is left.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The name of the database in the configuration
    #[arg(value_parser = Alias::parse)]
    alias: Alias,
    /// Only to this database; repeatable
    #[arg(long, value_name = "ALIAS", value_parser = Alias::parse)]
    to: Vec<Alias>,
    /// Move the tenants one after the other, each while it is read and written; what fails stops no other
    #[arg(long, conflicts_with = "offline")]
    online: bool,
    /// Move the tenants one after the other, each while its checkouts wait; what fails stops no other
    #[arg(long)]
    offline: bool,
    /// Show what would be done, and change nothing
    #[arg(long, conflicts_with_all = ["online", "offline"])]
    dry_run: bool,
}

/// The work that was done.
#[derive(Default)]
struct Done {
    was_open: bool,
    spares: usize,
    moved: Vec<Moved>,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, config, tenancy| {
        // What cannot be planned is refused before anything is closed.
        tenancy.plan_drain(&options.alias, &options.to).await?;
        let mut done = if options.dry_run { Done::default() } else { begin(tenancy, &options.alias).await? };
        let mut plan = tenancy.plan_drain(&options.alias, &options.to).await?;
        if options.online || options.offline {
            done.moved = relocate_all(cx, config, tenancy, &plan, options.online).await?;
            plan = tenancy.plan_drain(&options.alias, &options.to).await?;
        }
        match cx.output.format() {
            Format::Json => cx.output.json(&json_of(&plan, &done)),
            Format::Table => print(cx, &plan, &done, options.dry_run),
        }
        let finish = report(cx, &plan);
        Ok(away::tell_some(cx.output.format(), tenancy, |alias| *alias == options.alias, finish))
    })
    .await
}

/// Closes the database, and removes its spares. One that does not answer has its tenants counted all the same.
async fn begin(tenancy: &Tenancy, alias: &Alias) -> anyhow::Result<Done> {
    let was_open = tenancy.close_database(alias).await?;
    match tenancy.remove_spares(alias).await {
        Ok(spares) => Ok(Done { was_open, spares, ..Done::default() }),
        Err(_) if tenancy.unreachable().contains_key(alias) => Ok(Done { was_open, ..Done::default() }),
        Err(error) => Err(error.into()),
    }
}

/// Moves those who have somewhere to go. What fails is told, and the tenant is where it was.
async fn relocate_all(
    cx: &Context,
    config: &Config,
    tenancy: &Tenancy,
    plan: &DrainPlan,
    is_online: bool,
) -> anyhow::Result<Vec<Moved>> {
    let format = cx.output.format();
    let progress = Progress::new(format);
    let (mut all, mut causes) = (Vec::new(), Causes::default());
    for PlannedMove { tenant, to, is_under_way, .. } in &plan.moves {
        let Ok(to) = to else { continue };
        let order = MoveOptions::to(to.clone());
        let order = if is_online { order.online() } else { order };
        let order = if *is_under_way { MoveOptions::resume() } else { order };
        match watched(&progress, config, tenancy, tenant, order).await {
            Ok(moved) => {
                let (slug, to) = (moved.tenant.slug(), moved.tenant.database());
                note(format, &format!("moved tenant {slug} to {to}, {} rows", moved.rows));
                warn(format, &moved);
                all.push(moved);
            }
            Err(error) if progress.is_cancelled() => return Err(error),
            Err(error) => causes.tell(format, &Report::of(error.as_ref()).of_tenant(tenant)),
        }
    }
    causes.finish(format);
    Ok(all)
}

/// Says why some have nowhere to go. Somebody left is a reason to repeat the command.
fn report(cx: &mut Context, plan: &DrainPlan) -> Finish {
    cx.output.flush();
    let mut causes = Causes::default();
    let format = cx.output.format();
    for PlannedMove { tenant, to, .. } in &plan.moves {
        if let Err(error) = to {
            causes.tell(format, &Report::of(error).of_tenant(tenant));
        }
    }
    causes.finish(format);
    if plan.moves.is_empty() && plan.staying.is_empty() { Finish::Done } else { Finish::SomeFailed }
}

fn json_of(plan: &DrainPlan, done: &Done) -> Value {
    let moves = plan.moves.iter().map(|planned| {
        json!({
            "slug": planned.tenant.slug(),
            "status": planned.tenant.status(),
            "to": planned.to.as_ref().ok(),
            "under_way": planned.is_under_way,
        })
    });
    let finished = done.moved.iter().map(|moved| {
        json!({
            "slug": moved.tenant.slug(),
            "to": moved.tenant.database(),
            "copied": moved.rows,
            "stalled_ms": moved.stalled_ms,
            "kept_schema": moved.kept_schema,
            "notes": moved.notes,
        })
    });
    json!({
        "database": plan.database,
        "moved": finished.collect::<Vec<_>>(),
        "moves": moves.collect::<Vec<_>>(),
        "staying": plan.staying,
        "removed": done.spares,
    })
}

fn print(cx: &mut Context, plan: &DrainPlan, done: &Done, is_dry: bool) {
    let rows = plan.moves.iter().map(|PlannedMove { tenant, to, is_under_way, .. }| {
        let command = match to {
            Ok(_) if *is_under_way => format!("tenantry move {}", tenant.slug()),
            Ok(to) => format!("tenantry move {} --to {to} --offline", tenant.slug()),
            Err(_) => "nowhere".to_owned(),
        };
        vec![tenant.slug().to_string(), tenant.status().to_string(), command]
    });
    if !plan.moves.is_empty() {
        cx.output.table(&["SLUG", "STATUS", "BY"], rows);
    }
    let alias = &plan.database;
    if is_dry {
        note(
            Format::Table,
            &format!("nothing was changed: without --dry-run, `{alias}` is closed to new tenants"),
        );
    } else {
        let closed = if done.was_open { "is closed now" } else { "was closed before" };
        note(Format::Table, &format!("database `{alias}` {closed}, {} spares were removed", done.spares));
    }
    let left = std::iter::once(format!("{} to move", plan.moves.len()));
    let staying =
        plan.staying.iter().map(|(status, count)| format!("{count} {status} ({})", ends_by(*status)));
    note(Format::Table, &format!("left: {}", left.chain(staying).collect::<Vec<_>>().join(", ")));
}

/// The way in which a tenant leaves that no move takes along.
fn ends_by(status: Status) -> &'static str {
    match status {
        Status::Deleted | Status::Purging => "until `tenantry purge`",
        _ => "until it is made or `create --abort` removes it",
    }
}
