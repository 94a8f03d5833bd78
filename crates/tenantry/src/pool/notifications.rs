//! Notifications of PostgreSQL's, for all who listen in this process, on one connection per database.
//!
//! A task has the connection. It begins with the first who listens and ends when nobody does any more, which it
//! looks for now and then. What is announced while the connection is lost reaches nobody, so everybody is told
//! that something may have been missed.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::BoxStream;
use sqlx::postgres::PgListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::opener::Opener;
use crate::error::{Error, ErrorKind, Result};

/// A silent connection is asked whether it is still there this often, and channels are looked through.
const TICK: Duration = Duration::from_secs(3);
const PING_LIMIT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The notifications that may wait for one who is slow.
const BACKLOG: usize = 1_024;
/// The requests to listen that may wait at the same time.
const REQUESTS: usize = 64;

/// An event on a channel, as one who listens hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// The payload of one notification; empty where there was none.
    Payload(String),
    /// Some may have been missed: the connection was lost for a while, or more than 1,024 waited. What they
    /// announced has to be read from the tables again.
    Missed,
}

/// The notifications of one channel, as a stream. Dropping it ends the listening.
///
/// It ends when the [`Tenancy`](crate::Tenancy) is closed or dropped.
#[must_use = "dropped, nobody listens"]
pub struct Notifications(BoxStream<'static, Notification>);

impl Notifications {
    fn of(mut receiver: broadcast::Receiver<Notification>) -> Self {
        Self(Box::pin(async_stream::stream! {
            loop {
                match receiver.recv().await {
                    Ok(notification) => yield notification,
                    Err(RecvError::Lagged(_)) => yield Notification::Missed,
                    Err(RecvError::Closed) => return,
                }
            }
        }))
    }
}

impl Stream for Notifications {
    type Item = Notification;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notification>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl std::fmt::Debug for Notifications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifications").finish_non_exhaustive()
    }
}

/// The connection of one database that listens, if anybody does.
pub(super) struct Listener {
    /// `None`: there is no way to a session of the server.
    opener: Option<Opener>,
    running: Mutex<Option<Running>>,
}

struct Running {
    requests: mpsc::Sender<Subscription>,
    task: JoinHandle<()>,
}

/// Somebody who wants to listen.
struct Subscription {
    channel: String,
    reply: oneshot::Sender<Result<broadcast::Receiver<Notification>>>,
}

impl Listener {
    pub(super) fn new(opener: Option<Opener>) -> Self {
        Self { opener, running: Mutex::new(None) }
    }

    /// Listens on a channel. What is announced after this returns is heard.
    pub(super) async fn listen(&self, channel: &str) -> Result<Notifications> {
        loop {
            let (reply, answer) = oneshot::channel();
            let requests = self.requests().await?;
            let request = Subscription { channel: channel.to_owned(), reply };
            // A task that ends in this very moment answers nobody, and the next one does.
            if requests.send(request).await.is_ok()
                && let Ok(answer) = answer.await
            {
                return answer.map(Notifications::of);
            }
        }
    }

    async fn requests(&self) -> Result<mpsc::Sender<Subscription>> {
        let Some(opener) = &self.opener else {
            return Err(Error::new(ErrorKind::Unsupported, "listening needs a session of the server")
                .with_hint("set `direct_url`, to reach the server past the pooler"));
        };
        let mut running = self.running.lock().await;
        if let Some(running) = running.as_ref().filter(|running| !running.requests.is_closed()) {
            return Ok(running.requests.clone());
        }
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let task = tokio::spawn(run(opener.clone(), receiver));
        *running = Some(Running { requests: requests.clone(), task });
        Ok(requests)
    }

    /// Ends the listening of all, and waits until the connection is closed.
    pub(super) async fn stop(&self) {
        if let Some(running) = self.running.lock().await.take() {
            running.task.abort();
            let _ = running.task.await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(running) = self.running.get_mut() {
            running.task.abort();
        }
    }
}

type Channels = HashMap<String, broadcast::Sender<Notification>>;

/// The reason why a connection listens no more.
enum Silence {
    /// Nobody listens.
    Idle,
    Lost(Error),
}

/// Listens until nobody does any more; reconnects with growing pauses.
async fn run(opener: Opener, mut requests: mpsc::Receiver<Subscription>) {
    let mut channels = Channels::new();
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match listen_once(&opener, &mut channels, &mut requests, &mut pause).await {
            Silence::Idle => return,
            Silence::Lost(error) => error,
        };
        while let Ok(request) = requests.try_recv() {
            let _ = request.reply.send(Err(error.clone()));
        }
        channels.retain(|_, heard| heard.receiver_count() > 0);
        if channels.is_empty() {
            return;
        }
        tracing::warn!(%error, "Notifications are not heard until the connection is back");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Listens on one connection until it is lost.
async fn listen_once(
    opener: &Opener,
    channels: &mut Channels,
    requests: &mut mpsc::Receiver<Subscription>,
    pause: &mut Duration,
) -> Silence {
    let mut listener = match connect(opener, channels).await {
        Ok(listener) => listener,
        Err(error) => return Silence::Lost(error.into()),
    };
    *pause = FIRST_PAUSE;
    for heard in channels.values() {
        let _ = heard.send(Notification::Missed);
    }
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some(request) = request else { return Silence::Idle };
                if let Err(error) = admit(&mut listener, channels, request).await {
                    return Silence::Lost(error);
                }
            }
            heard = listener.try_recv() => match heard {
                Ok(Some(heard)) => {
                    if let Some(channel) = channels.get(heard.channel()) {
                        let _ = channel.send(Notification::Payload(heard.payload().to_owned()));
                    }
                }
                Ok(None) => return Silence::Lost(lost()),
                Err(error) => return Silence::Lost(error.into()),
            },
            _ = tick.tick() => {
                if let Err(error) = look_through(&mut listener, channels).await {
                    return Silence::Lost(error);
                }
                if channels.is_empty() {
                    return Silence::Idle;
                }
            }
        }
    }
}

async fn connect(opener: &Opener, channels: &Channels) -> Result<PgListener, sqlx::Error> {
    let mut listener = opener.listener().await?;
    listener.listen_all(channels.keys().map(String::as_str)).await?;
    Ok(listener)
}

async fn admit(listener: &mut PgListener, channels: &mut Channels, request: Subscription) -> Result<()> {
    if !channels.contains_key(&request.channel) {
        if let Err(error) = listener.listen(&request.channel).await {
            let error = Error::from(error);
            let _ = request.reply.send(Err(error.clone()));
            return Err(error);
        }
        channels.insert(request.channel.clone(), broadcast::channel(BACKLOG).0);
    }
    if let Some(heard) = channels.get(&request.channel) {
        let _ = request.reply.send(Ok(heard.subscribe()));
    }
    Ok(())
}

/// Leaves the channels that nobody listens on, and asks the server whether it is still there.
async fn look_through(listener: &mut PgListener, channels: &mut Channels) -> Result<()> {
    let is_silent = |heard: &broadcast::Sender<_>| heard.receiver_count() == 0;
    let silent = channels.extract_if(|_, heard| is_silent(heard));
    for channel in silent.map(|(channel, _)| channel).collect::<Vec<_>>() {
        listener.unlisten(&channel).await?;
    }
    let answer = sqlx::query("SELECT 1").execute(listener);
    tokio::time::timeout(PING_LIMIT, answer).await.map_err(|_| lost())?.map(drop)?;
    Ok(())
}

fn lost() -> Error {
    Error::new(ErrorKind::DatabaseUnavailable, "the connection that listens was lost")
}
