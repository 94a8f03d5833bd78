//! Counts of what a pool has done so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
    /// Connections that were closed because their state was in doubt.
    pub doubtful: u64,
    /// Connections that were closed for their age, or for the tenants they had served.
    pub recycled: u64,
}

/// Counts for one pool. With the feature `metrics` every count also goes to the `metrics` facade,
/// labelled with the database and the driver, never with a tenant: there may be thousands.
pub(super) struct Counters {
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    database: Alias,
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    driver: &'static str,
    warm: AtomicU64,
    switched: AtomicU64,
    opened: AtomicU64,
    waited: AtomicU64,
    cleaned: AtomicU64,
    drained: AtomicU64,
    doubtful: AtomicU64,
    recycled: AtomicU64,
}

/// Adds one to a counter of this pool and to the metric of the same meaning.
macro_rules! count {
    ($counters:expr, $field:ident, $metric:literal $(, $label:literal => $value:literal)?) => {{
        $counters.$field.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        metrics::counter!(
            $metric,
            "database" => $counters.database.to_string(),
            "driver" => $counters.driver
            $(, $label => $value)?
        )
        .increment(1);
    }};
}

impl Counters {
    pub(super) fn new(database: Alias, driver: &'static str) -> Self {
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
            doubtful: zero(),
            recycled: zero(),
        }
    }

    pub(super) fn checked_out(&self, source: Source) {
        match source {
            Source::Warm => count!(self, warm, "tenantry_checkouts_total", "source" => "warm"),
            Source::Switched => count!(self, switched, "tenantry_checkouts_total", "source" => "switch"),
            Source::Opened => count!(self, opened, "tenantry_checkouts_total", "source" => "open"),
        }
    }

    pub(super) fn waited(&self) {
        count!(self, waited, "tenantry_checkout_waits_total");
    }

    /// Counts the wait of a checkout that was given a connection.
    #[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self))]
    pub(super) fn waited_for(&self, waited: Duration) {
        #[cfg(feature = "metrics")]
        metrics::histogram!(
            "tenantry_checkout_wait_seconds",
            "database" => self.database.to_string(),
            "driver" => self.driver
        )
        .record(waited.as_secs_f64());
    }

    pub(super) fn cleaned(&self) {
        count!(self, cleaned, "tenantry_cleaned_total");
    }

    pub(super) fn drained(&self) {
        count!(self, drained, "tenantry_drained_total");
    }

    pub(super) fn doubtful(&self) {
        count!(self, doubtful, "tenantry_closed_total", "reason" => "doubtful");
    }

    pub(super) fn recycled(&self) {
        count!(self, recycled, "tenantry_closed_total", "reason" => "recycled");
    }

    /// Notes how many connections are held and how many checkouts wait.
    #[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self))]
    pub(super) fn gauge(&self, held: u32, waiting: u32) {
        #[cfg(feature = "metrics")]
        {
            let (database, driver) = (self.database.to_string(), self.driver);
            metrics::gauge!("tenantry_held", "database" => database.clone(), "driver" => driver).set(held);
            metrics::gauge!("tenantry_waiting", "database" => database, "driver" => driver).set(waiting);
        }
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
            doubtful: get(&self.doubtful),
            recycled: get(&self.recycled),
        }
    }
}
