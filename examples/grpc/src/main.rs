//! Notes by gRPC.
//!
//! Run with
//!
//! ```sh
//! cargo run -p grpc
//! ```
//!
//! The README has calls to try. `PORT` is where it listens, 50051 unless set. `DATABASE_URL` is the database it uses;
//! without it a PostgreSQL of its own keeps its data in `.tenantry/`.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use grpc::wire::NotesServer;
use tenantry::DatabaseConfig;
use tenantry_embedded::{Binaries, ErrorKind, KeptServer};
use tokio::signal::ctrl_c;
use tonic::transport::Server;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = match env::var("DATABASE_URL") {
        Ok(url) => url,
        Err(_) => start_server(&env::current_dir()?).await?.database("grpc").await?,
    };
    let port = env::var("PORT").map_or(Ok(50051), |port| port.parse())?;
    let tenancy = grpc::open(DatabaseConfig::from_url(&url)?, "localhost").await?;
    Server::builder()
        .layer(tenancy.layer())
        .add_service(NotesServer::new(grpc::Service))
        .serve_with_shutdown(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), async {
            let _ = ctrl_c().await;
        })
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
