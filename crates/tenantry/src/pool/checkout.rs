//! One connection on loan, and the statements that run on it.

use std::fmt;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::postgres::{PgQueryResult, PgRow};
use sqlx::{Either, Executor as _, PgConnection};
use tracing::Instrument as _;

use super::await_point::{AwaitPoint, at};
use super::classify::Effect;
use super::driver::PgDriver;
use super::lease::{Activity, Lease};
use super::marks::Marks;
use super::nesting::OpenLevels;
use super::purpose::{Held, Purpose};
use super::shared::Pool;
use super::statement::Statement;
use crate::error::sqlstate::may_be_missing_schema;
use crate::error::{Error, ErrorKind, is_stale_plan};
use crate::guard::{Guard, stands};
use crate::tenant::SchemaName;

/// A connection on loan, prepared for one tenant or for the master schema.
///
/// `&mut Checkout` is an [`Executor`](sqlx::Executor): several statements run on the same session. Dropping
/// it gives the connection back. If it is dropped while a statement runs, the pool drains or closes the connection.
///
/// ```no_run
/// # async fn example(db: tenantry::TenantDb) -> Result<(), sqlx::Error> {
/// let mut checkout = db.acquire().await?;
/// sqlx::query("SET statement_timeout TO '10s'").execute(&mut checkout).await?;
/// let total: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&mut checkout).await?;
/// # let _ = total;
/// # Ok(())
/// # }
/// ```
pub struct Checkout {
    pub(super) pool: Pool,
    pub(super) lease: Lease<PgDriver>,
    /// The schema that unqualified names mean.
    pub(super) schema: SchemaName,
    pub(super) marks: Marks,
    purpose: Purpose,
    pub(super) nesting: OpenLevels,
    /// A `COPY` was cut off or failed, and nobody can tell what the server sends next.
    pub(super) is_out_of_step: bool,
    _held: Option<Held>,
}

impl Checkout {
    pub(super) fn new(
        pool: Pool,
        lease: Lease<PgDriver>,
        schema: SchemaName,
        marks: Marks,
        purpose: Purpose,
        held: Option<Held>,
    ) -> Self {
        Self {
            pool,
            lease,
            schema,
            marks,
            purpose,
            nesting: OpenLevels::default(),
            is_out_of_step: false,
            _held: held,
        }
    }

    /// Lends the bare connection, for code that insists on sqlx's own type.
    ///
    /// Nobody sees what happens on it, so it is cleaned and verified with one more round trip when
    /// it comes back.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] behind a pooler in transaction mode, where nobody could tell whether it is
    /// still in the transaction; and directly after a [`NestedTransaction`](super::NestedTransaction) was
    /// dropped, which the next statement on the checkout undoes.
    pub fn as_pg_connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.pool.refuse_behind_pooler("the bare connection")?;
        self.check_step()?;
        if self.nesting.dropped().is_some() {
            let message = "the bare connection cannot undo the nested transaction that was dropped";
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint("end it with `rollback().await`, or run a statement on the checkout first")
                .into());
        }
        self.pool.recorder().anything(&self.schema);
        Ok(self.lease.lend())
    }

    /// Returns true if a statement that fails may end a transaction.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.is_a_transaction() || self.nesting.is_inside()
    }

    /// Returns true if the checkout was taken for a transaction.
    pub(super) fn is_a_transaction(&self) -> bool {
        self.purpose == Purpose::Transaction
    }

    pub(super) fn check_step(&self) -> Result<(), Error> {
        if self.is_out_of_step {
            let message = "the connection was given up in the middle of a `COPY`";
            return Err(Error::new(ErrorKind::DatabaseUnavailable, message));
        }
        Ok(())
    }

    /// Runs one statement and hands out its rows as they come.
    pub(super) fn run_statement(
        &mut self,
        statement: Result<Statement, sqlx::Error>,
    ) -> BoxStream<'_, Result<Either<PgQueryResult, PgRow>, sqlx::Error>> {
        if self.pool.is_behind_pooler() {
            return self.run_statement_behind_pooler(statement);
        }
        Box::pin(async_stream::try_stream! {
            self.settle().await?;
            let (statement, mut second_attempt) = self.attempts(statement?)?;
            let span = self.lease.statement_span();
            let mut next = Some(statement);
            while let Some(statement) = next.take() {
                let mut exchange = self.lease.begin(Activity::Statement);
                let mut failure = None;
                let mut results = exchange.fetch_many(statement);
                while let Some(result) = at(AwaitPoint::Statement, results.next()).instrument(span.clone()).await {
                    match result {
                        Ok(item) => {
                            second_attempt = None;
                            yield item;
                        }
                        Err(error) => {
                            failure = Some(error);
                            break;
                        }
                    }
                }
                span.in_scope(|| drop(results));
                match failure {
                    None => exchange.finish(),
                    Some(error) => {
                        let error = exchange.fail(error);
                        next = Some(self.recover(error, second_attempt.take()).await?);
                    }
                }
            }
        })
    }

    /// Runs one statement for its first row. Reads to the end all the same: a deferred constraint
    /// fails last.
    pub(super) async fn first_row(&mut self, statement: Statement) -> Result<Option<PgRow>, sqlx::Error> {
        if self.pool.is_behind_pooler() {
            return self.first_row_behind_pooler(statement).await;
        }
        self.read(statement, |connection, statement| connection.fetch_optional(statement)).await
    }

    /// Runs one statement for all of its rows.
    pub(super) async fn all_rows(&mut self, statement: Statement) -> Result<Vec<PgRow>, sqlx::Error> {
        if self.pool.is_behind_pooler() {
            let results = self.run_statement_behind_pooler(Ok(statement));
            return results.try_filter_map(async |result| Ok(result.right())).try_collect().await;
        }
        self.read(statement, |connection, statement| connection.fetch_all(statement)).await
    }

    /// Runs one statement, or a message of several, for the number of rows that it changes.
    pub(super) async fn affected(&mut self, statement: Statement) -> Result<PgQueryResult, sqlx::Error> {
        if self.pool.is_behind_pooler() {
            let results = self.run_statement_behind_pooler(Ok(statement));
            return results.try_filter_map(async |result| Ok(result.left())).try_collect().await;
        }
        self.read(statement, |connection, statement| connection.execute(statement)).await
    }

    /// Runs one statement and hands out what was read of its whole answer.
    async fn read<T>(
        &mut self,
        statement: Statement,
        read: for<'c> fn(&'c mut PgConnection, Statement) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        self.settle().await?;
        let (mut next, mut second_attempt) = self.attempts(statement)?;
        let span = self.lease.statement_span();
        loop {
            let answer = self.lease.exchange(Activity::Statement, async |_, connection| {
                at(AwaitPoint::Statement, read(connection, next)).await
            });
            match answer.instrument(span.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => next = self.recover(error, second_attempt.take()).await?,
            }
        }
    }

    /// Notes what a statement does to the session, and answers with the text it has for this tenant, and
    /// with the same once more if it may be sent again.
    fn attempts(&mut self, statement: Statement) -> Result<(Statement, Option<Statement>), sqlx::Error> {
        self.note_effect(statement.sql())?;
        let sampled = self.marks.sampled(&statement);
        let kept = self.marks.kept(statement);
        // Its types are known by the text that others have as well.
        self.lease.note_described(kept.sql());
        let statement = sampled.unwrap_or(kept);
        let second_attempt = self.may_try_again(&statement).then(|| statement.clone());
        Ok((statement, second_attempt))
    }

    pub(super) fn note_effect(&mut self, sql: &str) -> Result<(), Error> {
        self.pool.recorder().statement(&self.schema, sql);
        let effect = self.pool.classifier().effect(sql);
        if effect == Effect::Touched && stands(Guard::Classification) {
            self.pool.refuse_resets(sql)?;
            self.lease.touch();
        }
        Ok(())
    }

    /// A statement whose cached plan is stale was not executed at all, so it may be sent again;
    /// inside a transaction it has already ended the transaction.
    fn may_try_again(&self, statement: &Statement) -> bool {
        statement.is_prepared()
            && !self.is_in_transaction()
            && !self.lease.is_touched()
            && stands(Guard::SecondAttempt)
    }

    /// Answers with the statement to send again, if that is the cure for a failed one, or else with the
    /// error.
    async fn recover(
        &mut self,
        error: sqlx::Error,
        second_attempt: Option<Statement>,
    ) -> Result<Statement, sqlx::Error> {
        self.lease.doubt_types();
        if !is_stale_plan(&error) {
            return Err(self.explain(error).await);
        }
        let Some(statement) = second_attempt else {
            self.lease.report_stale_statements();
            return Err(error);
        };
        self.lease.forget_statements().await?;
        Ok(statement)
    }
}

impl Checkout {
    /// A schema that vanished under a warm connection looks like a missing table, until somebody asks. Nobody can in
    /// a transaction, which has failed.
    async fn explain(&mut self, error: sqlx::Error) -> sqlx::Error {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        if self.is_in_transaction() || !code.is_some_and(|code| may_be_missing_schema(&code)) {
            return error;
        }
        match self.lease.missing_schema().await {
            Some(missing) => missing.with_source(error).into(),
            None => error,
        }
    }
}

impl fmt::Debug for Checkout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkout")
            .field("is_in_transaction", &self.is_in_transaction())
            .finish_non_exhaustive()
    }
}
