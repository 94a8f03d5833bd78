use std::fmt;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sea_orm::{DbErr, TransactionError};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::nest::{Nest, Number, over};
use super::statement::execution_failed;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::replica::{ReadTransaction, refuse_write_mode};
use crate::pool::statement::Statement;
use crate::pool::transaction::Transaction;

/// A transaction of `SeaORM` for one tenant or for the master schema, or a savepoint in one.
///
/// `SeaORM` passes it by reference to whatever runs statements, several at a time: they wait for each other. `begin()`
/// on it is a savepoint, with a transaction of its own. That one has the say until it ends: statements on what is
/// around it are refused meanwhile, because they would be undone with it.
///
/// Dropped, it is rolled back: a savepoint before the next statement runs, the outermost transaction in the
/// background, and the server confirms that before anybody else gets its connection.
///
/// ```no_run
/// # async fn example(db: tenantry::TenantDb) -> tenantry::Result<()> {
/// use sea_orm::ConnectionTrait as _;
/// use sea_orm::TransactionTrait as _;
/// use tenantry::pool::OrmTransaction;
///
/// let tx = OrmTransaction::from(db.begin().await?);
/// tx.execute_unprepared("INSERT INTO note (title) VALUES ('in any case')").await?;
/// let attempt = tx.begin().await?;
/// match attempt.execute_unprepared("INSERT INTO note (title) VALUES ('perhaps')").await {
///     Ok(_) => attempt.commit().await?,
///     Err(_) => attempt.rollback().await?,
/// }
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
///
/// The handles have a `begin()` of their own, for sqlx, which `TransactionTrait` does not hide: what it answers with
/// becomes a transaction of `SeaORM` by [`From`], as above. `begin_with_config` and `transaction` are `SeaORM`'s.
///
/// While a [stream](sea_orm::StreamTrait) is read, other statements of the transaction wait for its end. Those that
/// wait for longer than [`acquire_timeout`](crate::PoolConfig::acquire_timeout), as a loop over the stream would that
/// runs them itself, fail with [`ErrorKind::PoolTimeout`].
#[must_use = "dropped, it is rolled back"]
pub struct OrmTransaction {
    shared: Arc<Common>,
    number: Number,
    is_open: bool,
}

/// The connection, which all transactions share that are inside of one another.
struct Common {
    /// `None` when the outermost has ended.
    transaction: Mutex<Option<Transaction>>,
    nest: std::sync::Mutex<Nest>,
    is_streaming: AtomicBool,
    only_reads: bool,
    /// The longest wait for a stream.
    patience: Duration,
}

/// The connection, for one statement.
pub(super) type Turn<'a> = MappedMutexGuard<'a, Transaction>;

/// The time for which a stream is read.
pub(super) struct Streaming<'a>(&'a AtomicBool);

impl From<Transaction> for OrmTransaction {
    fn from(transaction: Transaction) -> Self {
        Self::outermost(transaction, false)
    }
}

impl From<ReadTransaction> for OrmTransaction {
    fn from(transaction: ReadTransaction) -> Self {
        Self::outermost(transaction.into_transaction(), true)
    }
}

impl OrmTransaction {
    fn outermost(transaction: Transaction, only_reads: bool) -> Self {
        let shared = Common {
            patience: transaction.pool.acquire_timeout(),
            transaction: Mutex::new(Some(transaction)),
            nest: std::sync::Mutex::default(),
            is_streaming: AtomicBool::new(false),
            only_reads,
        };
        Self { shared: Arc::new(shared), number: Number::OUTERMOST, is_open: true }
    }

    /// Opens a transaction inside of this one.
    pub(super) async fn nested(&self) -> Result<Self, sqlx::Error> {
        let mut turn = self.turn().await?;
        turn.enter().await?;
        let number = self.shared.nest().enter();
        Ok(Self { shared: Arc::clone(&self.shared), number, is_open: true })
    }

    /// Makes what was done permanent; inside of another transaction, part of that.
    ///
    /// # Errors
    /// What PostgreSQL answers, for example a violated deferred constraint. Nothing of it is left then, nor if a
    /// transaction inside of it is open, which is [`ErrorKind::Unsupported`].
    pub async fn commit(self) -> Result<(), DbErr> {
        self.keep().await.map_err(execution_failed)
    }

    /// Undoes what was done since it began, together with whatever is open inside of it.
    ///
    /// # Errors
    /// If the connection was lost. The server has undone everything then as well.
    pub async fn rollback(self) -> Result<(), DbErr> {
        self.undo().await.map_err(execution_failed)
    }

    async fn keep(mut self) -> Result<(), sqlx::Error> {
        if self.is_outermost() {
            let transaction = self.locked(Nest::check).await?.take().ok_or_else(over)?;
            self.close();
            return transaction.commit().await;
        }
        let mut turn = self.turn().await?;
        let level = self.level()?;
        turn.commit_level(level).await?;
        drop(turn);
        self.close();
        Ok(())
    }

    async fn undo(mut self) -> Result<(), sqlx::Error> {
        let Ok(mut locked) = self.locked(Nest::check_open).await else {
            // Undone already, by what is around it.
            return Ok(());
        };
        if self.is_outermost() {
            let transaction = locked.take();
            drop(locked);
            self.close();
            return match transaction {
                Some(transaction) => transaction.rollback().await,
                None => Ok(()),
            };
        }
        let level = self.level()?;
        locked.as_mut().ok_or_else(over)?.roll_back_level(level).await?;
        drop(locked);
        self.close();
        Ok(())
    }

    /// Runs a function of the caller's to the end of the transaction: a commit, or a rollback if it fails.
    pub(super) async fn run<F, T, E>(self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        E: fmt::Display + fmt::Debug,
    {
        match callback(&self).await {
            Ok(value) => {
                self.commit().await.map_err(TransactionError::Connection)?;
                Ok(value)
            }
            Err(error) => {
                // The caller's error says more than that of a connection that was lost.
                let _ = self.rollback().await;
                Err(TransactionError::Transaction(error))
            }
        }
    }

    /// The connection, as soon as no other statement is on it.
    pub(super) async fn turn(&self) -> Result<Turn<'_>> {
        let locked = self.locked(Nest::check).await?;
        MutexGuard::try_map(locked, Option::as_mut).map_err(|_| over())
    }

    /// The connection for this statement.
    pub(super) async fn turn_for(&self, statement: &Statement) -> Result<Turn<'_>> {
        if self.shared.only_reads {
            refuse_write_mode(statement.sql())?;
        }
        self.turn().await
    }

    /// Notes that a stream is being read.
    pub(super) fn begin_stream(&self) -> Streaming<'_> {
        self.shared.is_streaming.store(true, Ordering::Relaxed);
        Streaming(&self.shared.is_streaming)
    }

    async fn locked(
        &self,
        check: fn(&Nest, Number) -> Result<()>,
    ) -> Result<MutexGuard<'_, Option<Transaction>>> {
        let mut locked = self.shared.lock().await?;
        let mut nest = self.shared.nest();
        if nest.is_over() {
            *locked = None;
        }
        check(&nest, self.number)?;
        if let (Some(level), Some(transaction)) = (nest.take_dropped(), locked.as_mut()) {
            transaction.nesting.drop_from(level);
        }
        drop(nest);
        Ok(locked)
    }

    fn is_outermost(&self) -> bool {
        self.number == Number::OUTERMOST
    }

    fn level(&self) -> Result<u32> {
        self.shared.nest().level(self.number).ok_or_else(over)
    }

    fn close(&mut self) {
        self.is_open = false;
        self.shared.nest().leave(self.number);
    }
}

impl Common {
    async fn lock(&self) -> Result<MutexGuard<'_, Option<Transaction>>> {
        // Mostly there is one user, who needs no timer.
        if let Ok(locked) = self.transaction.try_lock() {
            return Ok(locked);
        }
        let mut lock = pin!(self.transaction.lock());
        loop {
            if let Ok(locked) = tokio::time::timeout(self.patience, lock.as_mut()).await {
                return Ok(locked);
            }
            if self.is_streaming.load(Ordering::Relaxed) {
                let message = "a stream of the same transaction is still being read";
                return Err(Error::new(ErrorKind::PoolTimeout, message)
                    .with_hint("read the stream to its end, or drop it, before the next statement"));
            }
        }
    }

    fn nest(&self) -> std::sync::MutexGuard<'_, Nest> {
        self.nest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Streaming<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Drop for OrmTransaction {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        self.shared.nest().abandon(self.number);
        // If another one is at it, whoever comes next gives the connection back.
        if self.is_outermost()
            && let Ok(mut transaction) = self.shared.transaction.try_lock()
        {
            *transaction = None;
        }
    }
}

impl fmt::Debug for OrmTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrmTransaction").field("is_outermost", &self.is_outermost()).finish_non_exhaustive()
    }
}
