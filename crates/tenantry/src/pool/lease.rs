//! One slot of the pool on loan, with or without a connection in it.

#[cfg(feature = "tokio-postgres")]
mod switch_ahead;

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

#[cfg(feature = "tokio-postgres")]
pub(super) use self::switch_ahead::SwitchAhead;
use super::await_point::{AwaitPoint, at};
use super::counters::Source;
use super::driver::Driver;
use super::pooler::Described;
use super::preparation::Preparation;
use super::shared::{HolderId, LineName, Shared, line_of};
use crate::database::{PoolMode, Verify};
use crate::error::{ErrorKind, Result};
use crate::guard::{Guard, stands};

/// A connection together with what the pool knows about its session.
pub(super) struct Pooled<C> {
    pub(super) connection: C,
    /// What the server last confirmed. `None` until the first switch.
    pub(super) session: Option<Arc<Preparation>>,
    /// Whether `session` may be believed without asking. Not so after a failure elsewhere that
    /// suggests that the server went away.
    pub(super) is_confirmed: bool,
    /// Whether the server confirmed the void, and `session` is only what was laid over it last.
    is_void: bool,
    pub(super) opened_at: Instant,
    pub(super) idle_since: Instant,
    /// The thread that used it last.
    pub(super) thread: Option<ThreadId>,
    /// Behind a pooler: the statements whose types the driver knows.
    pub(super) described: Described,
    streak: Option<Streak>,
    /// All tenants it has served: the server's memory for a connection grows with each.
    served: HashSet<LineName>,
    #[cfg(feature = "tokio-postgres")]
    checks: Box<switch_ahead::Checks>,
}

/// How long a connection has served the line of one tenant without a pause.
struct Streak {
    line: LineName,
    served: u32,
    since: Instant,
}

/// A connection serves so many of its own tenant's waiters before others get their turn, …
const QUANTUM: u32 = 8;
/// … or for so long, whichever ends first.
const QUANTUM_TIME: Duration = Duration::from_millis(5);

impl<C> Pooled<C> {
    fn new(connection: C) -> Self {
        let now = Instant::now();
        Self {
            connection,
            session: None,
            is_confirmed: false,
            is_void: false,
            opened_at: now,
            idle_since: now,
            thread: None,
            described: Described::default(),
            streak: None,
            served: HashSet::new(),
            #[cfg(feature = "tokio-postgres")]
            checks: Box::default(),
        }
    }

    /// The tenant it would serve without a switch.
    pub(super) fn line(&self) -> Option<LineName> {
        self.session.as_deref().filter(|_| self.is_confirmed && !self.is_void).map(line_of)
    }

    /// Notes whom the connection serves now, of those who found it idle.
    pub(super) fn begin_streak(&mut self, line: LineName) {
        self.streak = Some(Streak { line, served: 1, since: Instant::now() });
    }

    /// Notes whom the connection serves now, of those who waited.
    pub(super) fn go_on_with(&mut self, line: LineName) {
        match &mut self.streak {
            Some(streak) if streak.line == line => streak.served += 1,
            _ => self.begin_streak(line),
        }
    }

    /// The line that the connection may stay with, while its quantum lasts.
    pub(super) fn line_within_quantum(&self) -> Option<LineName> {
        let lasts = |streak: &&Streak| streak.served < QUANTUM && streak.since.elapsed() < QUANTUM_TIME;
        self.streak.as_ref().filter(lasts).map(|streak| streak.line)
    }

    pub(super) fn is_warm_for(&self, preparation: &Preparation) -> bool {
        self.is_confirmed && !self.is_void && self.last_served(preparation)
    }

    /// Whether this was the last one it served, in a session or in a transaction.
    fn last_served(&self, preparation: &Preparation) -> bool {
        self.session.as_ref().is_some_and(|session| session.serves(preparation))
    }
}

/// One slot of the pool on loan. Dropping it gives the slot back, whatever happened to it.
///
/// The connection inside is *busy* from before the first byte of a statement is sent until its
/// last answer was read. Dropped while busy, it is drained if that is safe and quick, else closed.
pub(super) struct Lease<D: Driver> {
    shared: Arc<Shared<D>>,
    holder: HolderId,
    pooled: Option<Pooled<D::Connection>>,
    activity: Activity,
    /// Behind a pooler: the transaction that the switch began has not ended.
    has_transaction: bool,
    condition: Condition,
    #[cfg(feature = "tokio-postgres")]
    switch_ahead: Option<Box<SwitchAhead>>,
}

/// When a connection that is not warm is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switching {
    /// Before it is handed out.
    Now,
    /// Together with the only statement, by an [`SwitchAhead`].
    #[cfg(feature = "tokio-postgres")]
    WithStatement,
    /// Together with the first statement of a transaction, by an [`SwitchAhead`].
    #[cfg(feature = "tokio-postgres")]
    WithTransaction,
}

/// What the connection is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    /// Nothing: the last answer was read to its end.
    None,
    /// A statement of a user's, the rest of whose answer may be read by somebody else.
    Statement,
    /// An exchange that nobody else can bring to its end.
    Other,
}

/// What the session may hold that the next user must not meet, from nothing to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    Clean,
    /// Something that cleaning removes.
    Touched,
    /// A cached statement that fails for ever, besides.
    Stale,
    /// The connection is lost.
    Broken,
}

/// What became of an attempt to make a lease ready.
pub(super) enum Readiness {
    /// The connection is prepared for the checkout.
    Ready,
    /// It had been idle and turned out to be lost; another one may do.
    Lost,
}

impl<D: Driver> Lease<D> {
    pub(super) fn new(
        shared: Arc<Shared<D>>,
        holder: HolderId,
        pooled: Option<Pooled<D::Connection>>,
    ) -> Self {
        Self {
            shared,
            holder,
            pooled,
            activity: Activity::None,
            has_transaction: false,
            condition: Condition::Clean,
            #[cfg(feature = "tokio-postgres")]
            switch_ahead: None,
        }
    }

    /// Takes the slot out without giving it back.
    pub(super) fn into_slot(mut self) -> (HolderId, Option<Pooled<D::Connection>>) {
        let slot = (self.holder, self.pooled.take());
        self.holder = HolderId::NONE;
        slot
    }

    /// Opens a connection if there is none, and switches it unless it is warm.
    ///
    /// Dropped half-way, the connection is busy and will be closed.
    pub(super) async fn make_ready(
        &mut self,
        preparation: &Arc<Preparation>,
        switching: Switching,
    ) -> Result<Readiness> {
        let is_new = self.pooled.is_none();
        if is_new {
            self.open().await?;
        }
        if self.take_over_warm(preparation) {
            return Ok(Readiness::Ready);
        }
        let switched = match switching {
            #[cfg(feature = "tokio-postgres")]
            Switching::WithStatement | Switching::WithTransaction if self.can_send_ahead() => {
                self.prepare_switch_ahead(preparation, switching).await
            }
            _ => self.switch(preparation).await,
        };
        match switched {
            Ok(()) => {
                self.shared.counters.checked_out(if is_new { Source::Opened } else { Source::Switched });
                if self.shared.config.verify == Verify::Always {
                    self.touch();
                }
                Ok(Readiness::Ready)
            }
            Err(error) if error.kind() == ErrorKind::DatabaseUnavailable && !is_new => {
                self.report_loss();
                Ok(Readiness::Lost)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn open(&mut self) -> Result<()> {
        let connection = at(AwaitPoint::Open, self.shared.driver.open()).await?;
        self.pooled = Some(Pooled::new(connection));
        Ok(())
    }

    /// Whether the connection serves this checkout without a round trip. If so, it does from now on.
    pub(super) fn take_over_warm(&mut self, preparation: &Arc<Preparation>) -> bool {
        let config = &self.shared.config;
        let Some(pooled) = &mut self.pooled else { return false };
        let is_warm = pooled.is_warm_for(preparation)
            && config.verify == Verify::Switch
            && pooled.idle_since.elapsed() < config.check_after_idle
            && !self.shared.driver.is_lost(&pooled.connection);
        if is_warm {
            // The same session, but perhaps a later record of the tenant.
            pooled.session = Some(Arc::clone(preparation));
            self.shared.counters.checked_out(Source::Warm);
        }
        is_warm
    }

    async fn switch(&mut self, preparation: &Arc<Preparation>) -> Result<()> {
        self.begin_exchange();
        let Some(pooled) = &mut self.pooled else { return Ok(()) };
        let driver = &self.shared.driver;

        let from = pooled.session.take();
        if forgets_types(from.as_deref(), preparation) {
            at(AwaitPoint::Forget, driver.forget_statements(&mut pooled.connection)).await?;
        }
        let is_session = self.shared.config.mode == PoolMode::Session;
        let message = if is_session {
            preparation.switch_message(from.as_deref())
        } else {
            preparation.begin_message()
        };
        let answer = at(AwaitPoint::Switch, driver.send(&mut pooled.connection, &message)).await?;
        if stands(Guard::Verification) {
            preparation.verify(answer.as_deref())?;
        }
        at(AwaitPoint::Hook, driver.after_switch(&mut pooled.connection, &preparation.request)).await?;

        pooled.session = Some(Arc::clone(preparation));
        // Behind a pooler the next transaction may meet another session.
        pooled.is_confirmed = is_session;
        pooled.is_void = false;
        if is_session {
            pooled.served.insert(line_of(preparation));
        }
        self.has_transaction = !is_session && stands(Guard::PoolerTransaction);
        self.end_statement();
        Ok(())
    }

    /// Begins another transaction after the one before was rolled back.
    pub(super) async fn begin_again(&mut self) -> Result<()> {
        let session = self.pooled.as_ref().and_then(|pooled| pooled.session.clone());
        match session {
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

    async fn drain(&mut self) -> Result<()> {
        let Some(pooled) = &mut self.pooled else { return Ok(()) };
        self.shared.driver.drain(&mut pooled.connection).await
    }

    /// Removes everything a session may hold and verifies that it is where it was.
    async fn clean(&mut self) -> Result<()> {
        let Some(pooled) = &mut self.pooled else { return Ok(()) };
        let Some(session) = pooled.session.take() else { return Ok(()) };
        let driver = &self.shared.driver;

        let answer = driver.send(&mut pooled.connection, &session.clean_message()).await?;
        session.verify(answer.as_deref())?;
        if self.condition == Condition::Stale {
            driver.forget_statements(&mut pooled.connection).await?;
        }
        driver.after_switch(&mut pooled.connection, &session.request).await?;

        pooled.session = Some(session);
        pooled.is_void = false;
        self.activity = Activity::None;
        self.condition = Condition::Clean;
        Ok(())
    }

    pub(super) fn pooled(&mut self) -> Option<&mut Pooled<D::Connection>> {
        self.pooled.as_mut()
    }

    pub(super) fn connection(&mut self) -> Option<&mut D::Connection> {
        self.pooled.as_mut().map(|pooled| &mut pooled.connection)
    }

    /// From here on the connection is drained or closed unless [`end_statement`](Self::end_statement)
    /// says that the answer was read to its end.
    pub(super) fn begin_statement(&mut self) {
        self.begin(Activity::Statement);
    }

    /// As [`begin_statement`](Self::begin_statement), for what is always closed: half a `BEGIN`
    /// or `COMMIT` must not be brought to its end.
    pub(super) fn begin_exchange(&mut self) {
        self.begin(Activity::Other);
    }

    fn begin(&mut self, activity: Activity) {
        if stands(Guard::BusyFlag) {
            self.activity = activity;
        }
    }

    pub(super) fn end_statement(&mut self) {
        self.activity = Activity::None;
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

    /// The connection failed. Others to the same server are asked before they are used again.
    pub(super) fn report_loss(&mut self) {
        self.worsen(Condition::Broken);
        self.shared.doubt_idle();
    }

    fn worsen(&mut self, condition: Condition) {
        self.condition = self.condition.max(condition);
    }

    fn is_doubtful(&mut self) -> bool {
        if !stands(Guard::DoubtfulClosed) {
            return false;
        }
        self.is_lost_or_busy() || self.is_in_transaction()
    }

    fn is_lost_or_busy(&self) -> bool {
        self.activity != Activity::None || self.condition == Condition::Broken
    }

    /// Whether the connection has lived long enough, by its age or by the tenants it has served.
    fn is_used_up(&self) -> bool {
        let config = &self.shared.config;
        self.pooled.as_ref().is_some_and(|pooled| {
            pooled.opened_at.elapsed() > config.max_lifetime
                || pooled.served.len() > config.max_tenants_per_connection as usize
        })
    }

    /// Whether a statement was cut off whose answer may be read to its end, and the permit to do so.
    fn permit_to_drain(&mut self) -> Option<OwnedSemaphorePermit> {
        let is_drainable = self.activity == Activity::Statement
            && self.condition < Condition::Broken
            && !self.is_in_transaction()
            && !self.is_used_up();
        if is_drainable { self.shared.permit_to_drain() } else { None }
    }

    fn is_in_transaction(&mut self) -> bool {
        let driver = &self.shared.driver;
        self.has_transaction
            || self.pooled.as_mut().is_some_and(|pooled| driver.is_in_transaction(&mut pooled.connection))
    }

    fn needs_cleaning(&self) -> bool {
        // A busy one is doubtful, not to be cleaned; this decides only where that guard is left out.
        self.is_touched() && self.activity == Activity::None && stands(Guard::Hygiene)
    }
}

/// A driver's map from type names to types belongs to the schema it was read in.
fn forgets_types(from: Option<&Preparation>, to: &Preparation) -> bool {
    let Some(from) = from else { return false };
    !from.serves(to) && (from.owns_types() || to.owns_types()) && stands(Guard::ForgetTypes)
}

impl<D: Driver> Lease<D> {
    /// The same slot for a task of the pool's, which is closed unless that task ends well. Armed here
    /// and not in the task: a runtime that shuts down never polls it.
    fn for_background(&self, holder: HolderId, pooled: Pooled<D::Connection>) -> Self {
        let mut lease = Self::new(Arc::clone(&self.shared), holder, Some(pooled));
        (lease.activity, lease.condition) = (Activity::Other, self.condition);
        lease.has_transaction = self.has_transaction;
        lease
    }
}

impl<D: Driver> Drop for Lease<D> {
    fn drop(&mut self) {
        if self.holder == HolderId::NONE {
            return;
        }
        let permit_to_drain = self.permit_to_drain();
        let (is_doubtful, is_used_up) = (self.is_doubtful(), self.is_used_up());
        let needs_cleaning = self.needs_cleaning();
        let holder = std::mem::replace(&mut self.holder, HolderId::NONE);
        match (self.pooled.take(), permit_to_drain) {
            (Some(pooled), Some(permit)) => {
                let lease = self.for_background(holder, pooled);
                self.shared.runtime.spawn(drain_and_return(lease, permit));
            }
            (Some(pooled), _) if is_doubtful && self.is_lost_or_busy() => {
                self.shared.counters.doubtful();
                // The server notices; it would not answer a good-bye before the statement's end.
                drop(pooled);
                self.shared.take_back(holder, None);
            }
            (Some(pooled), _) if is_doubtful => {
                self.shared.counters.doubtful();
                self.shared.close_in_background(holder, pooled);
            }
            (Some(pooled), _) if is_used_up => {
                self.shared.counters.recycled();
                self.shared.close_in_background(holder, pooled);
            }
            (Some(pooled), _) if needs_cleaning => {
                let lease = self.for_background(holder, pooled);
                self.shared.runtime.spawn(clean_and_return(lease));
            }
            (pooled, _) => self.shared.take_back(holder, pooled),
        }
    }
}

/// Reads what is left of an answer that nobody waits for any more, if it comes soon. Then anything may
/// be in the session, an open transaction included, so the connection is cleaned and verified.
async fn drain_and_return<D: Driver>(mut lease: Lease<D>, _permit: OwnedSemaphorePermit) {
    let limit = lease.shared.config.drain_timeout;
    match tokio::time::timeout(limit, lease.drain()).await {
        Ok(Ok(())) => lease.shared.counters.drained(),
        Ok(Err(error)) => return tracing::debug!(%error, "Closed a connection that could not be drained"),
        Err(_) => return tracing::debug!("Closed a connection whose statement goes on"),
    }
    if !stands(Guard::DrainVerified) {
        lease.end_statement();
        lease.condition = Condition::Clean;
        return;
    }
    clean_and_return(lease).await;
}

/// Cleans a connection before anybody else can get it. What cannot be cleaned in time is closed,
/// because the lease is still busy when it is dropped.
async fn clean_and_return<D: Driver>(mut lease: Lease<D>) {
    let limit = lease.shared.config.clean_timeout;
    match tokio::time::timeout(limit, lease.clean()).await {
        Ok(Ok(())) => lease.shared.counters.cleaned(),
        Ok(Err(error)) => tracing::debug!(%error, "Closed a connection that could not be cleaned"),
        Err(_) => tracing::debug!("Closed a connection that took too long to clean"),
    }
}
