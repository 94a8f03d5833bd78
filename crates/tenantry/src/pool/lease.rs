//! One connection on loan, prepared for its checkout.

mod aside;
mod exchange;
mod give_back;
#[cfg(feature = "testing")]
mod leftovers;
mod roll_back;
#[cfg(feature = "tokio-postgres")]
mod switch_ahead;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

#[cfg(feature = "tokio-postgres")]
pub(super) use self::exchange::Exchange;
pub(super) use self::exchange::{Activity, BreaksConnection};
#[cfg(feature = "testing")]
pub(crate) use self::leftovers::Leftover;
#[cfg(feature = "tokio-postgres")]
pub(super) use self::switch_ahead::SwitchAhead;
use super::await_point::{AwaitPoint, at};
use super::counters::Source;
use super::driver::Driver;
use super::pooled::Pooled;
use super::preparation::Preparation;
use super::session::{SessionState, Warmth};
use super::slots::Slot;
use super::step::{Step, StepMarker};
use super::types::{Described, Types};
use crate::database::{PoolMode, Verify};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::tenant::{Alias, SchemaName, Tenant};

/// The switch that the next statement takes along.
#[cfg(feature = "tokio-postgres")]
type Ahead = Option<Box<SwitchAhead>>;
/// No switch is taken along.
#[cfg(not(feature = "tokio-postgres"))]
type Ahead = ();

/// A connection on loan. Dropping it gives its slot back, whatever happened to the connection.
///
/// The only way to the connection is an [`Exchange`], during which it is *busy*. Dropped while busy, it is
/// drained if that is safe and quick, else closed.
pub(super) struct Lease<D: Driver> {
    /// Has a connection until the lease is dropped.
    slot: Slot<D>,
    /// The work that the connection is busy with. `None`: the last answer was read to its end.
    activity: Option<Activity>,
    /// Behind a pooler: the transaction that the switch began has not ended.
    has_transaction: bool,
    condition: Condition,
    #[cfg_attr(not(feature = "tokio-postgres"), expect(dead_code))]
    switch_ahead: Ahead,
}

/// The moment at which a connection that is not warm is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switching {
    /// Before it is handed out.
    Now,
    /// Together with the only statement, by a [`SwitchAhead`].
    #[cfg(feature = "tokio-postgres")]
    WithStatement,
    /// Together with the first statement of a transaction, by a [`SwitchAhead`].
    #[cfg(feature = "tokio-postgres")]
    WithTransaction,
}

/// Leftovers that the next user of the session must not meet, from none to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    Clean,
    /// Something that cleaning removes.
    Touched,
    /// A cached statement that fails for ever, besides.
    Stale,
    /// The connection answers, and is of no further use: it may lead to a server that takes no writes.
    Unfit,
    /// The connection is lost.
    Broken,
}

impl<D: Driver> Lease<D> {
    fn new(slot: Slot<D>) -> Self {
        Self {
            slot,
            activity: None,
            has_transaction: false,
            condition: Condition::Clean,
            switch_ahead: Ahead::default(),
        }
    }

    /// A lease of a connection that is [warm](Warmth::Warm) for the checkout.
    pub(super) fn warm(slot: Slot<D>, preparation: &Arc<Preparation>) -> Self {
        let mut lease = Self::new(slot);
        // The same session, but perhaps a later record of the tenant.
        lease.pooled().session = SessionState::in_force(preparation);
        lease.slot.slots.counters.checked_out(Source::Warm);
        lease
    }

    /// Opens a connection if the slot has none, and switches it unless it is warm. Answers with `None` if it
    /// had been idle and turned out to be lost: another one may do.
    ///
    /// Dropped half-way, the connection is busy and will be closed.
    pub(super) async fn ready(
        mut slot: Slot<D>,
        preparation: &Arc<Preparation>,
        switching: Switching,
        progress: &StepMarker,
    ) -> Result<Option<Self>> {
        let is_new = slot.pooled.is_none();
        if is_new {
            progress.note(Step::Opening);
            slot.open().await?;
        }
        progress.note(Step::Switching);
        let warmth = slot.warmth_for(preparation);
        if warmth == Warmth::Warm {
            return Ok(Some(Self::warm(slot, preparation)));
        }
        let mut lease = Self::new(slot);
        let asked_at = Instant::now();
        match lease.switch_when(switching, warmth, preparation).await {
            Ok(()) => {
                lease.note_switched(is_new);
                Ok(Some(lease))
            }
            Err(_) if lease.condition == Condition::Broken && !is_new => {
                if asked_at.elapsed() >= lease.slot.slots.answer_limit() {
                    lease.slot.slots.give_up_idle(asked_at);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn note_switched(&mut self, is_new: bool) {
        let slots = &self.slot.slots;
        slots.counters.checked_out(if is_new { Source::Opened } else { Source::Switched });
        if slots.config.verify == Verify::Always {
            self.touch();
        }
    }

    #[cfg(feature = "tokio-postgres")]
    async fn switch_when(
        &mut self,
        switching: Switching,
        warmth: Warmth,
        preparation: &Arc<Preparation>,
    ) -> Result<()> {
        match switching {
            Switching::WithStatement | Switching::WithTransaction if self.can_send_ahead() => {
                self.prepare_switch_ahead(switching, warmth, preparation).await
            }
            _ => self.switch(preparation).await,
        }
    }

    #[cfg(not(feature = "tokio-postgres"))]
    async fn switch_when(
        &mut self,
        Switching::Now: Switching,
        _warmth: Warmth,
        preparation: &Arc<Preparation>,
    ) -> Result<()> {
        self.switch(preparation).await
    }

    async fn switch(&mut self, preparation: &Arc<Preparation>) -> Result<()> {
        let is_session = self.slot.slots.config.mode == PoolMode::Session;
        let from = std::mem::take(&mut self.pooled().session);
        let from = from.last().map(Arc::as_ref);
        let limit = self.slot.slots.answer_limit();
        let types = Types::between(from, preparation, &self.pooled().described);
        let mut message =
            if is_session { preparation.switch_message(from) } else { preparation.begin_message() };
        message.extend(types.question(preparation.confirmation()));
        let switch = self.exchange(Activity::Boundary, async |driver, connection| {
            let answer = at(AwaitPoint::Switch, within(limit, driver.send(connection, &message))).await?;
            let (forgets, schema) = types.read(answer.as_deref());
            if stands(Guard::Verification) {
                preparation.verify(schema)?;
            }
            if forgets {
                at(AwaitPoint::Forget, driver.forget_statements(connection)).await?;
            }
            at(AwaitPoint::Hook, driver.after_switch(connection, &preparation.request)).await?;
            Ok::<_, Error>(forgets)
        });
        let has_forgotten = switch.await?;

        types.note(has_forgotten, &mut self.pooled().described);
        self.suspect_hooks();
        let pooled = self.pooled();
        if is_session {
            pooled.session = SessionState::in_force(preparation);
            pooled.serve(preparation);
        } else {
            pooled.session = SessionState::passing(preparation);
            self.has_transaction = stands(Guard::PoolerTransaction);
        }
        Ok(())
    }

    /// Begins another transaction after the one before was rolled back.
    pub(super) async fn begin_again(&mut self) -> Result<()> {
        let last = self.pooled().session.last().cloned();
        match last {
            Some(preparation) => self.switch(&preparation).await,
            None => Ok(()),
        }
    }

    /// The transaction that the switch began has ended, and left nothing in the session.
    pub(super) fn end_transaction(&mut self) {
        self.has_transaction = false;
        if self.condition == Condition::Touched {
            self.condition = Condition::Clean;
        }
    }

    /// The error of a schema that is gone, if it is. What is in doubt is that the connection is warm.
    pub(super) async fn missing_schema(&mut self) -> Option<Error> {
        let preparation = Arc::clone(self.pooled().session.last()?);
        let question = preparation.schema_question();
        let answer = self.exchange(Activity::Call, async |driver, connection| {
            at(AwaitPoint::Statement, driver.send(connection, &question)).await
        });
        if answer.await.ok()?.is_some() {
            return None;
        }
        self.pooled().session.doubt();
        Some(preparation.missing_schema())
    }

    /// The schema that it is prepared for.
    pub(super) fn schema(&self) -> &SchemaName {
        self.last().request.schema()
    }

    /// The tenant that it is prepared for; `None` for the master schema.
    pub(super) fn tenant(&self) -> Option<&Tenant> {
        self.last().tenant()
    }

    pub(super) fn database(&self) -> &Alias {
        &self.slot.slots.alias
    }

    fn last(&self) -> &Preparation {
        let pooled = self.slot.pooled.as_ref().expect("a lease has a connection until it is dropped");
        pooled.session.last().expect("prepared for something")
    }

    /// Lends the connection to somebody who says nothing of what he does on it.
    pub(super) fn lend(&mut self) -> &mut D::Connection {
        self.touch();
        let pooled = self.pooled();
        pooled.described.doubt();
        &mut pooled.connection
    }

    /// Returns true if the text ran on this connection before, so that the driver knows its types.
    pub(super) fn is_described(&mut self, sql: &str) -> bool {
        self.pooled().described.contains(sql)
    }

    pub(super) fn note_described(&mut self, sql: &str) {
        self.pooled().described.insert(sql);
    }

    /// A statement that is new to the connection begins: it makes the driver look at types, also if it fails.
    pub(super) fn suspect_types(&mut self) {
        self.pooled().described.suspect();
    }

    /// Hooks have run, whose statements nobody sees.
    fn suspect_hooks(&mut self) {
        if self.slot.slots.driver.has_hooks() {
            self.suspect_types();
        }
    }

    /// A statement failed: nobody knows which types the driver has looked at before.
    pub(super) fn doubt_types(&mut self) {
        self.pooled().described.doubt();
    }

    /// Drops every prepared statement, and what the driver knows of types.
    pub(super) async fn forget_statements(&mut self) -> Result<()> {
        self.exchange(Activity::Boundary, D::forget_statements).await?;
        self.pooled().described = Described::default();
        Ok(())
    }

    /// The session may hold something that the next user must not see.
    pub(super) fn touch(&mut self) {
        self.worsen(Condition::Touched);
    }

    pub(super) fn is_touched(&self) -> bool {
        self.condition >= Condition::Touched
    }

    /// A statement in the driver's cache fails for ever on this connection.
    pub(super) fn report_stale_statements(&mut self) {
        self.worsen(Condition::Stale);
    }

    fn worsen(&mut self, condition: Condition) {
        self.condition = self.condition.max(condition);
    }

    fn pooled(&mut self) -> &mut Pooled<D::Connection> {
        self.slot.pooled.as_mut().expect("a lease has a connection until it is dropped")
    }
}

/// Waits for an answer for so long. Half of a checkout's time is left to open another connection then.
async fn within<T>(limit: Duration, answer: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
        let message = format!("the server did not answer within {limit:?}");
        Err(Error::new(ErrorKind::DatabaseUnavailable, message))
    })
}
