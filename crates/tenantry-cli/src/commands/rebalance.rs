//! Spreads tenants evenly over the nodes of Citus.

use serde_json::{Value, json};
use tenantry::Tenancy;
use tenantry::lifecycle::PlannedNodeMove;
use tenantry::registry::MoveMethod;
use tenantry::tenant::Alias;

use crate::causes::Causes;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::failure::Report;
use crate::output::{Format, note};

/// Spread tenants evenly over the nodes of Citus
///
/// Citus says which go where, by their sizes. Without --online or --offline nobody is moved: it shows the plan.
/// What Citus has moved by itself, --record has the registry know.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The name of the database in the configuration
    #[arg(default_value = "default", value_parser = Alias::parse)]
    alias: Alias,
    /// Move the tenants one after the other, each while it is read and written; what fails stops no other
    #[arg(long, conflicts_with = "offline")]
    online: bool,
    /// Move the tenants one after the other, each while writers wait; what fails stops no other
    #[arg(long)]
    offline: bool,
    /// Move nobody, and write into the registry which node each tenant is on
    #[arg(long, conflicts_with_all = ["online", "offline"])]
    record: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        if options.record {
            let corrected = tenancy.record_nodes(&options.alias).await?;
            match cx.output.format() {
                Format::Json => cx.output.json(&json!({ "database": options.alias, "recorded": corrected })),
                Format::Table => note(Format::Table, &format!("recorded the nodes of {corrected} tenants")),
            }
            return Ok(Finish::Done);
        }
        let mut plan = tenancy.plan_rebalance(&options.alias).await?;
        if options.online || options.offline {
            let method = if options.online { MoveMethod::Online } else { MoveMethod::Offline };
            move_all(cx, tenancy, &plan, method).await;
            plan = tenancy.plan_rebalance(&options.alias).await?;
        }
        print(cx, &options.alias, &plan);
        let is_left =
            (options.online || options.offline) && plan.iter().any(|planned| planned.tenant.is_some());
        Ok(if is_left { Finish::SomeFailed } else { Finish::Done })
    })
    .await
}

async fn move_all(cx: &Context, tenancy: &Tenancy, plan: &[PlannedNodeMove], method: MoveMethod) {
    let format = cx.output.format();
    let mut causes = Causes::default();
    for PlannedNodeMove { tenant, to, .. } in plan {
        let Some(tenant) = tenant else { continue };
        match tenancy.move_to_node(tenant, to, method).await {
            Ok(moved) => {
                let took = moved.took.as_millis();
                note(format, &format!("moved tenant {} to {to} in {took} ms", tenant.slug()));
            }
            Err(error) => causes.tell(format, &Report::of(&error).of_tenant(tenant)),
        }
    }
    causes.finish(format);
}

fn print(cx: &mut Context, alias: &Alias, plan: &[PlannedNodeMove]) {
    let slug = |planned: &PlannedNodeMove| planned.tenant.as_ref().map(|tenant| tenant.slug().to_string());
    if cx.output.format() == Format::Json {
        let moves = plan.iter().map(|planned| {
            json!({
                "slug": slug(planned),
                "schema": planned.schema,
                "from": planned.from.to_string(),
                "to": planned.to.to_string(),
                "size_bytes": planned.bytes,
            })
        });
        cx.output.json(&json!({ "database": alias, "moves": moves.collect::<Vec<Value>>() }));
        return;
    }
    let rows = plan.iter().map(|planned| {
        let name = slug(planned).unwrap_or_else(|| format!("(schema {})", planned.schema));
        vec![name, planned.from.to_string(), planned.to.to_string(), planned.bytes.to_string()]
    });
    if !plan.is_empty() {
        cx.output.table(&["SLUG", "FROM", "TO", "BYTES"], rows);
    }
    note(Format::Table, &format!("left: {} to move", plan.len()));
}
