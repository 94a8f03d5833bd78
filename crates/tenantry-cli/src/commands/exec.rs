//! Runs the operator's own SQL, word for word, in the schema of a tenant.
mod answer;
mod fleet;
mod rows;

use std::fs;
use std::io::Read as _;
use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use sqlx::postgres::PgErrorPosition;
use sqlx::{AssertSqlSafe, Either, Row as _};
use tenantry::pool::Checkout;
use tenantry::tenant::{Slug, Tenant};
use tenantry::{Fleet, Tenancy};

use self::answer::Answer;
use self::rows::Rows;
use super::{Context, Finish};
use crate::connect::with_tenancy;
use crate::failure::{self, Failure};

/// Run SQL in the schema of a tenant, in the master schema, or in the schema of every tenant
///
/// Several statements at once are one transaction, unless they say otherwise. What several tenants answer is one
/// table, in the order of their slugs, whoever is done first. Meanwhile those behind wait with a few hundred kB
/// each, 64 of them at most.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Not in this tenant; repeatable
    #[arg(long, value_name = "SLUG", conflicts_with_all = ["tenants", "master"])]
    exclude: Vec<Slug>,
    #[command(flatten)]
    source: Source,
    /// How many tenants at a time; no more than one tenant may have connections, which is `pool.max_connections`
    /// less `pool.reserve`
    #[arg(long, value_name = "N", default_value = "4")]
    jobs: NonZeroU32,
}

/// Where it runs. There is no default: a tenant is an explicit value.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// In the schema of this tenant; of each of them when repeated
    #[arg(long = "tenant", value_name = "SLUG")]
    tenants: Vec<Slug>,
    /// In the master schema
    #[arg(long)]
    master: bool,
    /// In the schema of each active tenant; those that fail stop nobody
    #[arg(long)]
    all: bool,
    /// In the schema of each active tenant for which this holds: SQL over the columns of
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
    let sql = read_sql(&options.source)?;
    with_tenancy(cx, async |cx, _, tenancy| match options.target.fleet() {
        Some(fleet) => {
            let fleet = fleet.except(options.exclude);
            Box::pin(fleet::run(cx, tenancy, fleet, options.jobs, sql.into())).await
        }
        None => match options.target.tenants.first() {
            Some(slug) => {
                let tenant = tenancy.tenant(slug.as_str()).await?;
                run_in_one(cx, tenancy, Some(&tenant), &sql).await
            }
            None => run_in_one(cx, tenancy, None, &sql).await,
        },
    })
    .await
}

impl Target {
    /// Which tenants, unless it is one or the master schema.
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
        (_, Some(file)) => {
            fs::read_to_string(file).with_context(|| format!("`{}` cannot be read", file.display()))
        }
        (Some(sql), None) if sql == "-" => {
            let mut sql = String::new();
            std::io::stdin().read_to_string(&mut sql).context("stdin cannot be read")?;
            Ok(sql)
        }
        (sql, None) => Ok(sql.clone().unwrap_or_default()),
    }
}

async fn run_in_one(
    cx: &mut Context,
    tenancy: &Tenancy,
    tenant: Option<&Tenant>,
    sql: &str,
) -> anyhow::Result<Finish> {
    let checkout = match tenant {
        Some(tenant) => tenancy.db(tenant)?.acquire().await,
        None => tenancy.master().acquire().await,
    };
    let mut checkout = checkout.map_err(tenantry::Error::from)?;
    let (mut answer, pieces) = Answer::begin();
    let work = async {
        let result = run_in(&mut checkout, tenant, sql, &mut answer).await;
        answer.end(None).await;
        result
    };
    let mut rows = Rows::of_one(&mut cx.output);
    let (result, _) = tokio::join!(work, rows.print(tenant, pieces));
    rows.finish();
    result.map(|()| Finish::Done)
}

/// Runs the statements while somebody wants the answer.
async fn run_in(
    checkout: &mut Checkout,
    tenant: Option<&Tenant>,
    sql: &str,
    answer: &mut Answer,
) -> anyhow::Result<()> {
    stop_with_us(checkout).await;
    // The simple protocol takes several statements, and answers with text whatever the types are.
    let mut results = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut *checkout);
    while !answer.is_unwanted() {
        match results.try_next().await {
            Ok(Some(Either::Right(row))) => answer.push(&row).await?,
            Ok(Some(Either::Left(done))) => answer.end_statement(done.rows_affected()).await,
            Ok(None) => break,
            Err(error) => return Err(explain(error, tenant, sql)),
        }
    }
    drop(results);
    refuse_open_transaction(checkout, sql).await
}

/// What was not committed is lost when the connection goes back, so nobody may take it for done.
async fn refuse_open_transaction(checkout: &mut Checkout, sql: &str) -> anyhow::Result<()> {
    let sql = sql.to_lowercase();
    if !sql.contains("begin") && !sql.contains("start") {
        return Ok(());
    }
    // In a transaction, `now()` is when it began. In the simple protocol, that is; the other one
    // begins a statement more than once.
    let ask = sqlx::raw_sql("SELECT pg_catalog.now() <> pg_catalog.statement_timestamp()");
    let row = ask.fetch_one(checkout).await.map_err(tenantry::Error::from)?;
    let is_open: bool = row.try_get(0)?;
    if !is_open {
        return Ok(());
    }
    let failure = Failure::new("open_transaction", "the transaction was not ended, so it was rolled back");
    Err(failure.with_hint("end it with `COMMIT`").into())
}

/// Makes the server end the statement when this process is interrupted. Where the server's system
/// cannot see that, the statement goes on there to its end, as it does with psql.
async fn stop_with_us(checkout: &mut Checkout) {
    let set = sqlx::raw_sql("SET client_connection_check_interval TO '1s'");
    let _ = set.execute(checkout).await;
}

/// What PostgreSQL refused, and where in the text.
fn explain(error: sqlx::Error, tenant: Option<&Tenant>, sql: &str) -> anyhow::Error {
    let Some(refusal) = failure::refusal(&error) else { return explain_other(error) };
    let place = match refusal.position() {
        Some(PgErrorPosition::Original(position)) => place_of(sql, position),
        _ => String::new(),
    };
    let mut failure = Failure::new("database", format!("{}{place}", refusal.message()));
    if let Some(hint) = refusal.hint().or_else(|| refusal.detail()) {
        failure = failure.with_hint(hint);
    }
    if let Some(tenant) = tenant {
        failure = failure.with_tenant(tenant.slug().as_str());
    }
    failure.into()
}

fn explain_other(error: sqlx::Error) -> anyhow::Error {
    match &error {
        // The server waits for data, or sends some, which the driver takes for a broken connection.
        sqlx::Error::Protocol(text)
            if text.contains("CopyInResponse") || text.contains("CopyOutResponse") =>
        {
            Failure::new("unsupported", "`COPY` from or to this program is not possible here")
                .with_hint(r"use `tenantry psql` and its `\copy`")
                .into()
        }
        _ => tenantry::Error::from(error).into(),
    }
}

/// A position counts characters from 1.
fn place_of(sql: &str, position: usize) -> String {
    let before = sql.chars().take(position.saturating_sub(1));
    let (line, column) = before.fold((1, 1), |(line, column), character| match character {
        '\n' => (line + 1, 1),
        _ => (line, column + 1),
    });
    format!(" (line {line}, column {column})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_line_and_a_column() {
        assert_eq!(place_of("SELEC 1", 1), " (line 1, column 1)");
        assert_eq!(place_of("SELECT 'ü';\nSELEC 1", 13), " (line 2, column 1)");
    }
}
