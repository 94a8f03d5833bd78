//! Books of many libraries, with Diesel.
//!
//! Run with `cargo run -p shelves`; the README beside this has requests to try.

use std::env;
use std::net::Ipv4Addr;

use anyhow::Result;
use tenantry_embedded::KeptServer;
use tokio::net::TcpListener;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever starts this learns here where it listens")]
async fn main() -> Result<()> {
    let url = KeptServer::start(&env::current_dir()?).await?.database("shelves").await?;
    let tenancy = shelves::open(&url).await?;
    let port = env::var("PORT").ok().map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = listener.local_addr()?.port();
    println!("Books of Acme:   http://acme.localhost:{port}/books");
    println!("Books of Globex: http://globex.localhost:{port}/books");
    axum::serve(listener, shelves::app(&tenancy)).await?;
    Ok(())
}
