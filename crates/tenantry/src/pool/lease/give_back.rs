//! The fate of a connection when its lease is dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{Activity, Condition, Lease};
use crate::error::Result;
use crate::guard::{Guard, stands};
use crate::pool::cleaning::clean;
use crate::pool::driver::Driver;
use crate::pool::session::SessionState;
use crate::pool::slots::Slot;

/// The time after which a connection that does not answer is a sign that the server is silent.
const SILENCE: Duration = Duration::from_millis(500);

/// The next thing that happens to a connection.
enum Fate {
    /// It was cut off in a statement whose answer may be read to its end.
    Drain(OwnedSemaphorePermit),
    /// It is in a transaction that nobody ends any more, perhaps in a statement of it that was cut off.
    RollBack(Option<OwnedSemaphorePermit>),
    /// It answers, and is of no further use. The server may tell why.
    Retire,
    /// It is lost or busy. The server notices; it would not answer a good-bye before the statement's end.
    Abandon,
    /// It is in a transaction that may not be rolled back.
    Close,
    /// It has lived long enough.
    Replace,
    Clean,
    /// It is as good as it was.
    Keep,
}

impl<D: Driver> Drop for Lease<D> {
    fn drop(&mut self) {
        let fate = self.fate();
        let counters = &self.slot.slots.counters;
        match fate {
            Fate::Drain(permit) => {
                let lease = self.take_to_background();
                self.slot.slots.runtime.spawn(drain_and_return(lease, permit));
            }
            Fate::RollBack(permit) => {
                let lease = self.take_to_background();
                self.slot.slots.runtime.spawn(roll_back_and_return(lease, permit));
            }
            Fate::Retire => {
                let lease = self.take_to_background();
                self.slot.slots.runtime.spawn(retire(lease));
            }
            Fate::Abandon => {
                counters.doubtful();
                self.note_silence();
                // The slot follows without it.
                drop(self.slot.pooled.take());
            }
            Fate::Close => {
                counters.doubtful();
                self.slot.take().close_in_background();
            }
            Fate::Replace => {
                counters.recycled();
                self.slot.take().close_in_background();
            }
            Fate::Clean => {
                let lease = self.take_to_background();
                self.slot.slots.runtime.spawn(clean_and_return(lease));
            }
            Fate::Keep => {}
        }
    }
}

impl<D: Driver> Lease<D> {
    fn fate(&mut self) -> Fate {
        let is_in_transaction = self.is_in_transaction();
        let is_used_up = self.is_used_up();
        let is_lost = self.condition == Condition::Broken;
        if self.condition == Condition::Unfit && self.activity.is_none() {
            return Fate::Retire;
        }
        // Before anything else, so that a lease that is drained is not in doubt.
        if !is_lost
            && !is_used_up
            && let Some(fate) = self.recovery(is_in_transaction)
        {
            return fate;
        }
        if stands(Guard::DoubtfulClosed) {
            if is_lost || self.activity.is_some() {
                return Fate::Abandon;
            }
            if is_in_transaction {
                return Fate::Close;
            }
        }
        match self.activity {
            _ if is_used_up => Fate::Replace,
            // A busy one is doubtful, not to be cleaned; this decides only where that guard is left out.
            None if self.is_touched() && stands(Guard::Hygiene) => Fate::Clean,
            _ => Fate::Keep,
        }
    }

    /// The way back to an idle session, if there is one that is worth its time.
    fn recovery(&self, is_in_transaction: bool) -> Option<Fate> {
        let slots = &self.slot.slots;
        match (self.activity, is_in_transaction) {
            (Some(Activity::Statement), false) => slots.permit_to_drain().map(Fate::Drain),
            (Some(Activity::Statement), true) => {
                slots.permit_to_drain().map(|permit| Fate::RollBack(Some(permit)))
            }
            (None, true) if !slots.config.drain_timeout.is_zero() => Some(Fate::RollBack(None)),
            _ => None,
        }
    }

    /// Puts the idle connections in doubt, if somebody gave this one up after he had waited for long.
    fn note_silence(&mut self) {
        let held_for = self.slot.held_for();
        if self.activity.is_none() || self.condition == Condition::Broken || held_for < SILENCE {
            return;
        }
        let is_in_switch = self.slot.pooled.as_ref().is_some_and(|pooled| pooled.session.last().is_none());
        let slots = &self.slot.slots;
        match Instant::now().checked_sub(held_for) {
            // A switch takes no time.
            Some(silent_since) if is_in_switch => slots.give_up_idle(silent_since),
            // A statement may take any.
            _ => slots.doubt_idle(),
        }
    }

    /// Returns true if the connection has lived long enough, by its age or by the tenants it has served, or if it leads
    /// to a server that was left.
    fn is_used_up(&self) -> bool {
        let slots = &self.slot.slots;
        let config = &slots.config;
        let (max_lifetime, most_tenants) = (config.max_lifetime, config.max_tenants_per_connection);
        // One that is read from elsewhere does not come back.
        self.slot.pooled.as_ref().is_some_and(|pooled| {
            pooled.opened_at.elapsed() > max_lifetime
                || pooled.served.len() > most_tenants as usize
                || pooled.generation != slots.generation()
        })
    }

    fn is_in_transaction(&mut self) -> bool {
        let Slot { slots, pooled, .. } = &mut self.slot;
        self.has_transaction
            || pooled.as_mut().is_some_and(|pooled| slots.driver.is_in_transaction(&mut pooled.connection))
    }

    /// The same for a task of the pool's, which is closed unless that task ends well. Armed here
    /// and not in the task: a runtime that shuts down never polls it.
    fn take_to_background(&mut self) -> Self {
        let mut lease = Self::new(self.slot.take());
        (lease.activity, lease.condition) = (Some(Activity::Boundary), self.condition);
        lease.has_transaction = self.has_transaction;
        lease
    }

    async fn drain(&mut self, permit: OwnedSemaphorePermit) -> Result<()> {
        // Anything may be in the session, an open transaction included.
        self.touch();
        self.aside(permit, async |driver, connection| driver.drain(connection).await).await
    }

    /// Removes everything a session may hold and verifies that it is where it was.
    pub(super) async fn clean(&mut self) -> Result<()> {
        let session = std::mem::take(&mut self.pooled().session);
        let Some(preparation) = session.last() else { return Ok(()) };
        let settings = preparation.settings();
        let has_stale_statements = self.condition == Condition::Stale;
        self.exchange(Activity::Boundary, async |driver, connection| {
            let answer = clean(driver, connection, &settings).await?;
            preparation.verify(answer.as_deref())?;
            if has_stale_statements {
                driver.forget_statements(connection).await?;
            }
            driver.after_switch(connection, &preparation.request).await
        })
        .await?;
        let pooled = self.pooled();
        pooled.session = SessionState::in_force(preparation);
        if has_stale_statements {
            pooled.described.doubt();
        }
        self.suspect_hooks();
        self.condition = Condition::Clean;
        Ok(())
    }
}

/// Reads what is left of an answer that nobody waits for any more, if it comes soon. Then the connection
/// is cleaned and verified.
async fn drain_and_return<D: Driver>(mut lease: Lease<D>, permit: OwnedSemaphorePermit) {
    let limit = lease.slot.slots.config.drain_timeout;
    match tokio::time::timeout(limit, lease.drain(permit)).await {
        Ok(Ok(())) => lease.slot.slots.counters.drained(),
        Ok(Err(error)) => return tracing::debug!(%error, "Closed a connection that could not be drained"),
        Err(_) => return tracing::debug!("Closed a connection whose statement goes on"),
    }
    if !stands(Guard::DrainVerified) {
        lease.condition = Condition::Clean;
        return;
    }
    clean_and_return(lease).await;
}

/// Asks why the connection is of no further use. A standby is what a server becomes after a failover, and
/// then all other connections lead to it as well.
async fn retire<D: Driver>(mut lease: Lease<D>) {
    if lease.pooled().session.last().is_some_and(|last| last.is_on_standby()) {
        return lease.worsen(Condition::Broken);
    }
    let slots = Arc::clone(&lease.slot.slots);
    let ask = lease.exchange(Activity::Boundary, async |driver, connection| {
        driver.roll_back(connection, "SELECT pg_catalog.pg_is_in_recovery()::text").await
    });
    if let Ok(Ok(Some(answer))) = tokio::time::timeout(SILENCE, ask).await
        && answer == "true"
    {
        tracing::warn!(database = %slots.alias, "The server takes no writes: it is a standby");
        slots.leave_server();
    }
    lease.worsen(Condition::Broken);
}

/// Rolls a transaction back before anybody else can get the connection, and cleans that if it was touched. With
/// a permit, a statement was cut off.
async fn roll_back_and_return<D: Driver>(mut lease: Lease<D>, permit: Option<OwnedSemaphorePermit>) {
    let limit = lease.slot.slots.config.drain_timeout;
    match tokio::time::timeout(limit, lease.roll_back(permit)).await {
        Ok(Ok(())) => lease.slot.slots.counters.rolled_back(),
        Ok(Err(error)) => return tracing::debug!(%error, "Closed a connection that could not be rolled back"),
        Err(_) => return tracing::debug!("Closed a connection whose transaction goes on"),
    }
    if lease.is_touched() {
        clean_and_return(lease).await;
    }
}

/// Cleans a connection before anybody else can get it. What cannot be cleaned in time is closed,
/// because the lease is still busy when it is dropped.
async fn clean_and_return<D: Driver>(mut lease: Lease<D>) {
    let limit = lease.slot.slots.config.clean_timeout;
    match tokio::time::timeout(limit, lease.clean()).await {
        Ok(Ok(())) => lease.slot.slots.counters.cleaned(),
        Ok(Err(error)) => tracing::debug!(%error, "Closed a connection that could not be cleaned"),
        Err(_) => tracing::debug!("Closed a connection that took too long to clean"),
    }
}
