//! The numbers of the pools for Prometheus, at `/metrics` of the master.
//!
//! They count all tenants together, and say nothing of any of them. `docs/grafana.json` is a dashboard of them.

use std::sync::LazyLock;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tenantry::MasterDb;

/// The time between two looks at what is not asked for any more.
const PAUSE: Duration = Duration::from_secs(5);

/// The recorder of this process, which hears of all that is counted from here on.
static RECORDER: LazyLock<Result<PrometheusHandle, BuildError>> =
    LazyLock::new(|| PrometheusBuilder::new().set_buckets(&SECONDS)?.install_recorder());

/// The times that waits are sorted by, up to the longest that a checkout waits.
const SECONDS: [f64; 8] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0];

/// Begins to count. What happened before is not in the numbers.
pub(crate) fn begin() {
    if let Err(error) = &*RECORDER {
        tracing::warn!(%error, "Nothing is counted: {error}");
    }
}

/// Puts times together that nobody has asked for yet, so that they do not pile up; it never ends by itself.
pub async fn tidy() {
    loop {
        tokio::time::sleep(PAUSE).await;
        if let Ok(recorder) = &*RECORDER {
            recorder.run_upkeep();
        }
    }
}

/// `GET /metrics`
pub(crate) async fn page(_: MasterDb) -> Response {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match &*RECORDER {
        Ok(recorder) => (text, recorder.render()).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
