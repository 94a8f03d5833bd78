//! Notes on actix-web.
//!
//! Run with
//!
//! ```sh
//! cargo run -p actix
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
//!
//! `PORT` is where it listens, 8080 unless set. `DATABASE_URL` is the database it uses; without it a PostgreSQL of its
//! own keeps its data in `.tenantry/`.

use std::env;
use std::path::Path;
use std::time::Duration;

use actix_web::{App, HttpServer};
use tenantry::DatabaseConfig;
use tenantry_actix::Tenants;
use tenantry_embedded::{Binaries, ErrorKind, KeptServer};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = match env::var("DATABASE_URL") {
        Ok(url) => url,
        Err(_) => start_server(&env::current_dir()?).await?.database("actix").await?,
    };
    let port = env::var("PORT").map_or(Ok(8080), |port| port.parse())?;
    // Here, and not for each worker: they share one pool.
    let tenancy = actix::open(DatabaseConfig::from_url(&url)?, "localhost").await?;
    let tenants = Tenants::new(&tenancy);
    HttpServer::new(move || App::new().wrap(tenants.clone()).configure(actix::routes))
        // A handler ends with its client, and its transaction with it.
        .h1_allow_half_closed(false)
        .bind(("localhost", port))?
        .run()
        .await?;
    Ok(tenancy.close(Duration::from_secs(5)).await?)
}

/// Starts PostgreSQL, which is downloaded where there is none on this machine.
async fn start_server(directory: &Path) -> Result<KeptServer, tenantry_embedded::Error> {
    match KeptServer::start(directory).await {
        Err(error) if error.kind() == ErrorKind::BinariesNotFound => {
            let binaries = Binaries::find_or_download(&directory.join(".tenantry/postgresql")).await?;
            KeptServer::start_with(&binaries, directory).await
        }
        result => result,
    }
}
