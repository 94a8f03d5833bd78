//! Counts of what a pool has done so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::metric::Metric;
use super::{facade, metric};
use crate::tenant::Alias;

/// The way in which a checkout got its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Without a round trip.
    Warm,
    /// With one, that pointed the connection at this tenant or checked it.
    Switched,
    /// By opening one.
    Opened,
}

/// Counts since the pool was made. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolCounts {
    /// Checkouts that were given a connection as it was.
    pub warm: u64,
    /// Checkouts whose connection was switched or checked first.
    pub switched: u64,
    /// Checkouts for which a connection was opened.
    pub opened: u64,
    /// Checkouts that had to wait for a connection.
    pub waited: u64,
    /// Connections that came back touched and were cleaned.
    pub cleaned: u64,
    /// Connections that came back in the middle of a statement, the rest of whose answer was read.
    /// They are cleaned as well.
    pub drained: u64,
    /// Connections that came back in a transaction that was dropped, which was rolled back.
    pub rolled_back: u64,
    /// Connections that were closed because their state was in doubt.
    pub doubtful: u64,
    /// Connections that were closed for their age, or for the tenants they had served.
    pub recycled: u64,
}

/// Counts for one pool. With the feature `metrics` every count also goes to the `metrics` facade,
/// labelled with the database and the driver, never with a tenant: there may be thousands.
pub(super) struct Counters {
    database: Alias,
    driver: String,
    warm: AtomicU64,
    switched: AtomicU64,
    opened: AtomicU64,
    waited: AtomicU64,
    cleaned: AtomicU64,
    drained: AtomicU64,
    rolled_back: AtomicU64,
    doubtful: AtomicU64,
    recycled: AtomicU64,
}

impl Counters {
    pub(super) fn new(database: Alias, driver: String) -> Self {
        facade::describe();
        let zero = || AtomicU64::new(0);
        Self {
            database,
            driver,
            warm: zero(),
            switched: zero(),
            opened: zero(),
            waited: zero(),
            cleaned: zero(),
            drained: zero(),
            rolled_back: zero(),
            doubtful: zero(),
            recycled: zero(),
        }
    }

    pub(super) fn checked_out(&self, source: Source) {
        let (counter, name) = match source {
            Source::Warm => (&self.warm, "warm"),
            Source::Switched => (&self.switched, "switch"),
            Source::Opened => (&self.opened, "open"),
        };
        self.count(counter, metric::CHECKOUTS, Some(("source", name)));
    }

    pub(super) fn waited(&self) {
        self.count(&self.waited, metric::CHECKOUT_WAITS, None);
    }

    /// Counts the wait of a checkout that was given a connection.
    pub(super) fn waited_for(&self, waited: Duration) {
        facade::record(metric::CHECKOUT_WAIT, &self.database, &self.driver, waited);
    }

    pub(super) fn cleaned(&self) {
        self.count(&self.cleaned, metric::CLEANED, None);
    }

    pub(super) fn drained(&self) {
        self.count(&self.drained, metric::DRAINED, None);
    }

    pub(super) fn rolled_back(&self) {
        self.count(&self.rolled_back, metric::ROLLED_BACK, None);
    }

    pub(super) fn doubtful(&self) {
        self.count(&self.doubtful, metric::CLOSED, Some(("reason", "doubtful")));
    }

    pub(super) fn recycled(&self) {
        self.count(&self.recycled, metric::CLOSED, Some(("reason", "recycled")));
    }

    /// Notes how many connections are held and how many checkouts wait.
    pub(super) fn gauge(&self, held: u32, waiting: u32) {
        facade::set(metric::HELD, &self.database, &self.driver, held);
        facade::set(metric::WAITING, &self.database, &self.driver, waiting);
    }

    /// Adds one to a counter of this pool and to the metric of the same meaning.
    fn count(&self, counter: &AtomicU64, metric: Metric, label: Option<(&'static str, &'static str)>) {
        counter.fetch_add(1, Ordering::Relaxed);
        facade::count(metric, &self.database, &self.driver, label);
    }

    pub(super) fn read(&self) -> PoolCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolCounts {
            warm: get(&self.warm),
            switched: get(&self.switched),
            opened: get(&self.opened),
            waited: get(&self.waited),
            cleaned: get(&self.cleaned),
            drained: get(&self.drained),
            rolled_back: get(&self.rolled_back),
            doubtful: get(&self.doubtful),
            recycled: get(&self.recycled),
        }
    }
}
