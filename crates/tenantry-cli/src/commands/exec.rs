//! Runs the operator's own SQL, word for word, in the schema of a tenant.
mod rows;

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use sqlx::postgres::PgErrorPosition;
use sqlx::{AssertSqlSafe, Either, Row as _};
use tenantry::Tenancy;
use tenantry::pool::Checkout;
use tenantry::tenant::{Status, Tenant};

use self::rows::Rows;
use super::{Context, Finish};
use crate::connect::with_tenancy;
use crate::failure::{self, Failure, Report};
use crate::fleet::Pages;
use crate::output::{note, print_report};

/// Run SQL in the schema of a tenant, in the master schema, or in the schema of every tenant
///
/// Several statements at once are one transaction, unless they say otherwise.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    source: Source,
}

/// Where it runs. There is no default: a tenant is an explicit value.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// In the schema of this tenant
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
    /// In the master schema
    #[arg(long)]
    master: bool,
    /// In the schema of each active tenant, one after the other; those that fail stop nobody
    #[arg(long)]
    all: bool,
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
    with_tenancy(cx, async |cx, _, tenancy| match &options.target.tenant {
        _ if options.target.all => run_in_all(cx, tenancy, &sql).await,
        Some(slug) => {
            let tenant = tenancy.tenant(slug).await?;
            run_in_one(cx, tenancy, Some(&tenant), &sql).await
        }
        None => run_in_one(cx, tenancy, None, &sql).await,
    })
    .await
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
    let mut rows = Rows::of_one(&mut cx.output);
    rows.begin_schema(tenant);
    let result = run_in(tenancy, tenant, sql, &mut rows).await;
    rows.end_schema(None);
    rows.finish();
    result.map(|()| Finish::Done)
}

async fn run_in_all(cx: &mut Context, tenancy: &Tenancy, sql: &str) -> anyhow::Result<Finish> {
    let format = cx.output.format();
    let mut rows = Rows::of_all(&mut cx.output);
    let (mut tenants, mut failed) = (0, 0);
    let mut pages = Pages::of(tenancy);
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        let active = page.iter().map(|listed| &listed.tenant).filter(|it| it.status() == Status::Active);
        for tenant in active {
            tenants += 1;
            rows.begin_schema(Some(tenant));
            // Nobody reading any more is no reason to leave half of the fleet out.
            let report = match run_in(tenancy, Some(tenant), sql, &mut rows).await {
                Ok(()) => None,
                Err(error) => Some(Report::of(error.as_ref()).of_tenant(tenant)),
            };
            failed += usize::from(report.is_some());
            rows.end_schema(report.as_ref());
            if let Some(report) = report {
                print_report(format, &report);
            }
        }
    }
    let printed = rows.finish();
    note(format, &format!("{tenants} tenants, {failed} failed, {printed} rows"));
    Ok(if failed > 0 { Finish::SomeFailed } else { Finish::Done })
}

async fn run_in(
    tenancy: &Tenancy,
    tenant: Option<&Tenant>,
    sql: &str,
    rows: &mut Rows<'_>,
) -> anyhow::Result<()> {
    let checkout = match tenant {
        Some(tenant) => tenancy.db(tenant)?.acquire().await,
        None => tenancy.master().acquire().await,
    };
    let mut checkout = checkout.map_err(tenantry::Error::from)?;
    stop_with_us(&mut checkout).await;
    // The simple protocol takes several statements, and answers with text whatever the types are.
    let mut results = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut checkout);
    while !rows.are_unread() {
        match results.try_next().await {
            Ok(Some(Either::Right(row))) => rows.push(&row)?,
            Ok(Some(Either::Left(done))) => rows.end_statement(done.rows_affected()),
            Ok(None) => break,
            Err(error) => return Err(explain(error, tenant, sql)),
        }
    }
    drop(results);
    refuse_open_transaction(&mut checkout, sql).await
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
