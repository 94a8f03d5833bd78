//! The metrics of a pool: what each is called, and what it means.
// Without the feature nobody reads them.
#![cfg_attr(not(feature = "metrics"), allow(dead_code, unreachable_pub))]

/// Something that pools count or measure, which the `metrics` facade hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    name: &'static str,
    kind: MetricKind,
    help: &'static str,
}

/// The way in which a metric changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Each value counts, in seconds.
    Histogram,
}

impl Metric {
    /// The name, as in `tenantry_held`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The way in which it changes.
    pub fn kind(&self) -> MetricKind {
        self.kind
    }

    /// The meaning, in a sentence.
    pub fn help(&self) -> &'static str {
        self.help
    }
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal, $help:literal;)*) => {
        $(pub(super) const $constant: Metric = Metric { name: $name, kind: MetricKind::$kind, help: $help };)*

        /// All metrics that pools emit, with the feature `metrics`: for a dashboard, or for a test of one.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    CHECKOUTS: Counter "tenantry_checkouts_total",
        "Checkouts that were given a connection, by its source: warm, switch or open.";
    CHECKOUT_WAITS: Counter "tenantry_checkout_waits_total",
        "Checkouts that had to wait for a connection.";
    CHECKOUT_WAIT: Histogram "tenantry_checkout_wait_seconds",
        "The time for which a checkout waited in line for its connection.";
    HELD: Gauge "tenantry_held",
        "Connections that are in use.";
    WAITING: Gauge "tenantry_waiting",
        "Checkouts that wait for a connection.";
    CLEANED: Counter "tenantry_cleaned_total",
        "Connections that came back with something in their session and were cleaned.";
    DRAINED: Counter "tenantry_drained_total",
        "Connections that came back in the middle of a statement, whose answer was read to its end.";
    ROLLED_BACK: Counter "tenantry_rolled_back_total",
        "Connections that came back in a transaction that was dropped, which was rolled back.";
    CLOSED: Counter "tenantry_closed_total",
        "Connections that were closed, by the reason: doubtful or recycled.";
}
