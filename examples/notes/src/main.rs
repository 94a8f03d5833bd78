//! Notes: a web application in which every customer has notes of its own.
//!
//! Run with
//!
//! ```sh
//! cargo run -p notes
//! ```
//!
//! Then open <http://localhost:3000/>, for which <http://127.0.0.1:3000/> is another name, or try
//!
//! ```sh
//! curl http://acme.localhost:3000/api/notes
//! curl http://globex.localhost:3000/api/notes
//! curl http://acme.localhost:3000/api/whoami
//! curl http://acme.localhost:3000/api/notes --json '{"title": "Buy anvils"}'
//! curl http://localhost:3000/signup -d slug=initech -d name=Initech
//! curl http://initech.localhost:3000/api/whoami
//! ```
//!
//! `PORT` is where it listens, 3000 unless set, any free one with 0. `DATABASE_URL` is the database
//! it uses; without it a PostgreSQL of its own keeps its data in `.tenantry/`. A `tenantry.toml` may name more of them,
//! and say which one a new tenant is made in.
//!
//! This file starts and stops, `serve.rs` speaks HTTP. What the application does begins in `lib.rs`.

mod serve;

use std::env;
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tenantry::Config;
use tenantry_embedded::{Binaries, ErrorKind, KeptServer};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// The longest that requests may take to end once we are told to stop.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "whoever starts this reads here why it does not start")]
fn report(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
    if let Some(hint) = hint_of(error) {
        eprintln!("hint: {hint}");
    }
}

async fn run() -> anyhow::Result<()> {
    let listeners = listen(port()?).await?;
    let port = listeners[0].local_addr()?.port();
    let config = configuration().await?;
    let tenancy = notes::open(&config).await?;

    let tidying = tokio::spawn(notes::tidy());
    serve(listeners, &notes::app(&tenancy, port, &config), port).await?;
    tidying.abort();
    Ok(tenancy.close(PATIENCE).await?)
}

fn port() -> anyhow::Result<u16> {
    match env::var("PORT") {
        Ok(port) => port.parse().with_context(|| format!("PORT is `{port}`, which is not a port")),
        Err(_) => Ok(3000),
    }
}

/// The databases we are told to use, or else one on a server of our own.
async fn configuration() -> anyhow::Result<Config> {
    let mut config = Config::find(&env::current_dir()?)?;
    if !config.has_default_database() {
        config.set_default_url(embedded_url().await?);
    }
    Ok(config)
}

#[expect(clippy::print_stdout, reason = "whoever starts this learns here what else was started")]
async fn embedded_url() -> anyhow::Result<String> {
    let server = start_server(&env::current_dir()?).await?;
    println!("PostgreSQL {} keeps its data in {}.", server.version(), server.data_directory().display());
    println!("It goes on running when this program ends; `tenantry dev stop` stops it.\n");
    // The name the command line uses, so that `tenantry list` sees the same tenants from this directory.
    Ok(server.database("tenantry").await?)
}

/// Starts PostgreSQL, which is downloaded where there is none on this machine.
#[expect(clippy::print_stdout, reason = "a download is not started in silence")]
async fn start_server(directory: &Path) -> Result<KeptServer, tenantry_embedded::Error> {
    match KeptServer::start(directory).await {
        Err(error) if error.kind() == ErrorKind::BinariesNotFound => {
            println!("There is no PostgreSQL on this machine; downloading it to .tenantry/.");
            let binaries = Binaries::find_or_download(&directory.join(".tenantry/postgresql")).await?;
            KeptServer::start_with(&binaries, directory).await
        }
        result => result,
    }
}

/// Nobody but this machine can connect. `localhost` is 127.0.0.1 to some programs and `::1` to others.
async fn listen(port: u16) -> anyhow::Result<Vec<TcpListener>> {
    let in_use = |port| format!("cannot listen on port {port}; PORT=0 takes a free one");
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.with_context(|| in_use(port))?;
    let port = v4.local_addr()?.port();
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(v6) => Ok(vec![v4, v6]),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error).with_context(|| in_use(port)),
        // There is no IPv6 here.
        Err(_) => Ok(vec![v4]),
    }
}

/// Serves until we are told to stop, and then until the requests that have begun have ended.
async fn serve(listeners: Vec<TcpListener>, app: &Router, port: u16) -> anyhow::Result<()> {
    let mut servers = JoinSet::new();
    for listener in listeners {
        servers.spawn(serve::serve(listener, app.clone(), stop_signal()?));
    }
    let stopped = stop_signal()?;
    greet(port);
    tokio::select! {
        _ = servers.join_all() => {}
        () = async { stopped.await; tokio::time::sleep(PATIENCE).await } => {
            tracing::warn!("Some requests did not end within {PATIENCE:?}");
        }
    }
    Ok(())
}

/// Listens from this call on, not only from the first poll.
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[expect(clippy::print_stdout, reason = "the addresses are what this program has to say")]
fn greet(port: u16) {
    println!("Tenants and sign-up: http://localhost:{port}/");
    println!("Notes of Acme:       http://acme.localhost:{port}/");
    println!("Notes of Globex:     http://globex.localhost:{port}/");
}

fn hint_of(error: &anyhow::Error) -> Option<&str> {
    let embedded = error.downcast_ref::<tenantry_embedded::Error>().and_then(|error| error.hint());
    embedded.or_else(|| error.downcast_ref::<tenantry::Error>().and_then(|error| error.hint()))
}
