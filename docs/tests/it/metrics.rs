use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Up to the `acquire_timeout`, at which a checkout gives up.
const SECONDS: [f64; 8] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0];

fn recorder() -> Result<PrometheusHandle, BuildError> {
    let waits = Matcher::Full("tenantry_checkout_wait_seconds".to_owned());
    PrometheusBuilder::new().set_buckets_for_metric(waits, &SECONDS)?.install_recorder()
}

use std::collections::BTreeSet;

use docs::read;
use serde_json::Value;
use tenantry::pool::{METRICS, Metric, MetricKind};

use crate::support::{titles, world};

/// All names of metrics in a text, without what an exporter adds to that of a histogram.
fn names_in(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let found = text.match_indices("tenantry_").map(|(at, _)| {
        let rest = &text[at..];
        &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())]
    });
    found.map(|name| name.strip_suffix("_bucket").unwrap_or(name)).collect()
}

/// All expressions of a dashboard, wherever they are.
fn expressions(json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "expr" || key == "query" => found.push(text.clone()),
                    value => expressions(value, found),
                }
            }
        }
        _ => {}
    }
}

fn emitted() -> BTreeSet<&'static str> {
    METRICS.iter().map(Metric::name).collect()
}

#[test]
fn the_dashboard_shows_each_metric_and_no_other() {
    let dashboard: Value = serde_json::from_str(&read("docs/grafana.json")).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    let text = found.join(" ");
    assert_eq!(names_in(&text), emitted());
    // Of a histogram the buckets, of anything else the metric as it is.
    for metric in METRICS {
        let has_buckets = text.contains(&format!("{}_bucket{{", metric.name()));
        assert_eq!(has_buckets, metric.kind() == MetricKind::Histogram, "{}", metric.name());
    }
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(
        panels.iter().all(|panel| panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()))
    );
}

#[test]
fn the_page_says_of_each_metric_what_it_is() {
    let page = read("docs/metrics.md");
    let rows: BTreeSet<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let kind = |kind| match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    };
    let row = |it: &Metric| {
        format!("| `{}` | {} | {} |", it.name(), kind(it.kind()), it.help().trim_end_matches('.'))
    };
    let expect: Vec<_> = METRICS.iter().map(row).collect();
    assert_eq!(rows, expect.iter().map(String::as_str).collect());
}

#[tokio::test]
async fn prometheus_reads_what_pools_do() {
    let handle = recorder().unwrap();
    let world = world().await;
    // Two connections, of which one is the reserve: the second who asks at the same time waits.
    let held = world.acme().acquire().await.unwrap();
    let waiter = tokio::spawn({
        let acme = world.acme();
        async move { titles(&acme).await }
    });
    while world.tenancy.status().pools.values().all(|pool| pool.waiting == 0) {
        tokio::task::yield_now().await;
    }
    drop(held);
    waiter.await.unwrap();
    let text = handle.render();
    for line in [
        "# HELP tenantry_held Connections that are in use.",
        "# TYPE tenantry_checkouts_total counter",
        "tenantry_checkout_wait_seconds_bucket{database=\"default\",driver=\"sqlx\",le=\"5\"} 1",
        "tenantry_waiting{database=\"default\",driver=\"sqlx\"} 0",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    assert!(!text.contains("acme"), "{text}");
}
