//! The only way to a leased connection, which marks it busy while somebody is on it.
//!
//! A future may be dropped at any `.await`. Whoever has begun an exchange and was dropped before its end
//! leaves the mark behind, and what becomes of the connection then is decided when the lease is dropped.

use std::ops::{Deref, DerefMut};

use super::{Condition, Lease};
use crate::error::{Error, ErrorKind, breaks_connection, is_refused_write, makes_unfit};
use crate::guard::{Guard, stands};
use crate::pool::driver::Driver;
use crate::pool::pooled::Pooled;
use crate::pool::session::SessionState;
use crate::pool::slots::{Slot, Slots};

/// Work that a connection is busy with.
///
/// | | cut off | failed |
/// | --- | --- | --- |
/// | `Statement` | somebody else may read the rest of its answer | is an answer like any other |
/// | `Call` | closes the connection | is an answer like any other |
/// | `Boundary` | closes the connection | closes the connection |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pool) enum Activity {
    /// A statement of a user's.
    Statement,
    /// Something of the driver's or of ours that nobody else can bring to its end.
    Call,
    /// The beginning or the end of what a session is prepared for: a switch, `BEGIN`, `COMMIT`. When it has
    /// failed, nobody knows on which side of it the session is.
    Boundary,
}

/// An error that may have taken the connection with it.
pub(in crate::pool) trait BreaksConnection {
    fn breaks_connection(&self) -> bool;

    /// Returns true if the connection answers and is of no further use.
    fn makes_unfit(&self) -> bool;

    /// Returns true if the server refused a write, because the transaction is read-only.
    fn is_refused_write(&self) -> bool;

    /// Says what the error means, of which it is the source.
    fn explained_by(self, explanation: Error) -> Self;
}

impl BreaksConnection for Error {
    fn breaks_connection(&self) -> bool {
        self.kind() == ErrorKind::DatabaseUnavailable
    }

    fn makes_unfit(&self) -> bool {
        Self::makes_unfit(self)
    }

    fn is_refused_write(&self) -> bool {
        Self::is_refused_write(self)
    }

    fn explained_by(self, explanation: Self) -> Self {
        explanation.with_source(self)
    }
}

impl BreaksConnection for sqlx::Error {
    fn breaks_connection(&self) -> bool {
        breaks_connection(self)
    }

    fn makes_unfit(&self) -> bool {
        makes_unfit(self)
    }

    fn is_refused_write(&self) -> bool {
        is_refused_write(self)
    }

    fn explained_by(self, explanation: Error) -> Self {
        explanation.with_source(self).into()
    }
}

/// A connection on which something is under way.
///
/// Dropped before [`finish`](Self::finish) or [`fail`](Self::fail), it leaves the lease busy.
#[must_use = "dropped, it leaves the connection to be drained or closed"]
pub(in crate::pool) struct Exchange<'a, D: Driver> {
    slots: &'a Slots<D>,
    connection: &'a mut D::Connection,
    session: &'a SessionState,
    activity: Activity,
    busy_with: &'a mut Option<Activity>,
    condition: &'a mut Condition,
}

impl<D: Driver> Lease<D> {
    /// Runs `middle` on the connection, which is busy until that has ended.
    pub(in crate::pool) async fn exchange<T, E: BreaksConnection>(
        &mut self,
        activity: Activity,
        middle: impl AsyncFnOnce(&D, &mut D::Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let exchange = self.begin(activity);
        match middle(&exchange.slots.driver, &mut *exchange.connection).await {
            Ok(answer) => {
                exchange.finish();
                Ok(answer)
            }
            Err(error) => Err(exchange.fail(error)),
        }
    }

    /// Begins an exchange that no function can enclose, such as that of a stream, which yields in the middle.
    pub(in crate::pool) fn begin(&mut self, activity: Activity) -> Exchange<'_, D> {
        if stands(Guard::BusyFlag) {
            self.activity = Some(activity);
        }
        let Self { slot: Slot { slots, pooled, .. }, activity: busy_with, condition, .. } = self;
        let pooled = pooled.as_mut().expect("a lease has a connection until it is dropped");
        let Pooled { connection, session, .. } = pooled;
        Exchange { slots, connection, session, activity, busy_with, condition }
    }
}

impl<D: Driver> Exchange<'_, D> {
    /// Lets somebody else read the rest of the answer, if this one is dropped: it is a
    /// [`Statement`](Activity::Statement) after all.
    #[cfg(feature = "tokio-postgres")]
    pub(in crate::pool) fn allow_draining(&mut self) {
        self.activity = Activity::Statement;
        if let Some(busy_with) = self.busy_with {
            *busy_with = self.activity;
        }
    }

    /// The answer was read to its end.
    pub(in crate::pool) fn finish(self) {
        *self.busy_with = None;
    }

    /// The answer was an error, and here is judged whether the connection survives it.
    pub(in crate::pool) fn fail<E: BreaksConnection>(self, error: E) -> E {
        let refused_write = self.session.last().and_then(|last| last.refused_write());
        // Refused for the tenant's sake: the server would write.
        if let Some(explanation) = refused_write.filter(|_| error.is_refused_write()) {
            if self.activity != Activity::Boundary {
                self.finish();
            }
            return error.explained_by(explanation);
        }
        if self.activity == Activity::Boundary || error.breaks_connection() {
            return self.give_up(error);
        }
        if error.makes_unfit() {
            *self.condition = (*self.condition).max(Condition::Unfit);
        }
        self.finish();
        error
    }

    /// The connection is in doubt, whatever the error was. If it is lost, others to the same server are
    /// asked before they are used again.
    pub(in crate::pool) fn give_up<E: BreaksConnection>(self, error: E) -> E {
        if error.breaks_connection() {
            *self.condition = Condition::Broken;
            self.slots.doubt_idle();
        }
        error
    }
}

impl<D: Driver> Deref for Exchange<'_, D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        self.connection
    }
}

impl<D: Driver> DerefMut for Exchange<'_, D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        self.connection
    }
}
