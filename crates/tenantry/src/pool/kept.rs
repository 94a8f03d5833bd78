//! One connection that is kept open from one piece of work to the next.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use crate::error::Result;

/// How long the server may take to answer on a connection that has waited. A network that has forgotten the
/// connection meanwhile may swallow the question.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the connection waits. At most one does: who comes meanwhile opens another.
#[derive(Default)]
pub(super) struct KeptSlot(Mutex<State>);

#[derive(Default)]
struct State {
    connection: Option<PgConnection>,
    is_closed: bool,
}

impl KeptSlot {
    /// The connection that waits here, if the server still answers on it; otherwise a new one.
    pub(super) async fn take(
        self: &Arc<Self>,
        open: impl AsyncFnOnce() -> Result<PgConnection>,
    ) -> Result<KeptConnection> {
        let waiting = self.state().connection.take();
        let answering = match waiting {
            Some(connection) => if_answering(connection).await,
            None => None,
        };
        let connection = match answering {
            Some(connection) => connection,
            None => open().await?,
        };
        Ok(KeptConnection { connection, place: Arc::clone(self) })
    }

    /// Closes the connection that waits, and keeps none from now on.
    pub(super) async fn close(&self) {
        let waiting = {
            let mut state = self.state();
            state.is_closed = true;
            state.connection.take()
        };
        if let Some(connection) = waiting {
            // It is given up either way.
            let _ = connection.close().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn if_answering(mut connection: PgConnection) -> Option<PgConnection> {
    let answered = timeout(PATIENCE, connection.ping()).await;
    matches!(answered, Ok(Ok(()))).then_some(connection)
}

/// A connection that waits for the next user once it was given back. One that is dropped is closed, be it
/// for an error or with a cancelled future: nobody knows what is left in its session.
pub(crate) struct KeptConnection {
    connection: PgConnection,
    place: Arc<KeptSlot>,
}

impl KeptConnection {
    /// Gives it back. Its session has to be as it was.
    pub(crate) fn give_back(self) {
        let mut state = self.place.state();
        if !state.is_closed {
            state.connection = Some(self.connection);
        }
    }
}

impl Deref for KeptConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for KeptConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rustix::process::{Pid, Signal, kill_process};
    use tenantry_embedded::ScratchDatabase;

    use super::*;
    use crate::testing::backend;

    async fn take(place: &Arc<KeptSlot>, database: &ScratchDatabase) -> KeptConnection {
        place.take(async || Ok(PgConnection::connect(database.url()).await?)).await.unwrap()
    }

    #[tokio::test]
    async fn one_that_was_given_back_is_taken_again_and_one_that_was_dropped_is_not() {
        let database = ScratchDatabase::create().await.unwrap();
        let place = Arc::<KeptSlot>::default();
        let mut first = take(&place, &database).await;
        let pid = backend(&mut first).await;
        first.give_back();
        let mut again = take(&place, &database).await;
        assert_eq!(backend(&mut again).await, pid);
        drop(again);
        let mut new = take(&place, &database).await;
        assert_ne!(backend(&mut new).await, pid);
    }

    #[tokio::test]
    async fn one_that_the_server_has_ended_is_replaced() {
        let database = ScratchDatabase::create().await.unwrap();
        let place = Arc::<KeptSlot>::default();
        let mut first = take(&place, &database).await;
        let pid = backend(&mut first).await;
        first.give_back();
        let mut other = PgConnection::connect(database.url()).await.unwrap();
        sqlx::query("SELECT pg_terminate_backend($1, 5000)").bind(pid).execute(&mut other).await.unwrap();
        let mut new = take(&place, &database).await;
        assert_ne!(backend(&mut new).await, pid);
    }

    #[tokio::test]
    async fn one_that_does_not_answer_is_replaced() {
        let database = ScratchDatabase::create().await.unwrap();
        let place = Arc::<KeptSlot>::default();
        let mut first = take(&place, &database).await;
        let pid = backend(&mut first).await;
        first.give_back();
        let process = Pid::from_raw(pid).unwrap();
        kill_process(process, Signal::STOP).unwrap();
        let taken = timeout(10 * PATIENCE, take(&place, &database)).await;
        // Whatever came of it: other tests work with the same server.
        kill_process(process, Signal::CONT).unwrap();
        assert_ne!(backend(&mut taken.unwrap()).await, pid);
    }

    #[tokio::test]
    async fn nothing_is_kept_in_a_place_that_is_closed() {
        let database = ScratchDatabase::create().await.unwrap();
        let place = Arc::<KeptSlot>::default();
        let (waiting, in_use) = (take(&place, &database).await, take(&place, &database).await);
        waiting.give_back();
        place.close().await;
        in_use.give_back();
        assert!(place.state().connection.is_none());
    }
}
