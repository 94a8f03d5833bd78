//! Jobs: reports that customers order, and a worker writes.
//!
//! ```sh
//! cargo run -p jobs                                   # HTTP and worker in one process, with a PostgreSQL of its own
//! curl http://acme.localhost:3000/reports -d 'Sales of May'
//! curl http://acme.localhost:3000/reports
//! ```
//!
//! `jobs web` and `jobs worker` are one half each, for as many processes as you like. `QUEUE=graphile` takes the other
//! queue, `PORT` is where it listens, and `DATABASE_URL` the database.

use std::env;
use std::io;
use std::net::Ipv4Addr;

use anyhow::bail;
use jobs::Queue;
use tenantry::Tenancy;
use tenantry_embedded::KeptServer;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let queue = match env::var("QUEUE").as_deref() {
        Err(_) | Ok("apalis") => Queue::Apalis,
        Ok("graphile") => Queue::Graphile,
        Ok(other) => bail!("QUEUE is `{other}`, and neither `apalis` nor `graphile`"),
    };
    let tenancy = jobs::open(&database_url().await?, queue).await?;
    match env::args().nth(1).as_deref() {
        // Whichever ends first, ends both.
        None => tokio::select! {
            served = serve(&tenancy, queue) => served,
            worked = queue.work(&tenancy) => worked,
        },
        Some("web") => serve(&tenancy, queue).await,
        Some("worker") => queue.work(&tenancy).await,
        Some(other) => bail!("`{other}` is neither `web` nor `worker`"),
    }
}

#[expect(clippy::print_stdout, reason = "whoever starts this learns here where it is")]
async fn serve(tenancy: &Tenancy, queue: Queue) -> anyhow::Result<()> {
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("Reports of Acme: http://acme.localhost:{}/reports", listener.local_addr()?.port());
    Ok(axum::serve(listener, jobs::app(tenancy, queue)).await?)
}

/// The database we are told to use, or else one on a server of our own, which goes on running.
async fn database_url() -> anyhow::Result<String> {
    match env::var("DATABASE_URL") {
        Ok(url) => Ok(url),
        Err(_) => Ok(KeptServer::start(&env::current_dir()?).await?.database("jobs").await?),
    }
}
