//! The program around the help desk in `lib.rs`.
//!
//! Run with
//!
//! ```sh
//! cargo run -p checked
//! ```
//!
//! Then try
//!
//! ```sh
//! curl http://localhost:3000/plans
//! curl http://acme.localhost:3000/tickets --json '{"title": "The skates do not stop"}'
//! curl -X PUT http://acme.localhost:3000/tickets/1/waiting
//! curl http://acme.localhost:3000/tickets?state=waiting
//! curl http://globex.localhost:3000/tickets
//! ```
//!
//! `DATABASE_URL` is the database it uses; without it a PostgreSQL of its own keeps its data in `.tenantry/` of this
//! package, where `tenantry` finds it, too.

use std::env;
use std::path::Path;

use tenantry::Config;
use tenantry_embedded::KeptServer;
use tokio::net::TcpListener;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the address is what this program has to say")]
async fn main() -> anyhow::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = Config::find(here)?;
    if !config.has_default_database() {
        config.set_default_url(KeptServer::start(here).await?.database("tenantry").await?);
    }
    let tenancy = checked::open(&config).await?;
    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("http://acme.localhost:{}/tickets", listener.local_addr()?.port());
    Ok(axum::serve(listener, checked::app(&tenancy)).await?)
}
