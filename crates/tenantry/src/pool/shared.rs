//! The pool: what is open, who holds it, who waits.

use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt as _};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::affinity::{Affinity, Candidate};
use super::await_point::{AwaitPoint, at};
use super::classify::Classifier;
use super::counters::{Counters, PoolCounts};
use super::driver::{Driver, PgDriver};
use super::fairness::{Fairness, Ticket};
use super::lease::{Lease, Pooled, Readiness, Switching};
use super::preparation::{Preparation, Preprocessors};
use super::preprocessor::{CheckoutRequest, Target};
use super::sync::{Background, Mutex, MutexGuard};
use crate::database::{Layout, PoolConfig, PoolMode};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::tenant::{Alias, Tenant, TenantId};

/// A tenant's weight is no licence to starve the others.
const MAX_WEIGHT: u32 = 100;

/// A pool of connections to one database. Cheap to clone.
pub(crate) struct Pool<D: Driver = PgDriver> {
    shared: Arc<Shared<D>>,
}

impl<D: Driver> Clone for Pool<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

pub(super) struct Shared<D: Driver> {
    pub(super) driver: D,
    pub(super) config: PoolConfig,
    pub(super) classifier: Classifier,
    pub(super) counters: Counters,
    /// Where cleaning and closing run; a lease may be dropped on any thread.
    pub(super) runtime: Background,
    alias: Alias,
    layout: Arc<Layout>,
    preprocessors: Preprocessors,
    state: Mutex<State<D>>,
    /// One for every second slot, so that a storm of cancellations cannot hold them all.
    drains: Arc<Semaphore>,
    slot_freed: Notify,
}

struct State<D: Driver> {
    /// From the longest idle to the latest.
    idle: Vec<Pooled<D::Connection>>,
    affinity: Affinity<LineName>,
    fairness: Fairness<LineName, Waiter<D>>,
    /// Slots in use: idle, on loan, being cleaned, being closed.
    open: u32,
    holders: HashMap<HolderId, Holder>,
    last_holder: u64,
    is_closed: bool,
}

/// Whose line it is: a tenant's, or for `None` the master schema's.
pub(super) type LineName = Option<TenantId>;

struct Waiter<D: Driver> {
    sender: oneshot::Sender<Lease<D>>,
    preparation: Arc<Preparation>,
}

/// Who has a slot, so that a slot is given back once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct HolderId(u64);

impl HolderId {
    /// Nobody: the lease has no slot any more.
    pub(super) const NONE: Self = Self(0);
}

struct Holder {
    /// `None` while the pool itself opens a connection.
    preparation: Option<Arc<Preparation>>,
    since: Instant,
}

/// A moment in the life of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// Connections that are open, in whatever state, or being opened.
    pub open: u32,
    /// Those of them that nobody holds.
    pub idle: u32,
    /// Checkouts that wait for a connection.
    pub waiting: u32,
    /// The most that may be open.
    pub max: u32,
    /// What the pool has done so far.
    pub counts: PoolCounts,
}

/// The answer to a request for a slot.
enum Request<D: Driver> {
    Granted(Lease<D>),
    Queued(Place<D>),
}

/// A place in a line. Dropping it leaves the line; a lease that was already on its way is given
/// back by its own drop.
struct Place<D: Driver> {
    shared: Arc<Shared<D>>,
    line: LineName,
    ticket: Ticket,
    receiver: oneshot::Receiver<Lease<D>>,
}

impl<D: Driver> Drop for Place<D> {
    fn drop(&mut self) {
        // What is taken out of the line is dropped after the lock is.
        let _left = self.shared.lock().fairness.leave(&self.line, self.ticket);
    }
}

impl<D: Driver> Pool<D> {
    /// A pool that opens its first connection at the first checkout.
    ///
    /// Must be called in a tokio runtime, which it keeps for its background work.
    pub(crate) fn new(
        alias: Alias,
        driver: D,
        config: PoolConfig,
        layout: Arc<Layout>,
        preprocessors: Preprocessors,
    ) -> Result<Self> {
        config.validate()?;
        let drains = if config.drain_timeout.is_zero() { 0 } else { config.max_connections.div_ceil(2) };
        let state = State {
            idle: Vec::new(),
            affinity: Affinity::new(config.max_connections),
            fairness: Fairness::new(config.cap_per_tenant()),
            open: 0,
            holders: HashMap::new(),
            last_holder: 0,
            is_closed: false,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                driver,
                config,
                classifier: Classifier::default(),
                counters: Counters::new(alias.clone(), D::NAME),
                runtime: Background::current(),
                alias,
                layout,
                preprocessors,
                state: Mutex::new(state),
                drains: Arc::new(Semaphore::new(drains as usize)),
                slot_freed: Notify::new(),
            }),
        })
    }

    /// What a session must look like for this target.
    pub(super) fn prepare(&self, target: Target) -> Result<Arc<Preparation>> {
        let request = CheckoutRequest::new(target, Arc::clone(&self.shared.layout));
        Ok(Arc::new(self.shared.preprocessors.prepare(request)?))
    }

    /// The same, if it will be the same at every checkout.
    pub(super) fn prepare_once(&self, target: Target) -> Option<Arc<Preparation>> {
        // A refusal is for the checkout to report.
        self.shared.preprocessors.are_constant().then(|| self.prepare(target).ok())?
    }

    /// A connection for this target.
    #[cfg(test)]
    pub(super) async fn check_out(&self, target: Target) -> Result<Lease<D>> {
        self.check_out_as(&self.prepare(target)?, Switching::Now).await
    }

    /// The one way to a connection: prepared, verified, and handed out.
    pub(super) async fn check_out_as(
        &self,
        preparation: &Arc<Preparation>,
        switching: Switching,
    ) -> Result<Lease<D>> {
        let limit = self.shared.config.acquire_timeout;
        let span = tracing::debug_span!(
            "checkout",
            database = %self.shared.alias,
            tenant = preparation.tenant().map(|tenant| tenant.slug().as_str()),
        );
        let request = span.in_scope(|| Shared::request(&self.shared, preparation))?;
        // Most checkouts end here, and need no timer.
        let request = match request {
            Request::Granted(mut lease) => {
                if lease.take_over_warm(preparation) {
                    return Ok(lease);
                }
                Request::Granted(lease)
            }
            queued @ Request::Queued(_) => queued,
        };
        let ready = self.ready_lease(request, preparation, switching).instrument(span);
        match tokio::time::timeout(limit, ready).await {
            Ok(result) => result,
            Err(_) => Err(self.shared.timeout_error(preparation, limit)),
        }
    }

    async fn ready_lease(
        &self,
        mut request: Request<D>,
        preparation: &Arc<Preparation>,
        switching: Switching,
    ) -> Result<Lease<D>> {
        loop {
            let mut lease = self.lease(request).await?;
            match lease.make_ready(preparation, switching).await? {
                Readiness::Ready => return Ok(lease),
                Readiness::Lost => drop(lease),
            }
            request = Shared::request(&self.shared, preparation)?;
        }
    }

    async fn lease(&self, request: Request<D>) -> Result<Lease<D>> {
        match request {
            Request::Granted(lease) => Ok(lease),
            Request::Queued(mut place) => {
                let since = Instant::now();
                let lease = at(AwaitPoint::Wait, &mut place.receiver).await;
                let lease = lease.map_err(|_| self.shared.closed_error())?;
                self.shared.counters.waited_for(since.elapsed());
                Ok(lease)
            }
        }
    }

    pub(super) fn driver(&self) -> &D {
        &self.shared.driver
    }

    /// Whether a connection is no session of the server's, but a pooler's client.
    pub(super) fn is_behind_pooler(&self) -> bool {
        self.shared.config.mode == PoolMode::Transaction
    }

    pub(super) fn alias(&self) -> &Alias {
        &self.shared.alias
    }

    pub(super) fn classifier(&self) -> &Classifier {
        &self.shared.classifier
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let state = self.shared.lock();
        PoolStatus {
            open: state.open,
            idle: count(state.idle.len()),
            waiting: count(state.fairness.waiting()),
            max: self.shared.config.max_connections,
            counts: self.shared.counters.read(),
        }
    }

    /// Opens connections up to the configured minimum, so that the first requests find them.
    pub(crate) fn fill(&self) {
        for _ in 0..self.shared.config.min_connections {
            let Some(lease) = Shared::reserve(&self.shared) else { return };
            self.shared.runtime.spawn(open_ahead(lease));
        }
    }

    /// Refuses new checkouts, closes what is idle and waits until everything else came back.
    ///
    /// # Errors
    /// [`ErrorKind::PoolTimeout`] naming the longest holder, if the deadline passes first.
    pub(crate) async fn close(&self, limit: Duration) -> Result<()> {
        let (idle, waiters) = {
            let mut state = self.shared.lock();
            state.is_closed = true;
            (std::mem::take(&mut state.idle), state.fairness.clear())
        };
        drop(waiters);
        self.shared.close_all(idle);
        tokio::time::timeout(limit, self.all_slots_freed()).await.map_err(|_| self.shared.still_held_error())
    }

    async fn all_slots_freed(&self) {
        loop {
            // Before the look: it hears of every slot that is freed from here on.
            let freed = self.shared.slot_freed.notified();
            if self.shared.lock().open == 0 {
                return;
            }
            freed.await;
        }
    }
}

async fn open_ahead<D: Driver>(mut lease: Lease<D>) {
    if let Err(error) = lease.open().await {
        tracing::warn!(%error, "Could not open a connection ahead of need");
    }
}

impl<D: Driver> Shared<D> {
    fn lock(&self) -> MutexGuard<'_, State<D>> {
        // The state is consistent between any two statements under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(self: &Arc<Self>, preparation: &Arc<Preparation>) -> Result<Request<D>> {
        let mut state = self.lock();
        let outdated = state.remove_outdated(preparation);
        let request = self.grant_or_queue(&mut state, preparation);
        drop(state);
        // Not under the lock: a runtime that shuts down gives the slots back at once.
        self.close_all(outdated);
        request
    }

    fn grant_or_queue(
        self: &Arc<Self>,
        state: &mut State<D>,
        preparation: &Arc<Preparation>,
    ) -> Result<Request<D>> {
        if state.is_closed {
            return Err(self.closed_error());
        }
        let line = line_of(preparation);
        state.affinity.note(line);
        if !state.fairness.may_pass(&line) {
            return self.queue(state, preparation);
        }
        let mut pooled = state.take_idle(preparation);
        if let Some(pooled) = &mut pooled {
            pooled.begin_streak(line);
        } else if state.open < self.config.max_connections {
            state.open += 1;
        } else {
            return self.queue(state, preparation);
        }
        state.fairness.begin(line);
        let holder = state.register(Some(Arc::clone(preparation)));
        self.gauge(state);
        Ok(Request::Granted(Lease::new(Arc::clone(self), holder, pooled)))
    }

    fn queue(self: &Arc<Self>, state: &mut State<D>, preparation: &Arc<Preparation>) -> Result<Request<D>> {
        if state.fairness.waiting() >= self.config.max_waiting as usize {
            return Err(self.busy_error(preparation));
        }
        let (sender, receiver) = oneshot::channel();
        self.counters.waited();
        let (line, weight) = (line_of(preparation), weight_of(preparation));
        let waiter = Waiter { sender, preparation: Arc::clone(preparation) };
        let ticket = state.fairness.join(line, weight, waiter);
        self.gauge(state);
        Ok(Request::Queued(Place { shared: Arc::clone(self), line, ticket, receiver }))
    }

    fn close_all(self: &Arc<Self>, connections: Vec<Pooled<D::Connection>>) {
        for pooled in connections {
            self.close_in_background(HolderId::NONE, pooled);
        }
    }

    /// A slot without a connection, if one is free.
    fn reserve(self: &Arc<Self>) -> Option<Lease<D>> {
        let mut state = self.lock();
        if state.is_closed || state.open >= self.config.max_connections {
            return None;
        }
        state.open += 1;
        let holder = state.register(None);
        Some(Lease::new(Arc::clone(self), holder, None))
    }

    /// Takes a slot back from its holder and gives it to the next who waits, or keeps it. Without a
    /// connection the slot is a right to open one.
    pub(super) fn take_back(self: &Arc<Self>, holder: HolderId, pooled: Option<Pooled<D::Connection>>) {
        let mut state = self.lock();
        state.release(holder);
        self.gauge(&state);
        match pooled {
            Some(pooled) if state.is_closed && stands(Guard::ClosedPool) => {
                drop(state);
                self.close_in_background(HolderId::NONE, pooled);
            }
            pooled => self.pass_on(state, pooled),
        }
    }

    fn pass_on(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State<D>>,
        mut pooled: Option<Pooled<D::Connection>>,
    ) {
        let quantum = pooled.as_ref().and_then(Pooled::line_within_quantum);
        while let Some((line, waiter)) = state.fairness.next(quantum.as_ref()) {
            if let Some(pooled) = &mut pooled {
                pooled.go_on_with(line);
            }
            let holder = state.register(Some(waiter.preparation));
            match waiter.sender.send(Lease::new(Arc::clone(self), holder, pooled)) {
                Ok(()) => return,
                // Gone in this very moment, before it could leave its line.
                Err(lease) => pooled = lease.into_slot().1,
            }
            state.release(holder);
        }
        if let Some(mut pooled) = pooled {
            pooled.idle_since = Instant::now();
            pooled.thread = Some(thread::current().id());
            state.idle.push(pooled);
        } else {
            state.open -= 1;
            drop(state);
            self.slot_freed.notify_waiters();
        }
    }

    /// Closes a connection and then passes its slot on, so that the server never has more of our
    /// connections than the pool has slots.
    pub(super) fn close_in_background(self: &Arc<Self>, holder: HolderId, pooled: Pooled<D::Connection>) {
        let slot = SlotGuard { shared: Arc::clone(self), holder };
        self.runtime.spawn(async move {
            slot.shared.driver.close(pooled.connection).await;
            drop(slot);
        });
    }

    /// Permits somebody to hold a slot until the rest of an answer was read, if not too many do.
    pub(super) fn permit_to_drain(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.drains).try_acquire_owned().ok()
    }

    /// Has every idle connection checked before its next use.
    pub(super) fn doubt_idle(&self) {
        for pooled in &mut self.lock().idle {
            pooled.is_confirmed = false;
        }
    }

    fn gauge(&self, state: &State<D>) {
        self.counters.gauge(count(state.holders.len()), count(state.fairness.waiting()));
    }

    fn closed_error(&self) -> Error {
        Error::new(ErrorKind::PoolClosed, format!("the pool of database `{}` is closed", self.alias))
    }

    fn busy_error(&self, preparation: &Preparation) -> Error {
        let message = format!(
            "{} checkouts wait for a connection to database `{}` already, so {} was turned away",
            self.config.max_waiting,
            self.alias,
            holder_name(preparation),
        );
        with_tenant_of(preparation, Error::new(ErrorKind::PoolBusy, message))
    }

    fn timeout_error(&self, preparation: &Preparation, limit: Duration) -> Error {
        let state = self.lock();
        let message = format!(
            "no connection to database `{}` became free for {} within {limit:?}: {} of {} are in use, {} wait; \
             one tenant may hold {}{}",
            self.alias,
            holder_name(preparation),
            state.open - count(state.idle.len()),
            self.config.max_connections,
            state.fairness.waiting(),
            self.config.cap_per_tenant(),
            state.longest_holder().map(|who| format!("; {who}")).unwrap_or_default(),
        );
        with_tenant_of(preparation, Error::new(ErrorKind::PoolTimeout, message))
    }

    fn still_held_error(&self) -> Error {
        let state = self.lock();
        let message = format!(
            "{} connections to database `{}` did not come back in time{}",
            state.open,
            self.alias,
            state.longest_holder().map(|who| format!("; {who}")).unwrap_or_default(),
        );
        Error::new(ErrorKind::PoolTimeout, message)
    }
}

impl<D: Driver> State<D> {
    fn register(&mut self, preparation: Option<Arc<Preparation>>) -> HolderId {
        self.last_holder += 1;
        let id = HolderId(self.last_holder);
        self.holders.insert(id, Holder { preparation, since: Instant::now() });
        id
    }

    /// The idle connection that serves the checkout best.
    fn take_idle(&mut self, preparation: &Preparation) -> Option<Pooled<D::Connection>> {
        let here = thread::current().id();
        let candidates = self.idle.iter().map(|pooled| Candidate {
            line: pooled.line(),
            is_warm: pooled.is_warm_for(preparation),
            is_near: pooled.thread == Some(here),
        });
        let position = self.affinity.choose(candidates)?;
        Some(self.idle.remove(position))
    }

    fn release(&mut self, id: HolderId) {
        if let Some(Holder { preparation: Some(preparation), .. }) = self.holders.remove(&id) {
            self.fairness.end(&line_of(&preparation));
        }
    }

    /// Connections that served this tenant before its schema was dropped, renamed or moved.
    fn remove_outdated(&mut self, preparation: &Preparation) -> Vec<Pooled<D::Connection>> {
        if !stands(Guard::Epoch) {
            return Vec::new();
        }
        self.idle
            .extract_if(.., |pooled| {
                pooled.session.as_ref().is_some_and(|session| session.is_outdated_by(preparation))
            })
            .collect()
    }

    fn longest_holder(&self) -> Option<String> {
        let holder = self.holders.values().min_by_key(|holder| holder.since)?;
        let name = holder.preparation.as_deref().map_or_else(|| "the pool itself".to_owned(), holder_name);
        Some(format!("{name} has held one for {:.1?}", holder.since.elapsed()))
    }
}

pub(super) fn line_of(preparation: &Preparation) -> LineName {
    preparation.tenant().map(Tenant::id)
}

/// How often per turn a tenant's line is served: the number `pool_weight` in its settings.
fn weight_of(preparation: &Preparation) -> u32 {
    let weight = preparation.tenant().and_then(|tenant| tenant.settings().get("pool_weight")?.as_u64());
    u32::try_from(weight.unwrap_or(1)).map_or(MAX_WEIGHT, |weight| weight.clamp(1, MAX_WEIGHT))
}

fn holder_name(preparation: &Preparation) -> String {
    match preparation.tenant() {
        Some(tenant) => format!("tenant `{}`", tenant.slug()),
        None => "the master schema".to_owned(),
    }
}

fn with_tenant_of(preparation: &Preparation, error: Error) -> Error {
    match preparation.tenant() {
        Some(tenant) => error.with_tenant(tenant.slug()),
        None => error,
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Frees a slot when the task that closes its connection is done, or is dropped with its runtime.
struct SlotGuard<D: Driver> {
    shared: Arc<Shared<D>>,
    holder: HolderId,
}

impl<D: Driver> Drop for SlotGuard<D> {
    fn drop(&mut self) {
        self.shared.take_back(self.holder, None);
    }
}
