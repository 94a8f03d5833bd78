//! The statements in one schema, which stop where nobody wants their answer any more.
use futures_util::TryStreamExt as _;
use sqlx::postgres::PgErrorPosition;
use sqlx::{Either, Row as _};
use tenantry::Tenancy;
use tenantry::tenant::Tenant;

use super::answer::Answer;
use super::rows::Rows;
use super::session::{Session, Terms};
use crate::context::{Context, Finish};
use crate::failure::{self, Failure, abridged};
use crate::interrupt::unless_interrupted;
use crate::notices::Hearer;

pub(super) async fn run(
    cx: &mut Context,
    tenancy: &Tenancy,
    tenant: Option<&Tenant>,
    sql: &str,
    terms: Terms,
) -> anyhow::Result<Finish> {
    let mut session = match tenant {
        Some(tenant) => Session::of_tenant(tenancy, &tenancy.db(tenant)?, terms).await?,
        None => Session::of_master(tenancy, terms).await?,
    };
    let (mut answer, pieces) = Answer::begin();
    let work = async {
        let result = unless_interrupted(run_in(&mut session, tenant, sql, &mut answer)).await;
        answer.end(None).await;
        result?
    };
    let mut rows = Rows::of_one(&mut cx.output, sql);
    let (result, _) = tokio::join!(work, rows.print(tenant, pieces));
    rows.finish();
    if result.is_ok() {
        session.close().await;
    }
    result.map(|()| Finish::Done)
}

/// Runs the statements while somebody wants the answer.
pub(super) async fn run_in(
    session: &mut Session,
    tenant: Option<&Tenant>,
    sql: &str,
    answer: &mut Answer,
) -> anyhow::Result<()> {
    let hearer = Hearer::default();
    let mut results = session.run(sql);
    while !answer.is_unwanted() {
        let result = hearer.during(results.try_next()).await;
        answer.push_notices(hearer.take()).await;
        match result {
            Ok(Some(Either::Right(row))) => answer.push(&row).await?,
            Ok(Some(Either::Left(done))) => answer.end_statement(done.rows_affected()).await,
            Ok(None) => break,
            Err(error) => return Err(explain(error, tenant, sql)),
        }
    }
    drop(results);
    refuse_open_transaction(session, sql).await
}

/// Refuses an open transaction: it is lost when the connection goes back, so nobody may take it for done.
async fn refuse_open_transaction(session: &mut Session, sql: &str) -> anyhow::Result<()> {
    let sql = sql.to_lowercase();
    if !sql.contains("begin") && !sql.contains("start") {
        return Ok(());
    }
    // In a transaction, `now()` is when it began. In the simple protocol, that is; the other one
    // begins a statement more than once.
    let mut answer = session.run("SELECT pg_catalog.now() <> pg_catalog.statement_timestamp()");
    let mut is_open = false;
    while let Some(result) = answer.try_next().await.map_err(tenantry::Error::from)? {
        if let Either::Right(row) = result {
            is_open = row.try_get(0)?;
        }
    }
    if !is_open {
        return Ok(());
    }
    let failure = Failure::new("open_transaction", "the transaction was not ended, so it was rolled back");
    Err(failure.with_hint("end it with `COMMIT`").into())
}

/// The refusal of PostgreSQL, and its place in the text.
fn explain(error: sqlx::Error, tenant: Option<&Tenant>, sql: &str) -> anyhow::Error {
    let Some(refusal) = failure::refusal(&error) else { return explain_other(error) };
    let place = match refusal.position() {
        Some(PgErrorPosition::Original(position)) => place_of(sql, position),
        _ => String::new(),
    };
    let mut failure = Failure::new("database", format!("{}{place}", abridged(refusal.message())));
    if let Some(hint) = refusal.hint().or_else(|| refusal.detail()) {
        failure = failure.with_hint(abridged(hint));
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
