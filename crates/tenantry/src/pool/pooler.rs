//! Statements behind a pooler in transaction mode.
//!
//! There a connection is a client of the pooler and no session of the server: what one transaction
//! leaves in a session, the next one of somebody else finds there, and may not find there again itself.
//! So nothing of a session is remembered and nothing is left in one. The checkout's switch begins a
//! transaction, which prepares and verifies whatever session it meets
//! ([`begin_message`](super::preparation::Preparation::begin_message)); the statements run in it; and it ends
//! here, with whatever they left behind removed in the same message. A lease whose transaction did not end
//! is closed, and the pooler then ends the server's session.
//!
//! Statements are sent without names. sqlx asks for the types it meets for the first time between
//! preparing a statement and running it, and that question drops a statement without a name. The
//! statement has not run then, so it is sent again: in a new transaction, or behind a savepoint.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgQueryResult, PgRow};
use sqlx::{AssertSqlSafe, Either, Executor as _};
use tracing::Instrument as _;

use super::await_point::{AwaitPoint, at};
use super::checkout::Checkout;
use super::classify::Effect;
use super::cleaning::remove_behind_pooler;
use super::driver::{Driver, PgDriver};
use super::lease::{Activity, BreaksConnection as _};
use super::needs_session::runs_without_session;
use super::shared::Pool;
use super::statement::Statement;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};

/// `SQLSTATE` of `unnamed prepared statement does not exist`.
const STATEMENT_GONE: &str = crate::error::sqlstate::INVALID_SQL_STATEMENT_NAME;

/// The end of a transaction.
#[derive(Clone, Copy)]
enum End {
    Commit,
    Rollback,
}

impl<D: Driver> Pool<D> {
    /// Refuses what only a session of the server can do.
    pub(super) fn refuse_behind_pooler(&self, what: &str) -> Result<()> {
        if self.is_behind_pooler() {
            let hint = "run statements on the handle, or `begin()` a transaction";
            return Err(self.unsupported(what, hint));
        }
        Ok(())
    }

    /// Refuses a statement that only a session of the server can run.
    pub(super) fn refuse_what_needs_session(&self, sql: &str) -> Result<()> {
        if !self.is_behind_pooler() || self.classifier().effect(sql) == Effect::Neutral {
            return Ok(());
        }
        runs_without_session(sql).map_err(|refusal| self.unsupported(refusal.what, refusal.hint))
    }

    pub(super) fn unsupported(&self, what: &str, hint: &str) -> Error {
        let message = format!(
            "{what} does not exist behind the pooler of database `{}`, which is in transaction mode",
            self.alias()
        );
        Error::new(ErrorKind::Unsupported, message).with_hint(hint)
    }
}

impl Checkout {
    /// Runs one statement, and ends the transaction unless it is the caller's.
    pub(super) fn run_statement_behind_pooler(
        &mut self,
        statement: Result<Statement, sqlx::Error>,
    ) -> BoxStream<'_, Result<Either<PgQueryResult, PgRow>, sqlx::Error>> {
        Box::pin(async_stream::try_stream! {
            let statement = statement?.unnamed();
            self.settle().await?;
            self.touch_or_refuse(statement.sql())?;
            self.set_savepoint(&statement).await?;
            if !self.is_described(&statement) {
                self.lease.suspect_types();
            }
            let sent = self.marks.unkept(statement.clone());
            let span = self.lease.statement_span();
            let mut second_attempt = sent.is_prepared().then(|| sent.clone());
            let mut next = Some(sent);
            while let Some(attempt) = next.take() {
                let mut exchange = self.lease.begin(Activity::Statement);
                let mut failure = None;
                let mut results = exchange.fetch_many(attempt);
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
                        next = Some(self.recover_behind_pooler(error, second_attempt.take()).await?);
                    }
                }
            }
            self.note_described(&statement);
            if !self.is_in_transaction() {
                self.commit_behind_pooler().await?;
            }
        })
    }

    /// Reads to the end, where the transaction ends as well.
    pub(super) async fn first_row_behind_pooler(
        &mut self,
        statement: Statement,
    ) -> Result<Option<PgRow>, sqlx::Error> {
        let mut results = self.run_statement_behind_pooler(Ok(statement));
        let mut first = None;
        while let Some(result) = results.next().await {
            if let Either::Right(row) = result? {
                first.get_or_insert(row);
            }
        }
        Ok(first)
    }

    fn touch_or_refuse(&mut self, sql: &str) -> Result<()> {
        self.pool.recorder().statement(&self.schema, sql);
        if self.pool.classifier().effect(sql) == Effect::Neutral {
            return Ok(());
        }
        self.lease.touch();
        self.pool.refuse_what_needs_session(sql)
    }

    /// In the caller's transaction a failed first attempt would be the end of it.
    async fn set_savepoint(&mut self, statement: &Statement) -> Result<(), sqlx::Error> {
        if !self.is_in_transaction() || !statement.is_prepared() || self.is_described(statement) {
            return Ok(());
        }
        self.send("SAVEPOINT tenantry_statement").await
    }

    /// Puts the transaction in order after a failed statement. Answers with the statement to send
    /// again, if that is the cure, or else with the error.
    async fn recover_behind_pooler(
        &mut self,
        error: sqlx::Error,
        second_attempt: Option<Statement>,
    ) -> Result<Statement, sqlx::Error> {
        if error.breaks_connection() {
            return Err(error);
        }
        let second_attempt = second_attempt.filter(|_| is_statement_gone(&error));
        match (self.is_in_transaction(), &second_attempt) {
            (true, Some(_)) => self.send("ROLLBACK TO SAVEPOINT tenantry_statement").await?,
            (true, None) => {}
            (false, Some(_)) => {
                let is_touched = self.lease.is_touched();
                self.roll_back_behind_pooler().await?;
                self.lease.begin_again().await?;
                if is_touched {
                    self.lease.touch();
                }
            }
            // The statement's own error says more.
            (false, None) => drop(self.roll_back_behind_pooler().await),
        }
        second_attempt.ok_or(error)
    }

    pub(super) async fn commit_behind_pooler(&mut self) -> Result<(), sqlx::Error> {
        let committed = at(AwaitPoint::Commit, self.end(End::Commit)).await;
        if let Err(error) = &committed
            && !error.breaks_connection()
        {
            // Whatever it was that failed, the transaction may still be open.
            let _ = self.roll_back_behind_pooler().await;
        }
        committed
    }

    pub(super) async fn roll_back_behind_pooler(&mut self) -> Result<(), sqlx::Error> {
        at(AwaitPoint::Rollback, self.end(End::Rollback)).await
    }

    async fn end(&mut self, how: End) -> Result<(), sqlx::Error> {
        self.lease.exchange(Activity::Call, PgDriver::forget_named).await?;
        let leaves_something = self.lease.is_touched() && stands(Guard::PoolerHygiene);
        let message = if leaves_something { self.cleaning(how) } else { how.statement().to_owned() };
        self.send(&message).await?;
        self.lease.end_transaction();
        Ok(())
    }

    /// The message that removes what a session may hold together with the end of the transaction.
    fn cleaning(&self, how: End) -> String {
        let end = how.statement();
        let removal = remove_behind_pooler(self.pool.driver().defaults().statements());
        match how {
            // Deferred triggers are the caller's code, and belong in front of what takes the
            // caller's search_path away.
            End::Commit => {
                format!("SET CONSTRAINTS ALL IMMEDIATE; {removal}{end}")
            }
            // Locks and prepared statements stay when a transaction is undone.
            End::Rollback => format!("{end}; {removal}"),
        }
    }

    async fn send(&mut self, message: &str) -> Result<(), sqlx::Error> {
        let send = self.lease.exchange(Activity::Call, async |_, connection| {
            sqlx::raw_sql(AssertSqlSafe(message)).execute(connection).await.map(drop)
        });
        send.await
    }

    fn is_described(&mut self, statement: &Statement) -> bool {
        self.lease.is_described(statement.sql())
    }

    fn note_described(&mut self, statement: &Statement) {
        if statement.is_prepared() {
            self.lease.note_described(statement.sql());
        }
    }
}

impl End {
    fn statement(self) -> &'static str {
        match self {
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
        }
    }
}

fn is_statement_gone(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == STATEMENT_GONE)
}
