//! The `metrics` facade, which hears of what a pool counts where the feature is on.

#[cfg(not(feature = "metrics"))]
pub(super) use self::off::{count, describe, record, set};
#[cfg(feature = "metrics")]
pub(super) use self::on::{count, describe, record, set};

#[cfg(feature = "metrics")]
mod on {
    use std::time::Duration;

    use metrics::{Label, Unit};

    use crate::pool::metric::{METRICS, Metric, MetricKind};
    use crate::tenant::Alias;

    fn labels(database: &Alias, driver: &str) -> Vec<Label> {
        vec![Label::new("database", database.to_string()), Label::new("driver", driver.to_owned())]
    }

    /// Tells what the metrics mean.
    pub(in crate::pool) fn describe() {
        for metric in METRICS {
            let (name, help) = (metric.name(), metric.help());
            match metric.kind() {
                MetricKind::Counter => metrics::describe_counter!(name, help),
                MetricKind::Gauge => metrics::describe_gauge!(name, help),
                MetricKind::Histogram => metrics::describe_histogram!(name, Unit::Seconds, help),
            }
        }
    }

    /// Adds one to a counter.
    pub(in crate::pool) fn count(
        metric: Metric,
        database: &Alias,
        driver: &str,
        label: Option<(&'static str, &'static str)>,
    ) {
        let mut labels = labels(database, driver);
        labels.extend(label.map(|(name, value)| Label::new(name, value)));
        metrics::counter!(metric.name(), labels).increment(1);
    }

    /// Adds a time to a histogram, in seconds.
    pub(in crate::pool) fn record(metric: Metric, database: &Alias, driver: &str, time: Duration) {
        metrics::histogram!(metric.name(), labels(database, driver)).record(time.as_secs_f64());
    }

    /// Sets a gauge.
    pub(in crate::pool) fn set(metric: Metric, database: &Alias, driver: &str, value: u32) {
        metrics::gauge!(metric.name(), labels(database, driver)).set(value);
    }
}

/// The same without the feature: nothing hears of it.
#[cfg(not(feature = "metrics"))]
mod off {
    use std::time::Duration;

    use crate::pool::metric::Metric;
    use crate::tenant::Alias;

    pub(in crate::pool) fn describe() {}

    pub(in crate::pool) fn count(_: Metric, _: &Alias, _: &str, _: Option<(&str, &str)>) {}

    pub(in crate::pool) fn record(_: Metric, _: &Alias, _: &str, _: Duration) {}

    pub(in crate::pool) fn set(_: Metric, _: &Alias, _: &str, _: u32) {}
}
