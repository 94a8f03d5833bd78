//! Serves connections as `axum::serve` does, but not to clients that take forever to say what they want.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

/// The longest that a connection may be silent, or a request's head be on its way.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// Serves HTTP/1 and HTTP/2 until it is told to stop, and then until the requests that have begun have ended.
pub(crate) async fn serve(listener: TcpListener, app: Router, stopped: impl Future<Output = ()>) {
    let connections = GracefulShutdown::new();
    let mut stopped = pin!(stopped);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        match accepted {
            Ok((stream, peer)) => spawn(&connections, stream, peer, app.clone()),
            // Too many open files, as a rule, which takes a moment to get better.
            Err(error) => {
                tracing::warn!(%error, "Cannot accept connections");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

fn spawn(connections: &GracefulShutdown, stream: TcpStream, peer: SocketAddr, app: Router) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_LIMIT);
    let has_asked = Arc::new(Notify::new());
    let asked = Arc::clone(&has_asked);
    let app = app.map_request(move |mut request: Request<Incoming>| {
        asked.notify_one();
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let service = TowerToHyperService::new(app);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        // No limit of hyper's counts before it knows which version of HTTP this is.
        tokio::select! {
            _ = &mut connection => {}
            asked = timeout(HEAD_LIMIT, has_asked.notified()) => if asked.is_ok() { let _ = connection.await; },
        }
    });
}
