//! The slots of a pool: which connections are idle, who holds one, who waits for one.
//!
//! A slot is the right to one connection, and there are `max_connections` of them. One in use belongs to
//! an idle connection or to a [`Slot`], which gives it back when it is dropped, whatever happened.

mod refusals;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt as _};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::affinity::{Affinity, Candidate};
use super::await_point::{AwaitPoint, at};
use super::counters::{Counters, PoolCounts};
use super::driver::Driver;
use super::fairness::{Fairness, Ticket};
use super::pooled::Pooled;
use super::preparation::{LineName, Preparation};
use super::session::Warmth;
use super::sync::{Background, Mutex, MutexGuard, within};
use crate::database::PoolConfig;
use crate::error::Result;
use crate::guard::{Guard, stands};
use crate::tenant::Alias;

/// The longest that a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// A tenant's weight is no licence to starve the others.
const MAX_WEIGHT: u32 = 100;

pub(super) struct Slots<D: Driver> {
    pub(super) driver: D,
    pub(super) config: PoolConfig,
    pub(super) counters: Counters,
    /// The runtime that connections belong to, and on which they are cleaned and closed; a slot is dropped anywhere.
    pub(super) runtime: Background,
    pub(super) alias: Alias,
    state: Mutex<State<D>>,
    /// Grows when connections turn out to lead to a server that has to be left.
    generation: AtomicU64,
    /// One for every second slot, so that a storm of cancellations cannot hold them all.
    drains: Arc<Semaphore>,
    slot_freed: Notify,
}

struct State<D: Driver> {
    /// From the longest idle to the latest.
    idle: Vec<Pooled<D::Connection>>,
    affinity: Affinity<LineName>,
    fairness: Fairness<LineName, Waiter<D>>,
    /// By an idle connection, or by one that is opened, on loan, being cleaned or being closed.
    slots_in_use: u32,
    /// The slots among them whose connection is being opened.
    opening: u32,
    holders: HashMap<HolderId, Holder>,
    last_holder: u64,
    is_closed: bool,
}

struct Waiter<D: Driver> {
    sender: oneshot::Sender<Slot<D>>,
    preparation: Arc<Preparation>,
}

/// A holder of a slot, so that a slot is given back once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct HolderId(u64);

impl HolderId {
    /// Nobody: a connection that was idle is closed.
    const NOBODY: Self = Self(0);
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
    /// The idle ones among them, which nobody holds.
    pub idle: u32,
    /// The ones among them that are being opened.
    pub opening: u32,
    /// Checkouts that wait for a connection.
    pub waiting: u32,
    /// The most that may be open.
    pub max: u32,
    /// Counts of what the pool has done so far.
    pub counts: PoolCounts,
}

/// One slot in somebody's hands, with or without a connection. Dropped, it goes to the next who waits, or
/// its connection to the idle ones. Without a connection it is a right to open one.
pub(super) struct Slot<D: Driver> {
    pub(super) slots: Arc<Slots<D>>,
    /// `None` when somebody else has taken the slot over.
    holder: Option<HolderId>,
    pub(super) pooled: Option<Pooled<D::Connection>>,
}

/// The answer to a request for a slot.
pub(super) enum Request<D: Driver> {
    Granted(Slot<D>),
    Queued(Place<D>),
}

/// A place in a line. Dropping it leaves the line; a slot that was already on its way is given
/// back by its own drop.
pub(super) struct Place<D: Driver> {
    slots: Arc<Slots<D>>,
    line: LineName,
    ticket: Ticket,
    receiver: oneshot::Receiver<Slot<D>>,
}

impl<D: Driver> Drop for Place<D> {
    fn drop(&mut self) {
        // What is taken out of the line is dropped after the lock is.
        let _left = self.slots.lock().fairness.leave(&self.line, self.ticket);
    }
}

impl<D: Driver> Request<D> {
    /// Waits for the slot, if it was not granted at once.
    pub(super) async fn slot(self) -> Result<Slot<D>> {
        match self {
            Self::Granted(slot) => Ok(slot),
            Self::Queued(mut place) => {
                let since = Instant::now();
                let slot = at(AwaitPoint::Wait, &mut place.receiver).await;
                let slot = slot.map_err(|_| place.slots.closed_error())?;
                place.slots.counters.waited_for(since.elapsed());
                Ok(slot)
            }
        }
    }
}

impl<D: Driver> Slot<D> {
    fn new(slots: &Arc<Slots<D>>, holder: HolderId, pooled: Option<Pooled<D::Connection>>) -> Self {
        Self { slots: Arc::clone(slots), holder: Some(holder), pooled }
    }

    /// Opens a connection for a slot that has none. Dropped half-way, the slot stays without one.
    pub(super) async fn open(&mut self) -> Result<()> {
        let opening = BeingOpened::begin(&self.slots);
        let generation = self.slots.generation();
        let open = within(&self.slots.runtime, self.slots.driver.open());
        let connection = at(AwaitPoint::Open, open).await?;
        drop(opening);
        self.pooled = Some(Pooled::new(connection, generation));
        Ok(())
    }

    /// The time since it got into these hands.
    pub(super) fn held_for(&self) -> Duration {
        let since = self.holder.and_then(|id| Some(self.slots.lock().holders.get(&id)?.since));
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Judges how warm its connection is for this checkout.
    pub(super) fn warmth_for(&self, preparation: &Preparation) -> Warmth {
        let Some(pooled) = &self.pooled else { return Warmth::Cold };
        let is_lost = self.slots.driver.is_lost(&pooled.connection);
        let warmth = pooled.session.warmth_for(preparation);
        warmth.after(pooled.idle_since.elapsed(), is_lost, &self.slots.config)
    }

    /// Moves the slot to a new owner. What stays behind gives nothing back.
    pub(super) fn take(&mut self) -> Self {
        Self { slots: Arc::clone(&self.slots), holder: self.holder.take(), pooled: self.pooled.take() }
    }

    /// Closes the connection and then gives the slot back, so that the server never has more of our
    /// connections than the pool has slots.
    pub(super) fn close_in_background(mut self) {
        let Some(pooled) = self.pooled.take() else { return };
        let slots = Arc::clone(&self.slots);
        let slot = self;
        slots.runtime.spawn(async move {
            // A server that fell silent takes no farewell either.
            let _ = tokio::time::timeout(FAREWELL, slot.slots.driver.close(pooled.connection)).await;
            drop(slot);
        });
    }
}

/// A connection that is being opened, for whoever asks what the pool is doing.
struct BeingOpened<'a, D: Driver>(&'a Slots<D>);

impl<'a, D: Driver> BeingOpened<'a, D> {
    fn begin(slots: &'a Slots<D>) -> Self {
        slots.lock().opening += 1;
        Self(slots)
    }
}

impl<D: Driver> Drop for BeingOpened<'_, D> {
    fn drop(&mut self) {
        self.0.lock().opening -= 1;
    }
}

impl<D: Driver> Drop for Slot<D> {
    fn drop(&mut self) {
        if let Some(holder) = self.holder.take() {
            self.slots.take_back(holder, self.pooled.take());
        }
    }
}

impl<D: Driver> Slots<D> {
    pub(super) fn new(alias: Alias, driver: D, config: PoolConfig, runtime: Background) -> Self {
        let drains = if config.drain_timeout.is_zero() { 0 } else { config.max_connections.div_ceil(2) };
        let state = State {
            idle: Vec::new(),
            affinity: Affinity::new(config.max_connections),
            fairness: Fairness::new(config.cap_per_tenant()),
            slots_in_use: 0,
            opening: 0,
            holders: HashMap::new(),
            last_holder: 0,
            is_closed: false,
        };
        Self {
            counters: Counters::new(alias.clone(), driver.name()),
            driver,
            config,
            runtime,
            alias,
            state: Mutex::new(state),
            generation: AtomicU64::new(0),
            drains: Arc::new(Semaphore::new(drains as usize)),
            slot_freed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<D>> {
        // The state is consistent between any two statements under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> PoolStatus {
        let state = self.lock();
        PoolStatus {
            open: state.slots_in_use,
            idle: count(state.idle.len()),
            opening: state.opening,
            waiting: count(state.fairness.waiting()),
            max: self.config.max_connections,
            counts: self.counters.read(),
        }
    }

    pub(super) fn request(self: &Arc<Self>, preparation: &Arc<Preparation>) -> Result<Request<D>> {
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
        let line = preparation.line();
        state.affinity.note(line);
        if !state.fairness.may_pass(&line) {
            return self.queue(state, preparation);
        }
        let mut pooled = state.take_idle(preparation);
        if let Some(pooled) = &mut pooled {
            pooled.begin_streak(line);
        } else if state.slots_in_use < self.config.max_connections {
            state.slots_in_use += 1;
        } else {
            return self.queue(state, preparation);
        }
        state.fairness.begin(line);
        let holder = state.register(Some(Arc::clone(preparation)));
        self.gauge(state);
        Ok(Request::Granted(Slot::new(self, holder, pooled)))
    }

    fn queue(self: &Arc<Self>, state: &mut State<D>, preparation: &Arc<Preparation>) -> Result<Request<D>> {
        if state.fairness.waiting() >= self.config.max_waiting as usize {
            return Err(self.busy_error(preparation));
        }
        let (sender, receiver) = oneshot::channel();
        self.counters.waited();
        let (line, weight) = (preparation.line(), weight_of(preparation));
        let waiter = Waiter { sender, preparation: Arc::clone(preparation) };
        let ticket = state.fairness.join(line, weight, waiter);
        self.gauge(state);
        Ok(Request::Queued(Place { slots: Arc::clone(self), line, ticket, receiver }))
    }

    /// A slot without a connection, if one is free.
    pub(super) fn reserve(self: &Arc<Self>) -> Option<Slot<D>> {
        let mut state = self.lock();
        if state.is_closed || state.slots_in_use >= self.config.max_connections {
            return None;
        }
        state.slots_in_use += 1;
        let holder = state.register(None);
        Some(Slot::new(self, holder, None))
    }

    /// Takes a slot back from its holder and gives it to the next who waits, or keeps it.
    fn take_back(self: &Arc<Self>, holder: HolderId, pooled: Option<Pooled<D::Connection>>) {
        let mut state = self.lock();
        state.release(holder);
        self.gauge(&state);
        match pooled {
            Some(pooled) if state.is_closed && stands(Guard::ClosedPool) => {
                drop(state);
                self.close_all(vec![pooled]);
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
        let Some((line, waiter)) = state.fairness.next(quantum.as_ref()) else {
            return self.keep(state, pooled);
        };
        if let Some(pooled) = &mut pooled {
            pooled.go_on_with(line);
        }
        let holder = state.register(Some(waiter.preparation));
        let sent = waiter.sender.send(Slot::new(self, holder, pooled));
        drop(state);
        // Not under the lock: somebody who has gone in this very moment gives it back.
        drop(sent);
    }

    fn keep(&self, mut state: MutexGuard<'_, State<D>>, pooled: Option<Pooled<D::Connection>>) {
        if let Some(mut pooled) = pooled {
            pooled.idle_since = Instant::now();
            pooled.thread = Some(thread::current().id());
            state.idle.push(pooled);
        } else {
            state.slots_in_use -= 1;
            drop(state);
            self.slot_freed.notify_waiters();
        }
    }

    fn close_all(self: &Arc<Self>, connections: Vec<Pooled<D::Connection>>) {
        for pooled in connections {
            Slot::new(self, HolderId::NOBODY, Some(pooled)).close_in_background();
        }
    }

    /// Takes every idle connection. Each is idle again when its slot is dropped.
    #[cfg(feature = "testing")]
    pub(super) fn take_idle(self: &Arc<Self>) -> Vec<Slot<D>> {
        let idle = std::mem::take(&mut self.lock().idle);
        idle.into_iter().map(|pooled| Slot::new(self, HolderId::NOBODY, Some(pooled))).collect()
    }

    /// Permits somebody to hold a slot until the rest of an answer was read, if not too many do.
    pub(super) fn permit_to_drain(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.drains).try_acquire_owned().ok()
    }

    /// The longest that the server may take to answer to a switch. The other half of a checkout's time is for
    /// another connection.
    pub(super) fn answer_limit(&self) -> Duration {
        self.config.acquire_timeout / 2
    }

    /// Gives up every idle connection of which nobody has heard since this moment, when one like it fell silent.
    /// Each of them would take as long to find out about.
    pub(super) fn give_up_idle(self: &Arc<Self>, silent_since: Instant) {
        let is_silent = |pooled: &mut Pooled<D::Connection>| pooled.idle_since <= silent_since;
        let silent: Vec<_> = self.lock().idle.extract_if(.., is_silent).collect();
        for pooled in silent {
            self.counters.doubtful();
            drop(pooled);
            // Nobody's slot goes to whoever is next.
            drop(Slot::new(self, HolderId::NOBODY, None));
        }
    }

    /// Gives up every connection that leads to the server of today: at once if it is idle, else when it comes back.
    pub(super) fn leave_server(self: &Arc<Self>) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.driver.look_elsewhere();
        self.give_up_idle(Instant::now());
    }

    /// The number of the server that connections lead to which are opened now.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Has every idle connection checked before its next use.
    pub(super) fn doubt_idle(&self) {
        for pooled in &mut self.lock().idle {
            pooled.session.doubt();
        }
    }

    /// Refuses new checkouts, closes what is idle and waits until everything else came back.
    ///
    /// # Errors
    /// [`ErrorKind::PoolTimeout`](crate::ErrorKind::PoolTimeout) naming the longest holder, if the deadline
    /// passes first.
    pub(super) async fn close(self: &Arc<Self>, limit: Duration) -> Result<()> {
        let (idle, waiters) = {
            let mut state = self.lock();
            state.is_closed = true;
            (std::mem::take(&mut state.idle), state.fairness.clear())
        };
        drop(waiters);
        self.close_all(idle);
        tokio::time::timeout(limit, self.all_slots_freed()).await.map_err(|_| self.still_held_error())
    }

    async fn all_slots_freed(&self) {
        loop {
            // Before the look: it hears of every slot that is freed from here on.
            let freed = self.slot_freed.notified();
            if self.lock().slots_in_use == 0 {
                return;
            }
            freed.await;
        }
    }

    /// Counts the connections that are in use for a tenant, for a reason that counts.
    pub(super) fn held_by(&self, line: &LineName, counts: impl Fn(&Preparation) -> bool) -> usize {
        let state = self.lock();
        let preparations = state.holders.values().filter_map(|holder| holder.preparation.as_deref());
        preparations.filter(|preparation| preparation.line() == *line && counts(preparation)).count()
    }

    fn gauge(&self, state: &State<D>) {
        self.counters.gauge(count(state.holders.len()), count(state.fairness.waiting()));
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
            line: pooled.session.line(),
            is_warm: pooled.session.warmth_for(preparation) == Warmth::Warm,
            is_near: pooled.thread == Some(here),
        });
        let position = self.affinity.choose(candidates)?;
        Some(self.idle.remove(position))
    }

    fn release(&mut self, id: HolderId) {
        if let Some(Holder { preparation: Some(preparation), .. }) = self.holders.remove(&id) {
            self.fairness.end(&preparation.line());
        }
    }

    /// Connections that served this tenant before its schema was dropped, renamed or moved.
    fn remove_outdated(&mut self, preparation: &Preparation) -> Vec<Pooled<D::Connection>> {
        if !stands(Guard::Epoch) {
            return Vec::new();
        }
        self.idle.extract_if(.., |pooled| pooled.session.is_outdated_by(preparation)).collect()
    }
}

/// The number of times per turn that a tenant's line is served: `pool_weight` in its settings.
fn weight_of(preparation: &Preparation) -> u32 {
    let weight = preparation.tenant().and_then(|tenant| tenant.settings().get("pool_weight")?.as_u64());
    u32::try_from(weight.unwrap_or(1)).map_or(MAX_WEIGHT, |weight| weight.clamp(1, MAX_WEIGHT))
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
