//! One connection of tokio-postgres on loan, and the statements that run on it.

use std::fmt;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use tracing::Instrument as _;

use super::call::{Call, Parameters};
use super::driver::ClientDriver;
use super::ending::{conclude, note_switch};
use super::pipeline::{Answer, Pipeline, Query};
use super::statements::Owner;
use crate::error::sqlstate::may_be_missing_schema;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::pool::await_point::{AwaitPoint, at};
use crate::pool::channel::{channel_of, refuse_at_node};
use crate::pool::classify::Effect;
use crate::pool::lease::{Activity, Lease, SwitchAhead};
use crate::pool::marks::Marks;
use crate::pool::nesting::OpenLevels;
use crate::pool::purpose::{Held, Purpose};
use crate::pool::shared::Pool;
use crate::pool::tx_options::TxOptions;
use crate::tenant::SchemaName;

/// The statement that announces.
pub(super) const NOTIFY: &str = "SELECT pg_catalog.pg_notify($1, $2)";

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
    pub(super) lease: Lease<ClientDriver>,
    owner: Owner,
    pub(super) marks: Marks,
    schema: SchemaName,
    /// The message that opens the transaction which the connection is switched in, until the caller's has begun.
    pub(super) switch_ahead: Option<Box<SwitchAhead>>,
    pub(super) purpose: Purpose,
    pub(super) nesting: OpenLevels,
    _held: Option<Held>,
}

impl ClientCheckout {
    pub(super) fn new(
        pool: Pool<ClientDriver>,
        mut lease: Lease<ClientDriver>,
        (owner, marks): (Owner, Marks),
        purpose: Purpose,
        held: Option<Held>,
    ) -> Self {
        let switch_ahead = lease.take_switch_ahead();
        let schema = lease.schema().clone();
        Self {
            pool,
            lease,
            owner,
            marks,
            schema,
            switch_ahead,
            purpose,
            nesting: OpenLevels::default(),
            _held: held,
        }
    }

    /// Runs a statement and answers with its rows.
    ///
    /// # Errors
    /// [`ErrorKind::Database`] with PostgreSQL's answer as its source, [`ErrorKind::DatabaseUnavailable`] if
    /// the connection is lost.
    pub async fn query(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        Ok(self.run_statement(sql, parameters).await?.rows)
    }

    /// Runs a statement whose parameters have these types, and answers with its rows. Elsewhere the server infers
    /// them, which it cannot where a parameter stands for itself, as in `SELECT $1`.
    ///
    /// # Errors
    /// Like [`query`](Self::query).
    pub async fn query_typed(
        &mut self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>> {
        let (parameters, types): (Vec<_>, Vec<_>) = parameters.iter().cloned().unzip();
        Ok(self.run(Call { types: &types, ..Call::new(sql, &parameters) }).await?.rows)
    }

    /// Runs a statement and answers with its only row.
    ///
    /// # Errors
    /// Like [`query`](Self::query), and [`ErrorKind::RowNotFound`] if there is none.
    pub async fn query_one(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        one(self.run_statement(sql, parameters).await?)
    }

    /// Runs a statement and answers with its only row, if there is one.
    ///
    /// # Errors
    /// Like [`query`](Self::query), and [`ErrorKind::Database`] if there are several.
    pub async fn query_opt(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>> {
        at_most_one(self.run_statement(sql, parameters).await?)
    }

    /// Runs a statement and answers with the number of rows it touched.
    ///
    /// # Errors
    /// Like [`query`](Self::query).
    pub async fn execute(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        Ok(self.run_statement(sql, parameters).await?.affected)
    }

    /// Runs statements without parameters in one message.
    ///
    /// # Errors
    /// Like [`query`](Self::query). Those behind a statement that fails do not run.
    pub async fn batch_execute(&mut self, sql: &str) -> Result<()> {
        self.settle().await?;
        self.note_effect(sql)?;
        let sql = self.marks.text(sql);
        self.send(Query::Batch(&sql)).await.map(drop)
    }

    /// Announces something on a channel of the tenant, or of the master schema, to those who
    /// [listen](crate::Tenancy::listen). In a transaction, they hear of it when that is committed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that is not made of lower-case letters, digits and `_`, or is too
    /// long; what PostgreSQL answers, for example to a payload of 8,000 bytes or more.
    /// [`ErrorKind::Unsupported`] on a connection to a worker of Citus, where nobody listens.
    pub async fn notify(&mut self, channel: &str, payload: &str) -> Result<()> {
        refuse_at_node(&self.pool)?;
        let channel = channel_of(self.lease.schema(), channel)?;
        self.execute(NOTIFY, &[&channel, &payload]).await.map(drop)
    }

    async fn run_statement(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<Answer> {
        self.run(Call::new(sql, parameters)).await
    }

    async fn run(&mut self, call: Call<'_>) -> Result<Answer> {
        let (owner, schema) = self.whose();
        let (marked, is_traced) = self.marks.text_and_trace(call.sql);
        let marked = Call { sql: &marked, is_single: call.is_single || is_traced, ..call };
        self.ask(call.sql, Query::Statement { owner, schema: schema.as_str(), call: marked }).await
    }

    /// Runs a statement for the number of rows it touches, in one round trip if it is prepared by itself at most once.
    #[cfg_attr(not(feature = "diesel-async"), allow(dead_code))]
    pub(super) async fn run_for_count(&mut self, call: Call<'_>) -> Result<u64> {
        let answer = if call.is_single && call.named.is_none() {
            let marked = self.marks.text(call.sql);
            self.ask(call.sql, Query::Count(Call { sql: &marked, ..call })).await
        } else {
            self.run(call).await
        };
        Ok(answer?.affected)
    }

    async fn ask(&mut self, sql: &str, query: Query<'_>) -> Result<Answer> {
        self.settle().await?;
        self.note_effect(sql)?;
        let may_try_again = self.may_try_again();
        let span = self.lease.statement_span();
        match self.send(query).instrument(span).await {
            Err(error) if error.is_stale_plan() => {
                // It would fail for ever, and what is known of types may be as old.
                let mut exchange = self.lease.begin(Activity::Call);
                exchange.forget();
                exchange.finish();
                if may_try_again { self.send(query).await } else { Err(error) }
            }
            Err(error) => Err(self.explain(error).await),
            answer => answer,
        }
    }

    /// A schema that vanished under a warm connection looks like a missing table, until somebody asks. Nobody can in
    /// a transaction, which has failed.
    pub(super) async fn explain(&mut self, error: Error) -> Error {
        let code = error.database_code();
        let may_be_missing = code.is_some_and(|code| may_be_missing_schema(&code));
        if !may_be_missing || self.purpose == Purpose::Transaction || self.nesting.is_inside() {
            return error;
        }
        match self.lease.missing_schema().await {
            Some(missing) => missing.with_source(error),
            None => error,
        }
    }

    /// The owner of what is prepared here, and the schema that it is for.
    pub(super) fn whose(&self) -> (Owner, SchemaName) {
        (self.owner, self.schema.clone())
    }

    pub(super) fn note_effect(&mut self, sql: &str) -> Result<()> {
        self.pool.recorder().statement(&self.schema, sql);
        let effect = self.pool.classifier().effect(sql);
        if effect == Effect::Touched && stands(Guard::Classification) {
            self.pool.refuse_resets(sql)?;
            self.lease.touch();
        }
        Ok(())
    }

    /// A statement whose cached plan is stale was not executed, but inside a transaction it has ended that.
    pub(super) fn may_try_again(&self) -> bool {
        let is_inside = self.purpose == Purpose::Transaction || self.nesting.is_inside();
        !is_inside && !self.lease.is_touched() && stands(Guard::SecondAttempt)
    }

    /// Sends a statement, with the switch before it if that is still to come.
    pub(super) async fn send(&mut self, query: Query<'_>) -> Result<Answer> {
        let pipeline = Pipeline::of(query, self.switch_ahead.as_deref(), self.purpose);
        let begins = pipeline.begins();
        let mut exchange = self.lease.begin(Activity::Call);
        if exchange.knows(query) {
            // What is cut off while it is prepared is known to the server alone, for ever.
            exchange.allow_draining();
        }
        exchange.is_in_transaction |= begins;
        let answer = at(AwaitPoint::Statement, exchange.send(pipeline)).await;
        let answer = conclude(exchange, answer);
        let answer = note_switch(&mut self.lease, self.switch_ahead.as_deref(), answer);
        if begins {
            self.switch_ahead = None;
        }
        answer
    }

    /// Sends what begins or ends a transaction.
    pub(super) async fn command(&mut self, place: AwaitPoint, sql: &str) -> Result<()> {
        let mut exchange = self.lease.begin(Activity::Boundary);
        // Whatever comes of it, until it is known.
        exchange.is_in_transaction = true;
        let pipeline = Pipeline { before: None, query: Query::Batch(sql), after: None };
        if let Err(failure) = at(place, exchange.send(pipeline)).await {
            return Err(exchange.fail(failure.into_error()));
        }
        exchange.is_in_transaction = sql.starts_with("BEGIN");
        exchange.finish();
        Ok(())
    }

    /// Has the switch that is still to come begin this kind of transaction. Returns false if there is none.
    pub(super) fn begins_with_switch(&mut self, options: TxOptions) -> bool {
        let Some(switch_ahead) = &mut self.switch_ahead else { return false };
        switch_ahead.begin_with(&options.begin());
        true
    }

    /// Begins the transaction whose switch is still to come, for what cannot travel with it.
    pub(super) async fn switch_now(&mut self) -> Result<()> {
        if self.switch_ahead.is_none() {
            return Ok(());
        }
        self.send(Query::Batch("")).await.map(drop)
    }

    /// Returns true if the caller's transaction has begun: one with a switch ahead begins with its first
    /// statement.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.purpose == Purpose::Transaction && self.switch_ahead.is_none()
    }
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

impl fmt::Debug for ClientCheckout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCheckout")
            .field("is_in_transaction", &self.is_in_transaction())
            .finish_non_exhaustive()
    }
}
