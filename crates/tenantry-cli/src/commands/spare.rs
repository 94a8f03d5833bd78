//! Schemas built ahead of time.
use std::collections::BTreeMap;

use serde_json::json;
use tenantry::registry::Spare;
use tenantry::tenant::TypeName;
use tenantry::{SpareSummary, Tenancy};

use crate::away;
use crate::connect::{configuration, with_files, with_tenancy};
use crate::context::{Context, Finish};
use crate::interrupt::{interrupted, until_interrupted};
use crate::output::Format;
use crate::progress::Progress;

/// Build schemas ahead of time, for sign-ups in milliseconds
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Remove the spares that are stale, and make new ones until there are this many in each database that new tenants
    /// come to
    Fill {
        #[arg(long, value_name = "N", default_value_t = 10)]
        count: u32,
        /// Make them for tenants of this type alone; without it, those of all types that have `spares` in
        /// tenantry.toml are filled as well
        #[arg(long = "type", value_name = "TYPE", value_parser = TypeName::parse)]
        type_name: Option<TypeName>,
    },
    /// List the spares
    List,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    match options.action {
        Action::Fill { count, type_name } => {
            let of_types = match &type_name {
                Some(_) => BTreeMap::new(),
                None => configuration(&cx.global).await?.type_spares(),
            };
            let of_types = of_types.into_iter().map(|(name, count)| (Some(name), count));
            let wanted: Vec<_> = std::iter::once((type_name, count)).chain(of_types).collect();
            with_files(cx, async |cx, tenancy| fill(cx, tenancy, &wanted).await).await
        }
        Action::List => with_tenancy(cx, async |cx, _, tenancy| list(cx, tenancy).await).await,
    }
}

async fn fill(
    cx: &mut Context,
    tenancy: &Tenancy,
    wanted: &[(Option<TypeName>, u32)],
) -> anyhow::Result<Finish> {
    let progress = Progress::new(cx.output.format());
    let fill = async {
        let mut summary = SpareSummary::default();
        for (type_name, count) in wanted {
            let filled = match type_name {
                Some(type_name) => tenancy.fill_spares_of_type(type_name, *count, &progress).await?,
                None => tenancy.fill_spares_observed(*count, &progress).await?,
            };
            summary.made += filled.made;
            summary.removed += filled.removed;
        }
        Ok::<_, tenantry::Error>(summary)
    };
    let filled = until_interrupted(fill, || progress.cancel()).await;
    progress.finish();
    let summary = filled?;
    match cx.output.format() {
        Format::Json => cx.output.json(&summary),
        Format::Table => {
            let (made, removed) = (summary.made, summary.removed);
            cx.output.line(&format!("spares: {made} made, {removed} stale ones removed"));
        }
    }
    if progress.is_cancelled() {
        return Err(interrupted().into());
    }
    Ok(away::tell(cx.output.format(), tenancy, Finish::Done))
}

async fn list(cx: &mut Context, tenancy: &Tenancy) -> anyhow::Result<Finish> {
    let spares = tenancy.spares().await?;
    match cx.output.format() {
        Format::Json => cx.output.json(&spares),
        Format::Table => {
            let header = ["schema", "type", "migrations", "created", "database"];
            cx.output.table(&header, spares.iter().map(row));
        }
    }
    Ok(away::tell(cx.output.format(), tenancy, Finish::Done))
}

fn row(spare: &Spare) -> Vec<String> {
    let migrations = if spare.is_current { "up to date" } else { "behind" };
    // As JSON has it.
    let created = json!(spare)["created_at"].as_str().unwrap_or_default().to_owned();
    let type_name = spare.type_name.as_ref().map(ToString::to_string).unwrap_or_default();
    let database = spare.database.to_string();
    vec![spare.schema.to_string(), type_name, migrations.to_owned(), created, database]
}
