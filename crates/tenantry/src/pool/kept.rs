//! Owner connections that stay open from one piece of work to the next.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use crate::error::{ErrorKind, Result};

/// The longest that the server may take to answer on a connection that has waited. A network that has forgotten the
/// connection meanwhile may swallow the question.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connections to one database that wait for the next piece of work.
pub(crate) struct KeptConnections {
    /// The most that wait. Work that finds none opens another.
    most: usize,
    /// Set where they wait for so long that the server or a network may have given them up.
    is_asked_first: bool,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    connections: Vec<PgConnection>,
    is_closed: bool,
}

impl KeptConnections {
    /// For sign-ups and archives, which come now and then: one waits, for however long.
    pub(super) fn for_now_and_then() -> Self {
        Self { most: 1, is_asked_first: true, idle: Mutex::default() }
    }

    /// For a run: as many wait as have worked at the same time, none of them for long.
    pub(crate) fn for_a_run() -> Self {
        Self { most: usize::MAX, is_asked_first: false, idle: Mutex::default() }
    }

    /// Works on a connection, and keeps it if the work succeeds.
    ///
    /// It is closed where the work fails or its future is dropped: nobody knows what is left in its session.
    /// Where it was lost, those that wait may be lost as well, and are closed, too.
    pub(crate) async fn with<T>(
        &self,
        open: impl AsyncFnOnce() -> Result<PgConnection>,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
    ) -> Result<T> {
        let mut connection = match self.take().await {
            Some(connection) => connection,
            None => open().await?,
        };
        let result = work(&mut connection).await;
        match &result {
            Ok(_) => self.keep(connection),
            Err(error) if error.kind() == ErrorKind::DatabaseUnavailable => {
                self.idle().connections.clear();
            }
            Err(_) => {}
        }
        result
    }

    /// Closes those that wait, and keeps none from now on.
    pub(super) async fn close(&self) {
        let connections = {
            let mut idle = self.idle();
            idle.is_closed = true;
            std::mem::take(&mut idle.connections)
        };
        for connection in connections {
            // It is given up either way.
            let _ = connection.close().await;
        }
    }

    pub(super) async fn take(&self) -> Option<PgConnection> {
        let connection = self.idle().connections.pop()?;
        if self.is_asked_first { if_answering(connection).await } else { Some(connection) }
    }

    pub(super) fn keep(&self, connection: PgConnection) {
        let mut idle = self.idle();
        if !idle.is_closed && idle.connections.len() < self.most {
            idle.connections.push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn if_answering(mut connection: PgConnection) -> Option<PgConnection> {
    let answered = timeout(PATIENCE, connection.ping()).await;
    matches!(answered, Ok(Ok(()))).then_some(connection)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::pending;

    use rustix::process::{Pid, Signal, kill_process};
    use tenantry_embedded::ScratchDatabase;

    use super::*;
    use crate::error::Error;
    use crate::fixture::backend;

    async fn with<T>(
        kept: &KeptConnections,
        database: &ScratchDatabase,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
    ) -> Result<T> {
        kept.with(async || Ok(PgConnection::connect(database.url()).await?), work).await
    }

    /// The server process that the next piece of work gets.
    async fn process(kept: &KeptConnections, database: &ScratchDatabase) -> i32 {
        with(kept, database, async |connection: &mut PgConnection| Ok(backend(connection).await))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn work_that_succeeds_leaves_its_connection_to_the_next() {
        let database = ScratchDatabase::create().await.unwrap();
        for kept in [KeptConnections::for_now_and_then(), KeptConnections::for_a_run()] {
            let first = process(&kept, &database).await;
            assert_eq!(process(&kept, &database).await, first);
        }
    }

    #[tokio::test]
    async fn work_that_fails_or_is_dropped_leaves_none() {
        let database = ScratchDatabase::create().await.unwrap();
        let kept = KeptConnections::for_a_run();
        let first = process(&kept, &database).await;
        let fail = async |_: &mut PgConnection| Err::<(), _>(Error::new(ErrorKind::InvalidInput, "no"));
        with(&kept, &database, fail).await.unwrap_err();
        let second = process(&kept, &database).await;
        assert_ne!(second, first);
        let never = with(&kept, &database, async |_: &mut PgConnection| pending::<Result<()>>().await);
        timeout(Duration::from_millis(20), never).await.unwrap_err();
        assert_ne!(process(&kept, &database).await, second);
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let database = ScratchDatabase::create().await.unwrap();
        for (kept, expect) in [(KeptConnections::for_now_and_then(), 1), (KeptConnections::for_a_run(), 2)] {
            let inner = async |_: &mut PgConnection| Ok(process(&kept, &database).await);
            with(&kept, &database, inner).await.unwrap();
            assert_eq!(kept.idle().connections.len(), expect);
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_lost_takes_those_that_wait_with_it() {
        let database = ScratchDatabase::create().await.unwrap();
        let kept = KeptConnections::for_a_run();
        let lose = async |_: &mut PgConnection| {
            process(&kept, &database).await;
            Err::<(), _>(Error::new(ErrorKind::DatabaseUnavailable, "gone"))
        };
        with(&kept, &database, lose).await.unwrap_err();
        assert!(kept.idle().connections.is_empty());
    }

    #[tokio::test]
    async fn one_that_the_server_has_ended_is_replaced() {
        let database = ScratchDatabase::create().await.unwrap();
        let kept = KeptConnections::for_now_and_then();
        let first = process(&kept, &database).await;
        let mut other = PgConnection::connect(database.url()).await.unwrap();
        sqlx::query("SELECT pg_terminate_backend($1, 5000)").bind(first).execute(&mut other).await.unwrap();
        assert_ne!(process(&kept, &database).await, first);
    }

    #[tokio::test]
    async fn one_that_does_not_answer_is_replaced() {
        let database = ScratchDatabase::create().await.unwrap();
        let kept = KeptConnections::for_now_and_then();
        let first = process(&kept, &database).await;
        let stopped = Pid::from_raw(first).unwrap();
        kill_process(stopped, Signal::STOP).unwrap();
        let next = timeout(10 * PATIENCE, process(&kept, &database)).await;
        // Whatever came of it: other tests work with the same server.
        kill_process(stopped, Signal::CONT).unwrap();
        assert_ne!(next.unwrap(), first);
    }

    #[tokio::test]
    async fn nothing_is_kept_where_all_was_closed() {
        let database = ScratchDatabase::create().await.unwrap();
        let kept = KeptConnections::for_now_and_then();
        process(&kept, &database).await;
        let close = async |_: &mut PgConnection| {
            kept.close().await;
            Ok(())
        };
        with(&kept, &database, close).await.unwrap();
        assert!(kept.idle().connections.is_empty());
    }
}
