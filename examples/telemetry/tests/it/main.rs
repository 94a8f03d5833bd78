//! The example does what its documentation promises.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tenantry_embedded::ScratchDatabase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Keeps what it is given.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Kept {
    /// The attributes of each span with this name, from the first that ended to the last.
    fn attributes_of(&self, name: &str) -> Vec<BTreeMap<String, String>> {
        let spans = self.0.lock().unwrap();
        let named = spans.iter().filter(|span| span.name == name);
        let of = |span: &SpanData| {
            let pairs = span.attributes.iter();
            pairs.map(|pair| (pair.key.to_string(), pair.value.to_string())).collect()
        };
        named.map(of).collect()
    }
}

async fn get(address: SocketAddr, host: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /notes HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_spans_of_two_tenants_name_the_right_one() {
    let database = ScratchDatabase::create().await.unwrap();
    let tenancy = telemetry::open(database.url()).await.unwrap();
    let kept = Kept::default();
    let (provider, subscriber) = telemetry::telemetry(kept.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, telemetry::app(&tenancy)).into_future());

    let mut expect = Vec::new();
    for slug in ["acme", "globex", "acme"] {
        let answer = get(address, &format!("{slug}.localhost")).await;
        assert!(answer.ends_with(&format!("[\"A note of {slug}\"]")), "{answer}");
        let id = tenancy.tenant(slug).await.unwrap().id().to_string();
        expect.push((Some(slug.to_owned()), Some(id)));
    }
    assert!(get(address, "nobody.localhost").await.starts_with("HTTP/1.1 404"));
    server.abort();
    provider.force_flush().unwrap();

    let tenant =
        |span: &BTreeMap<String, String>| (span.get("tenant").cloned(), span.get("tenant.id").cloned());
    // Without the registry's own, which are the master's.
    let statements = kept.attributes_of("statement").into_iter().filter(|span| span.contains_key("tenant"));
    let statements: Vec<_> = statements.map(|span| tenant(&span)).collect();
    assert_eq!(statements, expect);
    expect.push((None, None));
    let requests: Vec<_> = kept.attributes_of("request").iter().map(tenant).collect();
    assert_eq!(requests, expect);

    // A statement belongs to the handler, and that to the request.
    let spans = kept.0.lock().unwrap();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(named("statement").parent_span_id, named("list").span_context.span_id());
    assert_eq!(named("list").parent_span_id, named("request").span_context.span_id());
}
