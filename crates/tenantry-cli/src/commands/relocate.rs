//! Moves a tenant to another database, or to another node of Citus: the command `move`.

mod to_node;

use anyhow::Context as _;
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use tenantry::database::Period;
use tenantry::tenant::Tenant;
use tenantry::{Config, MoveOptions, MovePlan, Moved, Tenancy};

use self::to_node::{Destination, method_of, move_to_node};
use super::show;
use crate::connect::{configuration, with_tenancy_of};
use crate::context::{Context, Finish};
use crate::interrupt::{interrupted, until_interrupted};
use crate::output::{Format, note};
use crate::pg_dump::PgDump;
use crate::progress::Progress;
use crate::slugs::complete_slugs;

/// Move a tenant to another database or node of Citus
///
/// Without --online or --offline it says which of the two is possible, and how long checkouts would wait. Its schema is
/// kept in the database that it leaves, under another name, until `tenantry purge --due` drops it. What fails is
/// undone. After a process has died, the same command goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry move acme --to eu              says what it would cost
  tenantry move acme --to eu --online     moves it, while it is read and written
  tenantry move acme --to eu --offline    moves it, while its checkouts wait
  tenantry move acme --to worker-2:5432 --online
                                          moves it to another node of Citus
  tenantry move acme                      goes on with a move that was interrupted
  tenantry move acme --abort              undoes one")]
pub(crate) struct Options {
    /// The tenant
    #[arg(add = ArgValueCompleter::new(complete_slugs))]
    slug: String,
    /// The database that it goes to, by its name in the configuration, or the node as HOST:PORT; not needed to go on
    #[arg(long, value_name = "ALIAS", required_if_eq_any([("online", "true"), ("offline", "true")]))]
    to: Option<Destination>,
    /// Repeat changes while it is read and written, so that checkouts wait for the last of them only; needs `wal_level
    /// = logical`, and an owner with REPLICATION
    #[arg(long, conflicts_with = "offline")]
    online: bool,
    /// Have its checkouts wait while all rows are copied; owning its tables suffices
    #[arg(long)]
    offline: bool,
    /// The time for which the copy in the database that it leaves is kept
    #[arg(long, value_name = "TIME", default_value = "1d", requires = "to")]
    keep: Period,
    /// Undo a move that was interrupted, as long as that is possible
    #[arg(long, conflicts_with_all = ["to", "online", "offline"])]
    abort: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let config = configuration(&cx.global).await?;
    with_tenancy_of(cx, &config, async |cx, tenancy| {
        let tenant = tenancy.tenant(&options.slug).await?;
        match options.to {
            _ if options.abort => abort(cx, tenancy, &tenant).await,
            Some(Destination::Node(node)) => {
                let method = method_of(options.online, options.offline)?;
                move_to_node(cx, tenancy, &tenant, &node, method).await
            }
            Some(Destination::Database(to)) if options.online || options.offline => {
                let order = MoveOptions::to(to).keep(options.keep);
                let order = if options.online { order.online() } else { order };
                relocate(cx, &config, tenancy, &tenant, order).await
            }
            Some(Destination::Database(to)) => {
                print_plan(cx, &tenancy.examine_move(&tenant, &to).await?);
                Ok(())
            }
            None => relocate(cx, &config, tenancy, &tenant, MoveOptions::resume()).await,
        }
    })
    .await?;
    Ok(Finish::Done)
}

async fn relocate(
    cx: &mut Context,
    config: &Config,
    tenancy: &Tenancy,
    tenant: &Tenant,
    order: MoveOptions,
) -> anyhow::Result<()> {
    let progress = Progress::new(cx.output.format());
    let moved = watched(&progress, config, tenancy, tenant, order).await?;
    warn(cx.output.format(), &moved);
    let (slug, to) = (moved.tenant.slug(), moved.tenant.database());
    let told = match &moved.from {
        None => format!("tenant {slug} is in database {to} already"),
        Some(from) => format!(
            "moved tenant {slug} from {from} to {to}, {} rows; checkouts waited for {} ms",
            moved.rows, moved.stalled_ms
        ),
    };
    note(cx.output.format(), &told);
    print(cx, tenancy, &moved).await
}

/// Tells what a tenant is without where it is now. Programs are told in the JSON.
pub(super) fn warn(format: Format, moved: &Moved) {
    for line in &moved.notes {
        note(format, &format!("warning: {line}"));
    }
}

/// Shows how the work goes on. Once interrupted, it undoes what it did.
pub(super) async fn watched(
    progress: &Progress,
    config: &Config,
    tenancy: &Tenancy,
    tenant: &Tenant,
    order: MoveOptions,
) -> anyhow::Result<Moved> {
    // The program is looked for only where it is needed.
    let dump = async |arguments: &[String]| {
        PgDump::for_server(config, tenancy, tenant.database()).await?.run(arguments)
    };
    let work = tenancy.move_tenant_observed(tenant, order, progress, dump);
    let result = until_interrupted(work, || progress.cancel()).await;
    progress.finish();
    match result {
        Err(_) if progress.is_cancelled() => Err(interrupted().into()),
        result => result,
    }
}

async fn abort(cx: &mut Context, tenancy: &Tenancy, tenant: &Tenant) -> anyhow::Result<()> {
    let tenant = tenancy.abort_move(tenant).await?;
    let told = format!("tenant {} stays in database {}", tenant.slug(), tenant.database());
    note(cx.output.format(), &told);
    show::print(cx, tenancy, &tenant).await
}

async fn print(cx: &mut Context, tenancy: &Tenancy, moved: &Moved) -> anyhow::Result<()> {
    match cx.output.format() {
        Format::Table => show::print(cx, tenancy, &moved.tenant).await,
        Format::Json => {
            let mut json = serde_json::to_value(&moved.tenant).context("a tenant is a JSON object")?;
            json["from"] = json!(moved.from);
            json["copied"] = json!(moved.rows);
            json["stalled_ms"] = json!(moved.stalled_ms);
            json["kept_schema"] = json!(moved.kept_schema);
            json["notes"] = Value::from(moved.notes.clone());
            cx.output.json(&json);
            Ok(())
        }
    }
}

fn print_plan(cx: &mut Context, plan: &MovePlan) {
    let (slug, from, to) = (plan.tenant.slug(), plan.tenant.database(), &plan.to);
    if cx.output.format() == Format::Json {
        cx.output.json(&json!({
            "slug": slug,
            "database": from,
            "to": to,
            "tables": plan.tables,
            "size_bytes": plan.size_bytes,
            "online": {
                "is_possible": plan.refused.is_empty() && plan.online_refused.is_none(),
                "stall_ms": plan.online_stall_ms,
                "refused": plan.online_refused,
            },
            "offline": { "is_possible": plan.refused.is_empty(), "stall_ms": plan.stall_ms },
            "refused": plan.refused,
        }));
        return;
    }
    let mut facts = vec![
        ("tenant", slug.to_string()),
        ("from", from.to_string()),
        ("to", to.to_string()),
        ("tables", plan.tables.to_string()),
        ("size", format!("{} bytes", plan.size_bytes)),
    ];
    let way = |is_possible, stall_ms| {
        if from == to {
            "not needed: it is there".to_owned()
        } else if is_possible {
            format!("possible: its checkouts would wait for about {stall_ms} ms")
        } else {
            "not possible".to_owned()
        }
    };
    let is_possible = plan.refused.is_empty();
    facts.push(("--online", way(is_possible && plan.online_refused.is_none(), plan.online_stall_ms)));
    for refusal in plan.online_refused.iter().filter(|_| is_possible) {
        facts.push(("reason", refusal.what.clone()));
        facts.extend(refusal.hint.iter().map(|hint| ("hint", hint.clone())));
    }
    facts.push(("--offline", way(is_possible, plan.stall_ms)));
    for refusal in &plan.refused {
        facts.push(("reason", refusal.what.clone()));
        facts.extend(refusal.hint.iter().map(|hint| ("hint", hint.clone())));
    }
    cx.output.facts(&facts);
}
