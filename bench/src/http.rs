//! A page of an application, asked for over real sockets.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use axum::extract::{Path, State};
use axum::routing::get as on_get;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use serde::Serialize;
use sqlx::{Executor, FromRow, PgPool, Postgres};
use tenantry::{MasterDb, PoolConfig, TenantDb};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::bench::Bench;
use crate::fleet::Route;
use crate::measure::{Spread, Team, Worker, interleave, warm_up};
use crate::report::{Line, Target, Unit};
use crate::side::plain_pool;
use crate::zipf::{Draw, Traffic};

const CLIENTS: usize = 16;
const CONNECTIONS: u32 = 8;

/// One note as JSON: with tenancy, and without by two ways of which the better one counts.
pub(crate) async fn get(bench: &mut Bench) -> Result<()> {
    let tenants = bench.fleet.tenants(1).await?;
    // The reserve is for others, and there is nobody else.
    let pool = || PoolConfig { max_connections: CONNECTIONS, reserve: Some(0), ..PoolConfig::default() };
    let opened = bench.fleet.open(Route::Direct, pool()).await?;
    let opened_for_master = bench.fleet.open(Route::Direct, pool()).await?;
    let sqlx_pool = plain_pool(&bench.fleet.url(Route::Direct), "public", CONNECTIONS)?;

    let with_tenancy = Router::new().route("/notes/{id}", on_get(of_tenant)).layer(opened.tenancy.layer());
    let with_master =
        Router::new().route("/notes/{id}", on_get(of_master)).with_state(opened_for_master.tenancy.master());
    let with_sqlx = Router::new().route("/notes/{id}", on_get(of_pool)).with_state(sqlx_pool);
    let (ours, master, sqlx) =
        (Site::open(with_tenancy).await?, Site::open(with_master).await?, Site::open(with_sqlx).await?);

    let host = format!("{}.localhost", tenants[0].slug());
    let mut our_clients = ours.clients(&host).await?;
    let mut master_clients = master.clients("localhost").await?;
    let mut sqlx_clients = sqlx.clients("localhost").await?;
    warm_up(&bench.plan, [&mut our_clients, &mut master_clients, &mut sqlx_clients]).await?;
    let (steps, switches) = (our_clients.steps, opened.switches()?);
    let rounds = interleave(&bench.plan, [&mut our_clients, &mut master_clients, &mut sqlx_clients]).await?;
    let (steps, switches) = (our_clients.steps - steps, opened.switches()? - switches);
    opened.close().await?;
    opened_for_master.close().await?;

    let master_rate = Spread::of(rounds.iter().map(|round| round[1])).median;
    let sqlx_rate = Spread::of(rounds.iter().map(|round| round[2])).median;
    let better = if master_rate > sqlx_rate { 1 } else { 2 };
    bench.report.add(&Line {
        bench: "http",
        case: "get".to_owned(),
        tasks: CLIENTS,
        unit: Unit::PerSecond,
        ours: Spread::of(rounds.iter().map(|round| round[0])).median,
        baseline: Some(master_rate.max(sqlx_rate)),
        ratio: Some(Spread::of(rounds.iter().map(|round| round[0] / round[better]))),
        hit: Some(1.0 - f64::from(switches) / f64::from(steps)),
        round_trips: None,
        target: Some(Target::RatioAtLeast(0.97)),
        against: format!("better of MasterDb {master_rate:.0} and sqlx's pool {sqlx_rate:.0}"),
    })
}

#[derive(FromRow, Serialize)]
struct Note {
    id: i32,
    title: String,
}

async fn of_tenant(db: TenantDb, Path(id): Path<i32>) -> tenantry::Result<Json<Note>> {
    Ok(Json(note(&db, id).await?))
}

async fn of_master(State(db): State<MasterDb>, Path(id): Path<i32>) -> tenantry::Result<Json<Note>> {
    Ok(Json(note(&db, id).await?))
}

async fn of_pool(State(pool): State<PgPool>, Path(id): Path<i32>) -> tenantry::Result<Json<Note>> {
    Ok(Json(note(&pool, id).await?))
}

async fn note<'c>(executor: impl Executor<'c, Database = Postgres>, id: i32) -> Result<Note, sqlx::Error> {
    sqlx::query_as("SELECT id, title FROM note WHERE id = $1").bind(id).fetch_one(executor).await
}

/// An application that answers on a port until it is dropped.
struct Site {
    address: SocketAddr,
    server: JoinHandle<std::io::Result<()>>,
}

impl Site {
    async fn open(app: Router) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|stream| {
            // Without it some answers wait for the client's acknowledgement.
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, server })
    }

    async fn clients(&self, host: &str) -> Result<Team<Client>> {
        let mut clients = Vec::new();
        for seed in 0..CLIENTS {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            let draw = Draw::new(&Traffic::Uniform(1), seed);
            clients.push(Client { stream, host: host.to_owned(), draw, buffer: vec![0; 4 << 10] });
        }
        Ok(Team::new(clients))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The little of HTTP/1.1 that one needs to ask for a page over and over.
struct Client {
    stream: TcpStream,
    host: String,
    draw: Draw,
    buffer: Vec<u8>,
}

impl Worker for Client {
    async fn step(&mut self) -> Result<()> {
        let request = format!("GET /notes/{} HTTP/1.1\r\nHost: {}\r\n\r\n", self.draw.note(), self.host);
        self.stream.write_all(request.as_bytes()).await?;
        let mut length = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[length..]).await?;
            if read == 0 {
                bail!("the server closed the connection, or its answer is too long");
            }
            length += read;
            if is_complete(&self.buffer[..length])? {
                return Ok(());
            }
        }
    }
}

/// Returns true if all of an answer has arrived, which has to be 200.
fn is_complete(answer: &[u8]) -> Result<bool> {
    let answer = std::str::from_utf8(answer)?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return Ok(false) };
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("the server answered {answer}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.context("the answer has no length")?.parse()?;
    Ok(body.len() >= length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert!(is_complete(answer).expect("a good answer"));
        for end in 0..answer.len() {
            assert!(!is_complete(&answer[..end]).expect("the beginning of a good answer"), "{end}");
        }
    }

    #[test]
    fn an_error_page_is_an_error() {
        assert!(is_complete(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").is_err());
    }
}
