use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::judge::ReplicaState;
use crate::error::{Error, ErrorKind};
use crate::pool::opener::Opener;
use crate::pool::shared::Pool;
use crate::pool::slots::PoolStatus;
use crate::pool::wal_position::WalPosition;

/// The longest that a replica stays left whose connections fail although it answers when it is looked at.
const LONGEST_LEAVE: Duration = Duration::from_secs(30);

/// A moment in the life of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaStatus {
    /// Its address, without any secret.
    pub address: String,
    /// Its state, as of the last look at it.
    pub state: ReplicaState,
    /// The time by which it was behind then, where that is known.
    pub lag: Option<Duration>,
    /// Its pool.
    pub pool: PoolStatus,
}

/// One replica: its pool, and what is known of it.
pub(super) struct Replica {
    /// From 1, as its place in the configuration.
    number: usize,
    address: String,
    pub(super) pool: Pool,
    pub(super) opener: Opener,
    interval: Duration,
    known: watch::Sender<ReplicaView>,
    /// The readers who wait until it has replayed something.
    waiting: AtomicU32,
    poke: Notify,
    leaves: Mutex<Leaves>,
}

/// The result of a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReplicaView {
    pub(super) state: ReplicaState,
    pub(super) replayed: WalPosition,
    pub(super) lag: Option<Duration>,
}

impl ReplicaView {
    fn has(&self, position: WalPosition) -> bool {
        self.state == ReplicaState::Usable && self.replayed >= position
    }
}

/// The times that readers found it away, which looks did not.
#[derive(Clone, Copy, Debug, Default)]
struct Leaves {
    until: Option<Instant>,
    last: Duration,
}

impl Leaves {
    /// Left again soon after it was found, it stays left for twice as long.
    fn add(&mut self, now: Instant, shortest: Duration) {
        let is_again = self.until.is_some_and(|until| now < until + 2 * self.last);
        self.last = if is_again { (self.last * 2).min(LONGEST_LEAVE) } else { shortest };
        self.until = Some(now + self.last);
    }

    fn goes_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

impl Replica {
    pub(super) fn new(
        number: usize,
        address: String,
        pool: Pool,
        opener: Opener,
        interval: Duration,
    ) -> Self {
        Self {
            number,
            address,
            pool,
            opener,
            interval,
            known: watch::Sender::new(ReplicaView::default()),
            waiting: AtomicU32::new(0),
            poke: Notify::new(),
            leaves: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> ReplicaState {
        self.known.borrow().state
    }

    pub(super) fn is_usable(&self) -> bool {
        self.state() == ReplicaState::Usable
    }

    /// Returns true if it can be read and has replayed up to here, as far as is known.
    pub(super) fn has(&self, position: WalPosition) -> bool {
        self.known.borrow().has(position)
    }

    /// The connections that its pool could give at once, or less than nothing where somebody waits.
    pub(super) fn room(&self) -> i64 {
        let PoolStatus { open, idle, waiting, max, .. } = self.pool.status();
        i64::from(max - open + idle) - i64::from(waiting)
    }

    pub(super) fn status(&self) -> ReplicaStatus {
        let ReplicaView { state, lag, .. } = *self.known.borrow();
        ReplicaStatus { address: self.address.clone(), state, lag, pool: self.pool.status() }
    }

    /// Waits until somebody has looked.
    pub(super) async fn looked_at(&self) {
        let mut known = self.known.subscribe();
        let _ = known.wait_for(|known| known.state != ReplicaState::Unknown).await;
    }

    /// Waits until it has replayed up to here, if it can be read until then.
    pub(super) async fn reaches(&self, position: WalPosition, limit: Duration) -> bool {
        let _waiting = WaitingReader::for_replay(self);
        let mut known = self.known.subscribe();
        let over = known.wait_for(|it| it.has(position) || it.state != ReplicaState::Usable);
        tokio::time::timeout(limit, over).await.is_ok_and(|it| it.is_ok_and(|it| it.has(position)))
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Waits for so long, or until there is a reason to look at once.
    pub(super) async fn poked_within(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.poke.notified()).await;
    }

    /// Waits until it is not to be read any more, whatever is under way.
    pub(super) async fn gone(&self) -> Error {
        let mut known = self.known.subscribe();
        let _ = known.wait_for(|known| known.state.is_gone()).await;
        Error::new(ErrorKind::DatabaseUnavailable, format!("the replica at {} was left", self.address))
    }

    /// Has it looked at at once.
    pub(super) fn doubt(&self) {
        self.poke.notify_one();
    }

    /// Leaves it, because a checkout failed for its sake.
    pub(super) fn leave(&self, error: &Error) {
        let is_left = self.known.send_if_modified(|known| {
            let was_read = matches!(known.state, ReplicaState::Usable | ReplicaState::Unknown);
            if was_read {
                known.state = ReplicaState::Away;
            }
            was_read
        });
        if is_left {
            self.leaves().add(Instant::now(), self.interval);
            self.pool.leave_server();
            tracing::warn!(database = %self.pool.alias(), replica = self.number, "Left a replica: {error:#}");
            self.doubt();
        }
    }

    /// Takes over what a look has found.
    pub(super) fn settle(&self, mut found: ReplicaView) {
        if found.state == ReplicaState::Usable && self.leaves().goes_on(Instant::now()) {
            found.state = ReplicaState::Away;
        }
        let before = self.known.send_replace(found);
        if before.state == found.state {
            return;
        }
        let (database, replica) = (self.pool.alias(), self.number);
        match found.state {
            ReplicaState::Usable => tracing::info!(%database, replica, "A replica is read"),
            state => {
                tracing::warn!(%database, replica, ?state, lag = ?found.lag, "A replica is not read");
            }
        }
        // Those of a server that does not answer may never be heard of again.
        if found.state.is_gone() {
            self.pool.leave_server();
        }
    }

    fn leaves(&self) -> std::sync::MutexGuard<'_, Leaves> {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A reader who waits.
struct WaitingReader<'a>(&'a AtomicU32);

impl<'a> WaitingReader<'a> {
    fn for_replay(replica: &'a Replica) -> Self {
        replica.waiting.fetch_add(1, Ordering::Relaxed);
        replica.doubt();
        Self(&replica.waiting)
    }
}

impl Drop for WaitingReader<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_is_left_again_and_again_is_left_for_longer() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut leaves = Leaves::default();
        assert!(!leaves.goes_on(begin));
        let mut now = begin;
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            leaves.add(now, second);
            let almost = (seconds * second).saturating_sub(Duration::from_millis(1));
            assert!(leaves.goes_on(now + almost), "{seconds}");
            now += seconds * second;
            assert!(!leaves.goes_on(now), "{seconds}");
        }
        // After a while it is as if nothing had been.
        now += 61 * second;
        leaves.add(now, second);
        assert!(!leaves.goes_on(now + second));
    }

    #[test]
    fn a_position_counts_while_the_replica_can_be_read() {
        let [early, late] = ["0/1", "0/2"].map(|text| WalPosition::parse(text).expect("a position"));
        let known = ReplicaView { state: ReplicaState::Usable, replayed: early, lag: None };
        assert!(known.has(early) && !known.has(late));
        assert!(!ReplicaView { state: ReplicaState::Promoted, ..known }.has(early));
    }
}
