//! sqlx's `Executor` for handles and transactions that read.

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Describe, Either, Error, Execute, Executor, SqlStr};

use super::attempts::Need;
use super::handle::TenantReadDb;
use super::refusal::refuse_write_mode;
use super::transaction::ReadTransaction;
use crate::pool::statement::Statement;

type Results<'e> = BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>;

impl TenantReadDb {
    /// Runs one statement and hands out its rows as they come. Until the first one has come, another server may be
    /// asked.
    pub(in crate::pool) fn run(&self, statement: Result<Statement, Error>) -> Results<'_> {
        Box::pin(async_stream::try_stream! {
            let statement = statement?;
            refuse_write_mode(Statement::sql(&statement))?;
            let mut attempts = self.attempts();
            let mut is_answered = false;
            while !is_answered {
                let mut checkout = attempts.check_out(Need::Statement(&statement)).await?;
                let mut results = checkout.run_statement(Ok(statement.clone()));
                let first = tokio::select! {
                    biased;
                    first = results.next() => first,
                    gone = attempts.gone() => Some(Err(gone)),
                };
                if let Some(Err(error)) = first {
                    attempts.fail(error)?;
                    continue;
                }
                is_answered = true;
                if let Some(first) = first {
                    yield first?;
                }
                while let Some(result) = results.next().await {
                    yield result?;
                }
            }
        })
    }

    /// Runs one statement for its first row.
    pub(in crate::pool) async fn first_row(&self, statement: Statement) -> Result<Option<PgRow>, Error> {
        refuse_write_mode(Statement::sql(&statement))?;
        let mut attempts = self.attempts();
        loop {
            let mut checkout = attempts.check_out(Need::Statement(&statement)).await?;
            let answer = tokio::select! {
                biased;
                answer = checkout.first_row(statement.clone()) => answer,
                gone = attempts.gone() => Err(gone),
            };
            match answer {
                Ok(row) => return Ok(row),
                Err(error) => attempts.fail(error)?,
            }
        }
    }
}

impl<'c> Executor<'c> for &'c TenantReadDb {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Results<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.run(Statement::take(query))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = Statement::take(query);
        Box::pin(async move { self.first_row(statement?).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let need = Need::Session("preparing a statement ahead");
            self.attempts().check_out(need).await?.prepare_with(sql, parameters).await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            self.attempts().check_out(Need::Session("describing a statement")).await?.describe(sql).await
        })
    }
}

impl<'c> Executor<'c> for &'c mut ReadTransaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Results<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = Statement::take(query).and_then(|statement| {
            refuse_write_mode(Statement::sql(&statement))?;
            Ok(statement)
        });
        self.checkout().run_statement(statement)
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = Statement::take(query);
        Box::pin(async move {
            let statement = statement?;
            refuse_write_mode(Statement::sql(&statement))?;
            self.checkout().first_row(statement).await
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        self.checkout().prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.checkout().describe(sql)
    }
}
