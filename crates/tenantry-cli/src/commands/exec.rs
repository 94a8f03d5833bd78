//! Runs the operator's own SQL, word for word, in the schema of a tenant.
mod answer;
mod counts;
mod fleet;
mod one;
mod rows;
mod session;
mod value;

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap_complete::ArgValueCompleter;
use tenantry::Fleet;
use tenantry::tenant::Slug;

use self::fleet::Orders;
use self::session::Terms;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::input::read_text;
use crate::slugs::complete_slugs;

/// Run SQL in the schemas of tenants, or in the master schema
///
/// Several statements are one transaction, unless they say otherwise. The answers of several tenants are one
/// table, in the order of their slugs. The answer of a tenant that is done early waits in memory for its turn:
/// at most 64 do, with a few hundred kB each.
///
/// As JSON, numbers, booleans, JSON and arrays of what PostgreSQL brings are what they are; all else is a text, as
/// PostgreSQL writes it: enums, and also composite types, ranges, and arrays of types that are made by `CREATE TYPE`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Leave out this tenant; repeatable
    #[arg(long, value_name = "SLUG", conflicts_with_all = ["tenants", "master"])]
    #[arg(add = ArgValueCompleter::new(complete_slugs))]
    exclude: Vec<Slug>,
    #[command(flatten)]
    source: Source,
    /// The number of tenants at a time; at most the connections that one tenant may have, which is
    /// `pool.max_connections` less `pool.reserve`
    #[arg(long, value_name = "N", default_value = "4")]
    jobs: NonZeroU32,
    #[command(flatten)]
    terms: Terms,
}

/// The place where it runs. There is no default: a tenant is an explicit value.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// Run in the schema of this tenant; repeatable
    #[arg(long = "tenant", value_name = "SLUG", add = ArgValueCompleter::new(complete_slugs))]
    tenants: Vec<Slug>,
    /// Run in the master schema
    #[arg(long)]
    master: bool,
    /// Run in the schema of each active tenant; one that fails does not stop the others
    #[arg(long)]
    all: bool,
    /// Run in the schema of each active tenant for which this holds: SQL over the columns of
    /// `tenantry.tenant`, such as "settings->>'plan' = 'pro'"
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// The statements, or `-` to read them from stdin
    sql: Option<String>,
    /// The file the statements are in
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let (sql, terms) = (read_sql(&options.source)?, options.terms);
    with_tenancy(cx, async |cx, _, tenancy| match options.target.fleet() {
        Some(fleet) => {
            let fleet = fleet.except(options.exclude);
            Box::pin(fleet::run(cx, tenancy, fleet, options.jobs, Orders { sql: sql.into(), terms })).await
        }
        None => match options.target.tenants.first() {
            Some(slug) => {
                let tenant = tenancy.tenant(slug.as_str()).await?;
                one::run(cx, tenancy, Some(&tenant), &sql, terms).await
            }
            None => one::run(cx, tenancy, None, &sql, terms).await,
        },
    })
    .await
}

impl Target {
    /// The tenants, unless it is one or the master schema.
    fn fleet(&self) -> Option<Fleet> {
        match (&self.condition, &*self.tenants) {
            (Some(condition), _) => Some(Fleet::matching(condition)),
            (None, []) if self.all => Some(Fleet::all()),
            (None, [] | [_]) => None,
            (None, slugs) => Some(Fleet::only(slugs.iter().cloned())),
        }
    }
}

fn read_sql(source: &Source) -> anyhow::Result<String> {
    match (&source.sql, &source.file) {
        (_, Some(file)) => read_text(Some(file)),
        (Some(sql), None) if sql == "-" => read_text(None),
        (sql, None) => Ok(sql.clone().unwrap_or_default()),
    }
}
