//! Transactions in the way of Diesel: a closure, at the end of which it is decided.
//!
//! A future may be dropped in the middle of the closure, and the handle goes on. Diesel's own connection is then still
//! in the transaction, and whatever runs on it is lost in the end. Here the handle is told, and goes on outside of it.

use std::fmt;

use diesel::QueryResult;
use diesel::result::Error;

use super::connection::{Abandoned, Connection};
use crate::pool::tx_options::{IsolationLevel, TxOptions};

/// The `TransactionManager` of the handles for Diesel.
#[derive(Clone, Copy, Debug)]
pub struct DieselTransactionManager;

/// A transaction that is about to begin: what is left out is as the server has it.
///
/// ```no_run
/// # async fn example(mut db: tenantry::pool::TenantDiesel) -> tenantry::Result<()> {
/// use diesel_async::RunQueryDsl as _;
///
/// let delete = diesel::sql_query("DELETE FROM note");
/// let count = db
///     .build_transaction()
///     .serializable()
///     .run(async |db| delete.execute(db).await)
///     .await?;
/// # let _ = count;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens until `run`"]
pub struct DieselTransaction<'a, C> {
    db: &'a mut C,
    options: TxOptions,
}

/// A handle that has a connection.
pub(super) trait HasConnection: Send {
    fn connection(&mut self) -> &mut Connection;
}

/// A closure of the caller's whose future can be sent, which nobody can say of an `AsyncFnOnce` alone.
pub trait TransactionWork<T, R>:
    AsyncFnOnce(T) -> R + FnOnce(T) -> <Self as TransactionWork<T, R>>::Running
{
    /// The future.
    type Running: Future<Output = R>;
}

impl<F, T, R, Running> TransactionWork<T, R> for F
where
    F: AsyncFnOnce(T) -> R + FnOnce(T) -> Running,
    Running: Future<Output = R>,
{
    type Running = Running;
}

impl<'a, C> DieselTransaction<'a, C> {
    pub(super) fn new(db: &'a mut C) -> Self {
        Self { db, options: TxOptions::new() }
    }

    /// Refuses statements that write.
    pub fn read_only(mut self) -> Self {
        self.options = self.options.read_only();
        self
    }

    /// Waits at the beginning until it can neither fail with a serialization failure nor cause one, if it is
    /// serializable and read-only.
    pub fn deferrable(mut self) -> Self {
        self.options = self.options.deferrable();
        self
    }

    /// Has each statement see what was committed before it began.
    pub fn read_committed(self) -> Self {
        self.isolation(IsolationLevel::ReadCommitted)
    }

    /// Has all statements see what was committed before the first of them.
    pub fn repeatable_read(self) -> Self {
        self.isolation(IsolationLevel::RepeatableRead)
    }

    /// Has it run as if transactions ran one after the other.
    pub fn serializable(self) -> Self {
        self.isolation(IsolationLevel::Serializable)
    }

    fn isolation(mut self, level: IsolationLevel) -> Self {
        self.options = self.options.isolation(level);
        self
    }
}

#[expect(private_bounds, reason = "there are two, both of this crate")]
impl<C: HasConnection> DieselTransaction<'_, C> {
    /// Runs the closure in the transaction, which is committed if it answers with `Ok`.
    ///
    /// # Errors
    /// What the closure answers, after the transaction was rolled back; what PostgreSQL answers to `BEGIN` and
    /// `COMMIT`; [`AlreadyInTransaction`](Error::AlreadyInTransaction) inside of another.
    pub async fn run<R, E, F>(self, work: F) -> Result<R, E>
    where
        for<'r> F: AsyncFnOnce(&'r mut C) -> Result<R, E>
            + TransactionWork<&'r mut C, Result<R, E>, Running: Send>
            + Send,
        E: From<Error> + Send,
        R: Send,
    {
        if self.db.connection().depth()? > 0 {
            return Err(Error::AlreadyInTransaction.into());
        }
        run(self.db, self.options, work).await
    }
}

/// Runs a closure in a transaction of its own, or behind a savepoint.
pub(super) async fn run<C, R, E, F>(db: &mut C, options: TxOptions, work: F) -> Result<R, E>
where
    C: HasConnection,
    for<'r> F: AsyncFnOnce(&'r mut C) -> Result<R, E>
        + TransactionWork<&'r mut C, Result<R, E>, Running: Send>
        + Send,
    E: From<Error> + Send,
    R: Send,
{
    let connection = db.connection();
    connection.begin(options).await?;
    let level = connection.depth()?.saturating_sub(1);
    let open = Open { level: Some(level), abandoned: connection.abandoned() };
    let done = work(&mut *db).await;
    let ended = match &done {
        Ok(_) => db.connection().commit().await,
        Err(_) => db.connection().roll_back().await,
    };
    open.close();
    close(done, ended)
}

/// A failed rollback says less than what it was for, and the transaction is over in any case.
fn close<R, E: From<Error>>(done: Result<R, E>, ended: QueryResult<()>) -> Result<R, E> {
    let answer = done?;
    ended?;
    Ok(answer)
}

/// A transaction that is open. Dropped, it leaves a note.
struct Open {
    /// `None` when it has ended.
    level: Option<u32>,
    abandoned: Abandoned,
}

impl Open {
    fn close(mut self) {
        self.level = None;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(level) = self.level {
            self.abandoned.note(level);
        }
    }
}

impl<C> fmt::Debug for DieselTransaction<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DieselTransaction").field("options", &self.options).finish_non_exhaustive()
    }
}
