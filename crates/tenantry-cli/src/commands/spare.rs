//! Schemas built ahead of time.
use serde_json::json;
use tenantry::registry::Spare;

use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::output::Format;

/// Build schemas ahead of time, from which tenants are made in milliseconds
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Remove the spares that are stale, and make new ones until there are this many
    Fill {
        #[arg(long, value_name = "N", default_value_t = 10)]
        count: u32,
    },
    /// List the spares
    List,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        match options.action {
            Action::Fill { count } => {
                let summary = tenancy.fill_spares(count).await?;
                match cx.output.format() {
                    Format::Json => cx.output.json(&summary),
                    Format::Table => {
                        let (made, removed) = (summary.made, summary.removed);
                        cx.output.line(&format!("spares: {made} made, {removed} stale ones removed"));
                    }
                }
            }
            Action::List => {
                let spares = tenancy.spares().await?;
                match cx.output.format() {
                    Format::Json => cx.output.json(&spares),
                    Format::Table => {
                        cx.output.table(&["schema", "migrations", "created"], spares.iter().map(row));
                    }
                }
            }
        }
        Ok(Finish::Done)
    })
    .await
}

fn row(spare: &Spare) -> Vec<String> {
    let migrations = if spare.is_current { "up to date" } else { "behind" };
    // As JSON has it.
    let created = json!(spare)["created_at"].as_str().unwrap_or_default().to_owned();
    vec![spare.schema.to_string(), migrations.to_owned(), created]
}
