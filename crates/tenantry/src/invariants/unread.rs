//! 4. The rest of an answer that nobody reads holds up nobody.
//!
//! No clock and no amount of rows shows this on a busy machine. What the server warns of is logged by whoever
//! reads it, so a listener of the log can hold that thread up until the next request is answered.

use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use sqlx::PgConnection;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::cancellation::running;
use crate::fixture::{text, with_one_connection};

/// The time after which a reader goes on though the next request has no answer.
const LIMIT: Duration = Duration::from_secs(4);

const WARN: &str = "CREATE FUNCTION warn(number integer) RETURNS integer LANGUAGE plpgsql AS $$
                    BEGIN RAISE WARNING 'held up'; RETURN number; END $$";

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    GoesOn,
    WaitsForAnswer,
    Late,
}

/// A barrier that holds the readers of warnings up.
struct Barrier {
    state: Mutex<State>,
    changed: Condvar,
}

static BARRIER: Barrier = Barrier { state: Mutex::new(State::GoesOn), changed: Condvar::new() };

impl Barrier {
    /// Sets the state, and gives the one before.
    fn set(&self, state: State) -> State {
        let before = std::mem::replace(&mut *self.state.lock().unwrap(), state);
        self.changed.notify_all();
        before
    }

    /// Waits as long as there is no answer, as the log is heard: on the thread that reads.
    fn pass(&self) {
        let state = self.state.lock().unwrap();
        let waits = |state: &mut State| *state == State::WaitsForAnswer;
        let (mut state, waited) = self.changed.wait_timeout_while(state, LIMIT, waits).unwrap();
        if waited.timed_out() {
            *state = State::Late;
        }
    }

    fn listen() {
        static LISTENS: OnceLock<()> = OnceLock::new();
        LISTENS.get_or_init(|| tracing::subscriber::set_global_default(Listener).unwrap());
    }
}

/// Hears the warnings of PostgreSQL on every thread, and nothing else.
struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::postgres::notice"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        BARRIER.pass();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_slot_is_free_before_the_rest_of_a_large_answer_is_read() {
    Barrier::listen();
    for in_transaction in [false, true] {
        let installation = with_one_connection(&[WARN]).await;
        installation.create("acme").await;
        let acme = installation.db("acme").await;
        let mut outside = installation.outside().await;
        let many = "SELECT warn(number) FROM generate_series(1, 20) AS number";
        let warnings_wait = async |outside: &mut PgConnection| {
            while running(outside, many).await > 0 {}
            BARRIER.set(State::WaitsForAnswer);
        };

        if in_transaction {
            let mut tx = acme.begin().await.unwrap();
            let mut rows = sqlx::query(many).fetch(&mut *tx);
            rows.next().await.unwrap().unwrap();
            warnings_wait(&mut outside).await;
        } else {
            let mut rows = sqlx::query(many).fetch(&acme);
            rows.next().await.unwrap().unwrap();
            warnings_wait(&mut outside).await;
        }
        assert_eq!(text(&acme, "SELECT 'fine'").await, "fine");
        assert_eq!(BARRIER.set(State::GoesOn), State::WaitsForAnswer, "the next request waited for all rows");
    }
}
