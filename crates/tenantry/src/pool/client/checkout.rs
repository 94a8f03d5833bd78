//! One connection of tokio-postgres on loan, and the statements that run on it.

use std::fmt;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::driver::{Answer, Body, ClientDriver, Failure, Flight, Parameters};
use super::statements::Owner;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::pool::await_point::{AwaitPoint, at};
use crate::pool::checkout::{Held, STALE_PLAN};
use crate::pool::classify::Effect;
use crate::pool::lease::{Lease, SwitchAhead};
use crate::pool::shared::Pool;

/// A connection of tokio-postgres on loan, prepared for one tenant or for the master schema.
///
/// Several statements run on the same session. Dropping it gives the connection back; dropping the future
/// of a statement closes the connection.
///
/// ```no_run
/// # async fn example(client: tenantry::pool::TenantClient) -> tenantry::Result<()> {
/// let mut checkout = client.acquire().await?;
/// checkout.execute("SET statement_timeout TO '10s'", &[]).await?;
/// let row = checkout.query_one("SELECT count(*) FROM note", &[]).await?;
/// let notes: i64 = row.get(0);
/// # let _ = notes;
/// # Ok(())
/// # }
/// ```
pub struct ClientCheckout {
    pool: Pool<ClientDriver>,
    lease: Lease<ClientDriver>,
    owner: Owner,
    /// What opens the transaction that the connection is switched in.
    switch_ahead: Option<Box<SwitchAhead>>,
    used_for: Use,
    is_in_transaction: bool,
    _held: Option<Held>,
}

/// What a connection was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A single statement.
    Statement,
    /// Statements until a commit or rollback.
    Transaction,
    /// Whatever comes.
    Session,
}

impl ClientCheckout {
    pub(super) fn new(
        pool: Pool<ClientDriver>,
        mut lease: Lease<ClientDriver>,
        owner: Owner,
        used_for: Use,
        held: Option<Held>,
    ) -> Self {
        let switch_ahead = lease.take_switch_ahead();
        Self { pool, lease, owner, switch_ahead, used_for, is_in_transaction: false, _held: held }
    }

    /// Runs a statement and answers with its rows.
    ///
    /// # Errors
    /// [`ErrorKind::Database`] with PostgreSQL's answer as its source, [`ErrorKind::DatabaseUnavailable`] if
    /// the connection is lost.
    pub async fn query(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        Ok(self.run(sql, parameters).await?.rows)
    }

    /// Runs a statement and answers with its only row.
    ///
    /// # Errors
    /// As [`query`](Self::query), and [`ErrorKind::RowNotFound`] if there is none.
    pub async fn query_one(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        one(self.run(sql, parameters).await?)
    }

    /// Runs a statement and answers with its only row, if there is one.
    ///
    /// # Errors
    /// As [`query`](Self::query), and [`ErrorKind::Database`] if there are several.
    pub async fn query_opt(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>> {
        at_most_one(self.run(sql, parameters).await?)
    }

    /// Runs a statement and answers with the number of rows it touched.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn execute(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        Ok(self.run(sql, parameters).await?.affected)
    }

    /// Runs statements without parameters in one message.
    ///
    /// # Errors
    /// As [`query`](Self::query). Those behind a statement that fails do not run.
    pub async fn batch_execute(&mut self, sql: &str) -> Result<()> {
        self.note_effect(sql);
        self.fly(Body::Batch(sql)).await.map(drop)
    }

    async fn run(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<Answer> {
        self.note_effect(sql);
        let body = Body::Statement { owner: self.owner, sql, parameters };
        let may_try_again = self.may_try_again();
        match self.fly(body).await {
            Err(error) if error.database_code().as_deref() == Some(STALE_PLAN) => {
                // It would fail for ever, and what is known of types may be as old.
                self.lease.connection().ok_or_else(lost)?.forget();
                if may_try_again { self.fly(body).await } else { Err(error) }
            }
            answer => answer,
        }
    }

    fn note_effect(&mut self, sql: &str) {
        let effect = self.pool.classifier().effect(sql);
        if effect == Effect::Touched && stands(Guard::Classification) {
            self.lease.touch();
        }
    }

    /// What fails so was not executed, but inside a transaction it has ended that.
    fn may_try_again(&self) -> bool {
        self.used_for != Use::Transaction && !self.lease.is_touched() && stands(Guard::SecondAttempt)
    }

    /// Sends a statement, with the switch before it if that is still to come.
    async fn fly(&mut self, body: Body<'_>) -> Result<Answer> {
        let switch_ahead = self.switch_ahead.as_ref().filter(|_| !self.is_in_transaction);
        let before = switch_ahead.map(|switch_ahead| switch_ahead.message.as_str());
        let after = (before.is_some() && self.used_for == Use::Statement).then_some("COMMIT");
        let begins = before.is_some() && after.is_none();
        // What is cut off while it is prepared is known to the server alone, for ever.
        if self.lease.connection().is_some_and(|connection| connection.knows(body)) {
            self.lease.begin_statement();
        } else {
            self.lease.begin_exchange();
        }
        let connection = self.lease.connection().ok_or_else(lost)?;
        connection.is_in_transaction |= begins;
        let landed = at(AwaitPoint::Statement, connection.fly(Flight { before, body, after })).await;
        let switch_ahead = if self.is_in_transaction { None } else { self.switch_ahead.as_deref() };
        let answer = land(&mut self.lease, switch_ahead, landed);
        self.is_in_transaction |= begins;
        answer
    }

    /// Sends what begins or ends a transaction.
    pub(super) async fn command(&mut self, place: AwaitPoint, sql: &'static str) -> Result<()> {
        self.lease.begin_exchange();
        let connection = self.lease.connection().ok_or_else(lost)?;
        // Whatever comes of it, until it is known.
        connection.is_in_transaction = true;
        let flight = Flight { before: None, body: Body::Batch(sql), after: None };
        if let Err(failure) = at(place, connection.fly(flight)).await {
            return Err(close_after(&mut self.lease, failure));
        }
        let connection = self.lease.connection().ok_or_else(lost)?;
        self.is_in_transaction = sql == "BEGIN";
        connection.is_in_transaction = self.is_in_transaction;
        self.lease.end_statement();
        Ok(())
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.is_in_transaction
    }

    pub(super) fn has_switch_ahead(&self) -> bool {
        self.switch_ahead.is_some()
    }
}

/// Notes what came of a flight.
fn land(
    lease: &mut Lease<ClientDriver>,
    switch_ahead: Option<&SwitchAhead>,
    landed: Result<Answer, Failure>,
) -> Result<Answer> {
    match (landed, switch_ahead) {
        (Ok(answer), switch_ahead) => {
            lease.end_statement();
            if let Some(switch_ahead) = switch_ahead {
                lease.switch_ahead_succeeded(switch_ahead);
            }
            Ok(answer)
        }
        (Err(Failure::Body(error)), switch_ahead) if error.kind() != ErrorKind::DatabaseUnavailable => {
            lease.end_statement();
            if let Some(switch_ahead) = switch_ahead {
                lease.switch_ahead_failed(switch_ahead);
            }
            Err(error)
        }
        (Err(Failure::Before(error)), Some(switch_ahead)) => {
            Err(switch_ahead.judge(close_after(lease, Failure::Before(error))))
        }
        (Err(failure), _) => Err(close_after(lease, failure)),
    }
}

/// Where no end of the statement is noted, the connection will be closed.
fn close_after(lease: &mut Lease<ClientDriver>, failure: Failure) -> Error {
    let (Failure::Before(error) | Failure::Body(error) | Failure::After(error)) = failure;
    if error.kind() == ErrorKind::DatabaseUnavailable {
        lease.report_loss();
    }
    error
}

fn one(answer: Answer) -> Result<Row> {
    at_most_one(answer)?.ok_or_else(|| Error::new(ErrorKind::RowNotFound, "there is no such row"))
}

fn at_most_one(mut answer: Answer) -> Result<Option<Row>> {
    let count = answer.rows.len();
    if count > 1 {
        let message = format!("the statement answered with {count} rows where one was expected");
        return Err(Error::new(ErrorKind::Database, message));
    }
    Ok(answer.rows.pop())
}

fn lost() -> Error {
    Error::new(ErrorKind::DatabaseUnavailable, "the connection to the database was lost before")
}

impl fmt::Debug for ClientCheckout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCheckout")
            .field("is_in_transaction", &self.is_in_transaction)
            .finish_non_exhaustive()
    }
}
