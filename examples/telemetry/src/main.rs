//! Telemetry: the spans of a web application, of which each names its tenant, for OpenTelemetry.
//!
//! Run with
//!
//! ```sh
//! cargo run -p telemetry
//! ```
//!
//! Then
//!
//! ```sh
//! curl http://acme.localhost:3000/notes
//! curl http://globex.localhost:3000/notes
//! ```
//!
//! and read what it prints. The database is thrown away at the end.

use opentelemetry_stdout::SpanExporter;
use tenantry_embedded::ScratchDatabase;
use tokio::net::TcpListener;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the address is what this program has to say")]
async fn main() -> anyhow::Result<()> {
    let database = ScratchDatabase::create().await?;
    let tenancy = telemetry::open(database.url()).await?;
    // From here on, so that what made the tenants is not printed.
    let (provider, subscriber) = telemetry::telemetry(SpanExporter::default());
    tracing::subscriber::set_global_default(subscriber)?;

    let listener = TcpListener::bind(("127.0.0.1", 3000)).await?;
    println!("curl http://acme.localhost:3000/notes");
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, telemetry::app(&tenancy)).with_graceful_shutdown(stop).await?;
    Ok(provider.shutdown()?)
}
