//! The tasks that look at a primary and its replicas, on connections of their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::task::JoinHandle;

use super::judge::{ReplicaAnswer, ReplicaState, judge};
use super::member::{Replica, ReplicaView};
use super::written::Written;
use crate::database::ReplicaConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::message::send;
use crate::pool::opener::Opener;
use crate::pool::wal_position::WalPosition;

/// The longest that a server may take to answer, a new connection included.
const LIMIT: Duration = Duration::from_secs(2);
/// The pause between two looks at a replica that somebody waits for, or that is not well: it doubles from the shortest.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);
const LONGEST_PAUSE_OF_A_WAIT: Duration = Duration::from_millis(5);

/// The position up to which a replica can have anything: what is flushed.
const FLUSHED: &str = "SELECT pg_catalog.pg_current_wal_flush_lsn()::pg_catalog.text";
/// The number that a server and its replicas share.
const SERVER: &str = "SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()";

/// The tasks, which end with their owner.
pub(super) struct Watch(Vec<JoinHandle<()>>);

/// The primary, as its task sees it.
#[derive(Default)]
pub(super) struct Primary {
    written: Written,
    server: Option<String>,
}

impl Watch {
    pub(super) fn begin(primary: Opener, replicas: &[Arc<Replica>], config: &ReplicaConfig) -> Self {
        let seen = Arc::<Mutex<Primary>>::default();
        let interval = config.interval();
        let mut tasks = vec![tokio::spawn(look_at_primary(primary, Arc::clone(&seen), interval))];
        tasks.extend(replicas.iter().map(|replica| {
            tokio::spawn(look_at_replica(Arc::clone(replica), Arc::clone(&seen), config.clone()))
        }));
        Self(tasks)
    }

    /// Ends the tasks, and waits until their connections are closed.
    pub(super) async fn stop(mut self) {
        let tasks = std::mem::take(&mut self.0);
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            let _ = task.await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

async fn look_at_primary(opener: Opener, seen: Arc<Mutex<Primary>>, interval: Duration) {
    let mut line = WatchLine::new(opener);
    loop {
        let asked_at = Instant::now();
        match line.ask(FLUSHED).await {
            Ok(answer) => {
                let mut seen = lock(&seen);
                seen.server.clone_from(&line.server);
                if let Some(position) = WalPosition::parse(&answer) {
                    seen.written.note(asked_at, position);
                }
            }
            Err(error) => tracing::debug!(%error, "The primary cannot be asked how far it is"),
        }
        tokio::time::sleep(interval).await;
    }
}

async fn look_at_replica(replica: Arc<Replica>, primary: Arc<Mutex<Primary>>, config: ReplicaConfig) {
    let mut line = WatchLine::new(replica.opener.clone());
    let mut pause = SHORTEST_PAUSE;
    loop {
        let found = match line.ask(ReplicaAnswer::QUESTION).await {
            Ok(answer) => judged(&answer, line.server.as_deref(), &lock(&primary), &config),
            Err(error) => {
                tracing::debug!(%error, "A replica cannot be asked how far it is");
                ReplicaView { state: ReplicaState::Away, ..ReplicaView::default() }
            }
        };
        replica.settle(found);
        if replica.is_waited_for() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE_OF_A_WAIT);
        } else if found.state == ReplicaState::Usable {
            pause = SHORTEST_PAUSE;
            replica.poked_within(config.interval()).await;
        } else {
            replica.poked_within(pause).await;
            pause = (pause * 2).min(config.interval());
        }
    }
}

fn judged(answer: &str, server: Option<&str>, primary: &Primary, config: &ReplicaConfig) -> ReplicaView {
    let Some(answer) = ReplicaAnswer::read(answer) else {
        return ReplicaView { state: ReplicaState::Away, ..ReplicaView::default() };
    };
    let servers = [server, primary.server.as_deref()];
    let (state, lag) = judge(&answer, servers, &primary.written, config, Instant::now());
    ReplicaView { state, replayed: answer.replayed, lag }
}

fn lock(primary: &Mutex<Primary>) -> MutexGuard<'_, Primary> {
    primary.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that is opened again after trouble.
struct WatchLine {
    opener: Opener,
    connection: Option<PgConnection>,
    /// The server at the other end, where the role may know.
    server: Option<String>,
}

impl WatchLine {
    fn new(opener: Opener) -> Self {
        Self { opener, connection: None, server: None }
    }

    async fn ask(&mut self, question: &str) -> Result<String> {
        let ask = async {
            // Taken out: one on which this is given up still waits for the answer.
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.open().await?,
            };
            let answer = send(&mut connection, question).await?;
            self.connection = Some(connection);
            answer.ok_or_else(|| Error::new(ErrorKind::Database, "the server answered with nothing"))
        };
        tokio::time::timeout(LIMIT, ask).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::DatabaseUnavailable, format!("no answer within {LIMIT:?}")))
        })
    }

    async fn open(&mut self) -> Result<PgConnection> {
        let mut connection = self.opener.open().await?;
        self.server = match send(&mut connection, SERVER).await {
            Ok(server) => server,
            Err(error) if error.kind() == ErrorKind::Database => None,
            Err(error) => return Err(error),
        };
        Ok(connection)
    }
}
