//! The metrics of a pool. A program of its own, because the facade's recorder is one per process.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use rustix::process::{Pid, Signal, kill_process};
use tenantry::pool::{METRICS, PoolStatus};
use tenantry::{DatabaseConfig, NewTenant, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::ScratchDatabase;

/// Values by metric, `name{label=value,…}`. Of a histogram, how often something was recorded.
#[derive(Clone, Default)]
struct Values(Arc<Mutex<BTreeMap<String, f64>>>);

impl Values {
    fn set(&self, metric: &str, value: impl FnOnce(f64) -> f64) {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = values.entry(metric.to_owned()).or_default();
        *entry = value(*entry);
    }

    fn take(&self) -> BTreeMap<String, f64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn read(&self, metric: &str) -> Option<f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(metric).copied()
    }

    fn metric(&self, key: &Key) -> Arc<Metric> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Metric { name: format!("{}{{{}}}", key.name(), labels.join(",")), values: self.clone() })
    }
}

struct Metric {
    name: String,
    values: Values,
}

impl CounterFn for Metric {
    fn increment(&self, by: u64) {
        self.values.set(&self.name, |value| value + f64::from(u32::try_from(by).unwrap()));
    }

    fn absolute(&self, _value: u64) {
        panic!("nothing sets {}", self.name);
    }
}

impl GaugeFn for Metric {
    fn increment(&self, by: f64) {
        self.values.set(&self.name, |value| value + by);
    }

    fn decrement(&self, by: f64) {
        self.values.set(&self.name, |value| value - by);
    }

    fn set(&self, value: f64) {
        self.values.set(&self.name, |_| value);
    }
}

impl HistogramFn for Metric {
    fn record(&self, seconds: f64) {
        assert!((0.0..60.0).contains(&seconds), "{seconds}");
        self.values.set(&self.name, |count| count + 1.0);
    }
}

impl Recorder for Values {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.metric(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.metric(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.metric(key))
    }
}

/// Four tenants on one connection, which is drained for as long as it takes and closed after three tenants.
async fn tenancy(database: &ScratchDatabase) -> (Tenancy, [TenantDb; 4]) {
    let pool = PoolConfig {
        max_connections: 1,
        max_tenants_per_connection: 3,
        drain_timeout: Duration::from_secs(10),
        ..PoolConfig::default()
    };
    let config = DatabaseConfig::from_url(database.url()).unwrap().pool(pool);
    let tenancy = Tenancy::builder().database(config).install(true).connect().await.unwrap();
    let mut tenants = Vec::new();
    for slug in ["acme", "globex", "initech", "hooli"] {
        let tenant = tenancy.create(NewTenant::new(slug)).await.unwrap();
        tenants.push(tenancy.db(&tenant).unwrap());
    }
    (tenancy, tenants.try_into().unwrap())
}

async fn select(db: &TenantDb) {
    let _: i32 = sqlx::query_scalar("SELECT 1").fetch_one(db).await.unwrap();
}

async fn until(tenancy: &Tenancy, is_so: impl Fn(PoolStatus) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let status = tenancy.status().pools.into_values().next().unwrap();
        if is_so(status) {
            return;
        }
        assert!(Instant::now() < deadline, "{status:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Drops a BEGIN under way. The server is stopped meanwhile, so that it cannot have answered.
async fn cut_off_a_begin(db: &TenantDb) {
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(db).await.unwrap();
    let backend = Pid::from_raw(backend).unwrap();
    kill_process(backend, Signal::STOP).unwrap();
    let is_cut_off = Box::pin(db.begin()).now_or_never().is_none();
    kill_process(backend, Signal::CONT).unwrap();
    assert!(is_cut_off, "nobody can have answered");
}

/// All that the pool emits in the test, and the values at its end.
const EXPECT: [(&str, f64); 12] = [
    ("tenantry_cleaned_total{database=default,driver=sqlx}", 2.0),
    ("tenantry_closed_total{database=default,driver=sqlx,reason=doubtful}", 1.0),
    ("tenantry_closed_total{database=default,driver=sqlx,reason=recycled}", 1.0),
    ("tenantry_drained_total{database=default,driver=sqlx}", 1.0),
    ("tenantry_held{database=default,driver=sqlx}", 0.0),
    ("tenantry_rolled_back_total{database=default,driver=sqlx}", 1.0),
    ("tenantry_checkouts_total{database=default,driver=sqlx,source=open}", 2.0),
    ("tenantry_checkouts_total{database=default,driver=sqlx,source=switch}", 3.0),
    ("tenantry_checkouts_total{database=default,driver=sqlx,source=warm}", 7.0),
    ("tenantry_checkout_wait_seconds{database=default,driver=sqlx}", 1.0),
    ("tenantry_waiting{database=default,driver=sqlx}", 0.0),
    ("tenantry_checkout_waits_total{database=default,driver=sqlx}", 1.0),
];

#[tokio::test]
async fn every_metric_has_its_labels_and_values() {
    let values = Values::default();
    metrics::set_global_recorder(values.clone()).unwrap();
    let database = ScratchDatabase::create().await.unwrap();
    let (tenancy, [acme, globex, initech, hooli]) = tenancy(&database).await;

    // What the handles ask of the registry is in memory, when the announcements of the making have arrived.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for slug in ["acme", "globex", "initech", "hooli"] {
        tenancy.tenant(slug).await.unwrap();
    }
    // Doubtful: a new connection for what follows.
    cut_off_a_begin(&acme).await;
    until(&tenancy, |status| status.open == 0).await;
    values.take();

    // Opened, warm, switched; then held, with somebody who waits.
    select(&acme).await;
    select(&acme).await;
    select(&globex).await;
    let held = globex.acquire().await.unwrap();
    let waiter = tokio::spawn({
        let globex = globex.clone();
        async move { select(&globex).await }
    });
    until(&tenancy, |status| status.waiting == 1).await;
    assert_eq!(values.read("tenantry_held{database=default,driver=sqlx}"), Some(1.0));
    assert_eq!(values.read("tenantry_waiting{database=default,driver=sqlx}"), Some(1.0));
    drop(held);
    waiter.await.unwrap();

    // Touched, so cleaned.
    sqlx::query("SET work_mem TO '1MB'").execute(&globex).await.unwrap();
    until(&tenancy, |status| status.idle == 1).await;
    // Not read to its end, so drained and cleaned.
    let mut rows = sqlx::query("SELECT 1 FROM generate_series(1, 1000)").fetch(&globex);
    rows.next().await.unwrap().unwrap();
    drop(rows);
    until(&tenancy, |status| status.idle == 1).await;
    // The fourth tenant is one too many.
    select(&initech).await;
    select(&hooli).await;
    until(&tenancy, |status| status.open == 0).await;
    // Rolled back.
    drop(acme.begin().await.unwrap());
    until(&tenancy, |status| status.idle == 1).await;
    // In doubt once more.
    cut_off_a_begin(&acme).await;
    until(&tenancy, |status| status.open == 0).await;

    let emitted: BTreeSet<_> = EXPECT.iter().filter_map(|(metric, _)| metric.split('{').next()).collect();
    assert_eq!(
        emitted,
        METRICS.iter().map(tenantry::pool::Metric::name).collect(),
        "a metric that is not listed, or not tested"
    );
    assert_eq!(values.take(), EXPECT.map(|(metric, value)| (metric.to_owned(), value)).into());
}
