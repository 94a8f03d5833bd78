//! Notes on poem, salvo or warp.
//!
//! Run with
//!
//! ```sh
//! cargo run --manifest-path examples/frameworks/Cargo.toml -- poem
//! ```
//!
//! Then try
//!
//! ```sh
//! curl http://acme.localhost:8080/notes
//! curl http://acme.localhost:8080/notes -d 'Buy anvils'
//! curl http://globex.localhost:8080/notes
//! curl http://localhost:8080/t/acme/notes
//! ```

use std::env;

use frameworks::{open, poem, salvo, warp};
use tenantry::DatabaseConfig;
use tenantry_embedded::KeptServer;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = KeptServer::start(&env::current_dir()?).await?.database("frameworks").await?;
    let tenancy = open(DatabaseConfig::from_url(&url)?, "localhost").await?;
    let listener = TcpListener::bind("localhost:8080").await?;
    match env::args().nth(1).as_deref() {
        Some("poem") => poem::serve(listener, &tenancy, poem::routes()).await?,
        Some("salvo") => salvo::serve(listener, &tenancy, salvo::routes()).await?,
        Some("warp") => warp::serve(listener, &tenancy, warp::routes()).await?,
        _ => anyhow::bail!("usage: frameworks poem|salvo|warp"),
    }
    Ok(())
}
