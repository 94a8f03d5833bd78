//! The databases that tenants live in.
use serde_json::{Value, json};
use tenantry::tenant::Alias;
use tenantry::{DatabaseState, Tenancy};

use super::show::in_units;
use crate::away;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::failure::Report;
use crate::output::{Format, note};

/// List the databases, close one to new tenants, or open it
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the databases: how many tenants and bytes they hold, and whether they take new tenants
    List,
    /// Let no new tenants come to a database. Those that live there are served as before
    Close {
        /// Its name in the configuration
        #[arg(value_parser = Alias::parse)]
        alias: Alias,
    },
    /// Let new tenants come to it again
    Open {
        /// Its name in the configuration
        #[arg(value_parser = Alias::parse)]
        alias: Alias,
    },
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| match options.action {
        Action::List => list(cx, tenancy).await,
        Action::Close { alias } => {
            let was_open = tenancy.close_database(&alias).await?;
            let told = if was_open { "is closed to new tenants" } else { "was closed already" };
            Ok(changed(cx, &alias, true, told))
        }
        Action::Open { alias } => {
            let was_closed = tenancy.open_database(&alias).await?;
            let told = if was_closed { "is open to new tenants" } else { "was open already" };
            let finish = changed(cx, &alias, false, told);
            let is_closed = |state: &DatabaseState| state.alias == alias && state.is_closed_by_configuration;
            if tenancy.databases().await?.iter().any(is_closed) {
                note(cx.output.format(), &format!("warning: the configuration still closes `{alias}`"));
            }
            Ok(finish)
        }
    })
    .await
}

fn changed(cx: &mut Context, alias: &Alias, is_closed: bool, told: &str) -> Finish {
    match cx.output.format() {
        Format::Json => cx.output.json(&json!({ "database": alias, "closed": is_closed })),
        Format::Table => cx.output.line(&format!("database {alias} {told}")),
    }
    Finish::Done
}

async fn list(cx: &mut Context, tenancy: &Tenancy) -> anyhow::Result<Finish> {
    let states = tenancy.databases().await?;
    match cx.output.format() {
        Format::Json => cx.output.json(&states.iter().map(json_of).collect::<Vec<_>>()),
        Format::Table => {
            let header = ["DATABASE", "TENANTS", "SIZE", "NEW TENANTS", "ADDRESS"];
            cx.output.rows(Some(&header), &[1, 2], states.iter().map(row));
        }
    }
    Ok(away::tell(cx.output.format(), tenancy, Finish::Done))
}

fn json_of(state: &DatabaseState) -> Value {
    json!({
        "database": state.alias,
        "address": state.address,
        "tenants": state.tenants,
        "size_bytes": state.bytes,
        "closed": state.is_closed(),
        "closed_at": state.closed.as_ref().map(|closed| json!(closed)["at"].clone()),
        "operator": state.closed.as_ref().map(|closed| &closed.by),
        "error": state.error.as_ref().map(|error| Report::of(error).error().to_owned()),
    })
}

fn row(state: &DatabaseState) -> Vec<String> {
    let takes = match (&state.closed, state.is_closed_by_configuration) {
        (_, true) => "closed by the configuration".to_owned(),
        (Some(closed), false) => format!("closed by {}", closed.by),
        (None, false) if state.error.is_some() => "does not answer".to_owned(),
        (None, false) => "open".to_owned(),
    };
    let size = state.bytes.map(|bytes| in_units(i64::try_from(bytes).unwrap_or(i64::MAX)));
    vec![
        state.alias.to_string(),
        state.tenants.to_string(),
        size.unwrap_or_default(),
        takes,
        state.address.clone(),
    ]
}
