//! One connection on loan, and the statements that run on it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgQueryResult, PgRow};
use sqlx::{Either, Executor as _, PgConnection};

use super::await_point::{AwaitPoint, at};
use super::classify::Effect;
use super::driver::{Driver as _, PgDriver};
use super::lease::Lease;
use super::shared::Pool;
use super::statement::Statement;
use crate::error::breaks_connection;
use crate::guard::{Guard, stands};
use crate::tenant::Digest;

/// `SQLSTATE` of `cached plan must not change result type`.
pub(super) const STALE_PLAN: &str = crate::error::sqlstate::FEATURE_NOT_SUPPORTED;

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
    pool: Pool,
    lease: Lease<PgDriver>,
    /// Set when the tenant is not where the rest of the fleet is.
    tag: Option<Digest>,
    is_in_transaction: bool,
    _held: Option<Held>,
}

impl Checkout {
    pub(super) fn new(pool: Pool, lease: Lease<PgDriver>, tag: Option<Digest>, held: Option<Held>) -> Self {
        Self { pool, lease, tag, is_in_transaction: false, _held: held }
    }

    /// Lends the bare connection, for code that insists on sqlx's own type.
    ///
    /// Nobody sees what happens on it, so it is cleaned and verified with one more round trip when
    /// it comes back.
    ///
    /// # Errors
    /// [`sqlx::Error::WorkerCrashed`] if the connection was lost before;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) behind a pooler in transaction mode, where
    /// nobody could tell whether it is still in the transaction.
    pub fn as_pg_connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.pool.refuse_behind_pooler("the bare connection")?;
        self.lease.touch();
        self.connection()
    }

    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.lease.connection().ok_or(sqlx::Error::WorkerCrashed)
    }

    pub(super) fn lease(&mut self) -> &mut Lease<PgDriver> {
        &mut self.lease
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.is_in_transaction
    }

    pub(super) fn set_in_transaction(&mut self, is_in_transaction: bool) {
        self.is_in_transaction = is_in_transaction;
    }

    /// Runs one statement and hands out its rows as they come.
    pub(super) fn run(
        &mut self,
        statement: Result<Statement, sqlx::Error>,
    ) -> BoxStream<'_, Result<Either<PgQueryResult, PgRow>, sqlx::Error>> {
        if self.pool.is_behind_pooler() {
            return self.run_behind_pooler(statement);
        }
        Box::pin(async_stream::try_stream! {
            let statement = self.admit(statement?);
            let mut second_attempt = self.may_try_again(&statement).then(|| statement.clone());
            let mut next = Some(statement);
            while let Some(statement) = next.take() {
                self.lease.begin_statement();
                let mut failure = None;
                let mut results = self.connection()?.fetch_many(statement);
                while let Some(result) = at(AwaitPoint::Statement, results.next()).await {
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
                drop(results);
                match failure {
                    None => self.lease.end_statement(),
                    Some(error) => next = Some(self.recover(error, second_attempt.take()).await?),
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
        let statement = self.admit(statement);
        let mut second_attempt = self.may_try_again(&statement).then(|| statement.clone());
        let mut next = statement;
        loop {
            self.lease.begin_statement();
            match at(AwaitPoint::Statement, self.connection()?.fetch_optional(next)).await {
                Ok(row) => {
                    self.lease.end_statement();
                    return Ok(row);
                }
                Err(error) => next = self.recover(error, second_attempt.take()).await?,
            }
        }
    }

    /// Notes what the statement does to the session, and gives it the text it has for this tenant.
    fn admit(&mut self, statement: Statement) -> Statement {
        self.note_effect(&statement);
        self.tag(statement)
    }

    fn note_effect(&mut self, statement: &Statement) {
        let effect = self.pool.classifier().effect(statement.sql());
        if effect == Effect::Touched && stands(Guard::Classification) {
            self.lease.touch();
        }
    }

    fn tag(&self, statement: Statement) -> Statement {
        match &self.tag {
            Some(digest) if stands(Guard::Tag) => statement.tagged(digest),
            _ => statement,
        }
    }

    /// A statement whose cached plan is stale was not executed at all, so it may be sent again;
    /// inside a transaction it has already ended the transaction.
    fn may_try_again(&self, statement: &Statement) -> bool {
        statement.is_prepared()
            && !self.is_in_transaction
            && !self.lease.is_touched()
            && stands(Guard::SecondAttempt)
    }

    /// Puts the connection in order after a failed statement. Answers with the statement to send
    /// again, if that is the cure, or else with the error.
    async fn recover(
        &mut self,
        error: sqlx::Error,
        second_attempt: Option<Statement>,
    ) -> Result<Statement, sqlx::Error> {
        if breaks_connection(&error) {
            self.lease.report_loss();
            return Err(error);
        }
        if !is_stale_plan(&error) {
            self.lease.end_statement();
            return Err(error);
        }
        let Some(statement) = second_attempt else {
            self.lease.report_stale_statements();
            self.lease.end_statement();
            return Err(error);
        };
        self.forget_statements().await?;
        Ok(statement)
    }

    /// Notes how a call ended that is not a statement.
    pub(super) fn settle<T>(&mut self, result: &Result<T, sqlx::Error>) {
        match result {
            Err(error) if breaks_connection(error) => self.lease.report_loss(),
            _ => self.lease.end_statement(),
        }
    }

    async fn forget_statements(&mut self) -> Result<(), sqlx::Error> {
        self.lease.begin_exchange();
        let driver = self.pool.driver();
        let connection = self.lease.connection().ok_or(sqlx::Error::WorkerCrashed)?;
        Ok(driver.forget_statements(connection).await?)
    }
}

fn is_stale_plan(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == STALE_PLAN)
}

impl fmt::Debug for Checkout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkout").field("is_in_transaction", &self.is_in_transaction).finish_non_exhaustive()
    }
}

/// Counts the connections that one handle's owner holds over several statements.
pub(super) struct Held(Arc<AtomicU32>);

impl Held {
    pub(super) fn one(counter: &Arc<AtomicU32>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counter))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
