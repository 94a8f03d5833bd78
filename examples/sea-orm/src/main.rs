//! Tickets of many customers, with `SeaORM`.
//!
//! Run with `cargo run -p tickets`; the README beside this has requests to try.

use std::env;
use std::net::Ipv4Addr;

use anyhow::Result;
use tenantry_embedded::KeptServer;
use tokio::net::TcpListener;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever starts this learns here where it listens")]
async fn main() -> Result<()> {
    let url = KeptServer::start(&env::current_dir()?).await?.database("tickets").await?;
    let tenancy = tickets::open(&url).await?;
    let port = env::var("PORT").ok().map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = listener.local_addr()?.port();
    println!("Tickets of Acme:   http://acme.localhost:{port}/tickets");
    println!("Tickets of Globex: http://globex.localhost:{port}/tickets");
    axum::serve(listener, tickets::app(&tenancy)).await?;
    Ok(())
}
