//! A network that is slow, and that counts.
//!
//! Passes TCP on to the server and holds back what the server answers. The client cannot tell on
//! which way the time was lost, so one direction carries all of it. Only time is added, bandwidth is
//! not limited: what is pipelined stays pipelined.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Listens on a port of its own for as long as it lives.
pub(crate) struct Proxy {
    port: u16,
    flights: Arc<AtomicU32>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// An answer that waits for its moment. As every delay is the same, the first in is the first out.
struct Answer {
    moment: Instant,
    bytes: Vec<u8>,
    to: UnboundedSender<Vec<u8>>,
}

impl Proxy {
    /// A way to `port` that takes `delay` longer per round trip.
    pub(crate) async fn start(port: u16, delay: Duration) -> Result<Self> {
        // Threads of its own: a network does not wait for the tasks that are measured.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let own_port = listener.local_addr()?.port();
        let listener = listener.into_std()?;
        let flights = Arc::new(AtomicU32::new(0));
        let (line, waiting) = mpsc::channel();
        // Ends when the last connection has dropped its end of the line.
        thread::spawn(move || release_in_time(&waiting));
        let counter = Arc::clone(&flights);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener)?;
            loop {
                let (client, _) = listener.accept().await?;
                tokio::spawn(pass_on(client, port, delay, line.clone(), Arc::clone(&counter)));
            }
            #[expect(unreachable_code, reason = "says what `?` returns")]
            Ok::<(), std::io::Error>(())
        });
        Ok(Self { port: own_port, flights, runtime: Some(runtime) })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The number of times a client has sent something after the server had spoken: the round trips so far.
    pub(crate) fn flights(&self) -> u32 {
        self.flights.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A thread and not a timer of tokio's, which counts in whole milliseconds.
fn release_in_time(waiting: &mpsc::Receiver<Answer>) {
    for answer in waiting {
        thread::sleep(answer.moment.saturating_duration_since(Instant::now()));
        // A client that is gone misses nothing.
        let _ = answer.to.send(answer.bytes);
    }
}

async fn pass_on(
    client: TcpStream,
    port: u16,
    delay: Duration,
    line: mpsc::Sender<Answer>,
    flights: Arc<AtomicU32>,
) -> Result<()> {
    let server = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let has_spoken = Arc::new(AtomicBool::new(true));
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(deliver(receiver, to_client));
    tokio::spawn(pass_questions(from_client, to_server, Arc::clone(&has_spoken), flights));
    pass_answers(from_server, sender, &has_spoken, delay, &line).await
}

async fn pass_questions(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    has_spoken: Arc<AtomicBool>,
    flights: Arc<AtomicU32>,
) -> Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        if has_spoken.swap(false, Ordering::Relaxed) {
            flights.fetch_add(1, Ordering::Relaxed);
        }
        to.write_all(&buffer[..length]).await?;
    }
}

async fn pass_answers(
    mut from: OwnedReadHalf,
    to: UnboundedSender<Vec<u8>>,
    has_spoken: &AtomicBool,
    delay: Duration,
    line: &mpsc::Sender<Answer>,
) -> Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        has_spoken.store(true, Ordering::Relaxed);
        line.send(Answer {
            moment: Instant::now() + delay,
            bytes: buffer[..length].to_vec(),
            to: to.clone(),
        })?;
    }
}

async fn deliver(mut answers: UnboundedReceiver<Vec<u8>>, mut to: OwnedWriteHalf) -> Result<()> {
    while let Some(bytes) = answers.recv().await {
        to.write_all(&bytes).await?;
    }
    Ok(())
}
