//! A way to a server that can fall silent, as a network does that swallows what is sent, or lose an answer.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Forwards to a server on this machine. Connections end with this value.
pub(crate) struct Proxy {
    port: u16,
    way: Arc<Way>,
    accepting: JoinHandle<()>,
}

struct Way {
    target: AtomicU16,
    /// New connections are accepted, and nothing more.
    swallows_new: AtomicBool,
    /// A connection is closed whose start-up message does not hold this text.
    wants: Mutex<Option<String>>,
    /// One for each connection: nothing of it is forwarded any more.
    silent: Mutex<Vec<Arc<AtomicBool>>>,
    /// A connection is lost when a message that holds this text so many times is answered.
    loses: Mutex<Option<(String, usize)>>,
    lost: AtomicUsize,
    forwarding: Mutex<Vec<JoinHandle<()>>>,
}

impl Proxy {
    /// A way to the server that this URL names.
    pub(crate) async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(Way {
            target: AtomicU16::new(port_of(url)),
            swallows_new: AtomicBool::new(false),
            wants: Mutex::default(),
            silent: Mutex::default(),
            loses: Mutex::default(),
            lost: AtomicUsize::new(0),
            forwarding: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&way)));
        Self { port, way, accepting }
    }

    /// The same database by this way.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replacen(&format!(":{}/", port_of(url)), &format!(":{}/", self.port), 1)
    }

    /// Nothing is heard any more of the connections that are open now.
    pub(crate) fn silence_open(&self) {
        for silent in self.way.silent.lock().unwrap().iter() {
            silent.store(true, Ordering::SeqCst);
        }
    }

    /// Nothing is heard of new connections, or they are forwarded again.
    pub(crate) fn swallow_new(&self, swallows: bool) {
        self.way.swallows_new.store(swallows, Ordering::SeqCst);
    }

    /// Closes each new connection whose start-up message does not hold this text.
    pub(crate) fn turn_away_without(&self, text: &str) {
        *self.way.wants.lock().unwrap() = Some(text.to_owned());
    }

    /// The next connection on which a message holds this text so many times is lost before its `COMMIT` is answered.
    pub(crate) fn lose_commit_of(&self, text: &str, times: usize) {
        *self.way.loses.lock().unwrap() = Some((text.to_owned(), times));
    }

    /// The number of connections that were lost so.
    pub(crate) fn lost(&self) -> usize {
        self.way.lost.load(Ordering::SeqCst)
    }

    /// New connections lead to the server that this URL names.
    pub(crate) fn lead_to(&self, url: &str) {
        self.way.target.store(port_of(url), Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        for forwarding in self.way.forwarding.lock().unwrap().drain(..) {
            forwarding.abort();
        }
    }
}

fn port_of(url: &str) -> u16 {
    let place = url.split('@').nth(1).unwrap();
    place.split(['/', ':']).nth(1).unwrap().parse().unwrap()
}

async fn accept(listener: TcpListener, way: Arc<Way>) {
    let mut swallowed = Vec::new();
    while let Ok((client, _)) = listener.accept().await {
        if way.swallows_new.load(Ordering::SeqCst) {
            swallowed.push(client);
            continue;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", way.target.load(Ordering::SeqCst))).await else {
            continue;
        };
        let silent = Arc::new(AtomicBool::new(false));
        way.silent.lock().unwrap().push(Arc::clone(&silent));
        let (client, server) = (client.into_split(), server.into_split());
        let connection = tokio::spawn(carry(client, server, silent, Arc::clone(&way)));
        way.forwarding.lock().unwrap().push(connection);
    }
}

async fn carry(
    (from_client, to_client): (OwnedReadHalf, OwnedWriteHalf),
    (from_server, to_server): (OwnedReadHalf, OwnedWriteHalf),
    silent: Arc<AtomicBool>,
    way: Arc<Way>,
) {
    let loses = AtomicBool::new(false);
    let sent = |message: &[u8]| {
        if count(message, "user\0") > 0
            && way.wants.lock().unwrap().as_ref().is_some_and(|text| count(message, text) == 0)
        {
            return false;
        }
        let mut wanted = way.loses.lock().unwrap();
        if wanted.as_ref().is_some_and(|(text, times)| count(message, text) >= *times) {
            *wanted = None;
            loses.store(true, Ordering::SeqCst);
        }
        true
    };
    let answered = |answer: &[u8]| {
        let is_lost = loses.load(Ordering::SeqCst) && count(answer, "COMMIT") > 0;
        way.lost.fetch_add(usize::from(is_lost), Ordering::SeqCst);
        !is_lost
    };
    // The end of one way is that of the other.
    tokio::select! {
        () = forward(from_client, to_server, &silent, sent) => {}
        () = forward(from_server, to_client, &silent, answered) => {}
    }
}

fn count(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    silent: &AtomicBool,
    may_pass: impl Fn(&[u8]) -> bool,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if !may_pass(&buffer[..length]) || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
