//! The `metrics` facade, which hears of what a pool counts where the feature is on.

#[cfg(not(feature = "metrics"))]
pub(super) use self::off::{count, record, set};
#[cfg(feature = "metrics")]
pub(super) use self::on::{count, record, set};

#[cfg(feature = "metrics")]
mod on {
    use std::time::Duration;

    use metrics::Label;

    use crate::tenant::Alias;

    fn labels(database: &Alias, driver: &str) -> Vec<Label> {
        vec![Label::new("database", database.to_string()), Label::new("driver", driver.to_owned())]
    }

    /// Adds one to a counter.
    pub(in crate::pool) fn count(
        metric: &'static str,
        database: &Alias,
        driver: &str,
        label: Option<(&'static str, &'static str)>,
    ) {
        let mut labels = labels(database, driver);
        labels.extend(label.map(|(name, value)| Label::new(name, value)));
        metrics::counter!(metric, labels).increment(1);
    }

    /// Adds a time to a histogram, in seconds.
    pub(in crate::pool) fn record(metric: &'static str, database: &Alias, driver: &str, time: Duration) {
        metrics::histogram!(metric, labels(database, driver)).record(time.as_secs_f64());
    }

    /// Sets a gauge.
    pub(in crate::pool) fn set(metric: &'static str, database: &Alias, driver: &str, value: u32) {
        metrics::gauge!(metric, labels(database, driver)).set(value);
    }
}

/// The same without the feature: nothing hears of it.
#[cfg(not(feature = "metrics"))]
mod off {
    use std::time::Duration;

    use crate::tenant::Alias;

    pub(in crate::pool) fn count(_: &str, _: &Alias, _: &str, _: Option<(&str, &str)>) {}

    pub(in crate::pool) fn record(_: &str, _: &Alias, _: &str, _: Duration) {}

    pub(in crate::pool) fn set(_: &str, _: &Alias, _: &str, _: u32) {}
}
