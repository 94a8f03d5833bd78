//! A way to a server that can fall silent, as a network does that swallows what is sent.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
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
    /// One for each connection: nothing of it is forwarded any more.
    silent: Mutex<Vec<Arc<AtomicBool>>>,
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
            silent: Mutex::default(),
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
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        way.forwarding.lock().unwrap().extend([
            tokio::spawn(forward(from_client, to_server, Arc::clone(&silent))),
            tokio::spawn(forward(from_server, to_client, silent)),
        ]);
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, silent: Arc<AtomicBool>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
