//! A transaction inside of a transaction, or of a session that is held.
//!
//! Dropped, it cannot wait for the server. So it leaves a note on its checkout, and what it did is undone before
//! anything else is sent there: before the next statement, before the commit of what is around it.

use std::fmt;
use std::ops::{Deref, DerefMut};

use sqlx::AssertSqlSafe;
use sqlx::postgres::Postgres;
use sqlx_core::database::Database;
use sqlx_core::transaction::TransactionManager as _;

use super::await_point::{AwaitPoint, at};
use super::checkout::Checkout;
use super::lease::Activity;
use super::nesting::savepoint;

type Manager = <Postgres as Database>::TransactionManager;

/// A transaction inside of another one, which can be undone by itself: a savepoint of PostgreSQL. On a session
/// that is held, by `acquire()`, it is a transaction in its own right.
///
/// Statements run on `&mut *nested`. [`commit`](Self::commit) makes what was done part of the transaction
/// around it. Dropped, or after [`rollback`](Self::rollback), nothing of it is left, and the transaction around
/// it goes on, even after a statement that failed.
///
/// ```no_run
/// # async fn example(db: tenantry::TenantDb) -> Result<(), sqlx::Error> {
/// let mut tx = db.begin().await?;
/// let mut attempt = tx.begin().await?;
/// let insert = sqlx::query("INSERT INTO note (title) VALUES ('perhaps')").execute(&mut *attempt).await;
/// match insert {
///     Ok(_) => attempt.commit().await?,
///     Err(_) => attempt.rollback().await?,
/// }
/// sqlx::query("INSERT INTO note (title) VALUES ('in any case')").execute(&mut *tx).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropped, it is rolled back"]
pub struct NestedTransaction<'c> {
    checkout: &'c mut Checkout,
    level: u32,
    is_open: bool,
}

impl Checkout {
    /// Opens a transaction that can be undone by itself: inside of a transaction a savepoint, else a transaction.
    ///
    /// # Errors
    /// What PostgreSQL answers, for example that the transaction around it has failed already.
    pub async fn begin(&mut self) -> Result<NestedTransaction<'_>, sqlx::Error> {
        let level = self.enter().await?;
        Ok(NestedTransaction { checkout: self, level, is_open: true })
    }

    /// Opens a further level, and answers with its number.
    pub(super) async fn enter(&mut self) -> Result<u32, sqlx::Error> {
        self.settle().await?;
        let level = self.nesting.depth();
        if self.is_in_transaction() {
            self.command(format!("SAVEPOINT {}", savepoint(level))).await?;
        } else {
            self.begin_on_session().await?;
        }
        self.nesting.enter(level);
        Ok(level)
    }

    /// Makes what was done on a level part of the one around it.
    pub(super) async fn commit_level(&mut self, level: u32) -> Result<(), sqlx::Error> {
        self.settle().await?;
        self.keep(level).await?;
        self.nesting.leave(level);
        Ok(())
    }

    /// Undoes what was done on a level.
    pub(super) async fn roll_back_level(&mut self, level: u32) -> Result<(), sqlx::Error> {
        self.undo(level).await?;
        // What was dropped inside of it is undone with it.
        self.nesting.settle();
        self.nesting.leave(level);
        Ok(())
    }

    async fn begin_on_session(&mut self) -> Result<(), sqlx::Error> {
        // Cut off, it may have begun: the next who uses the session ends it, and so does cleaning.
        self.lease.touch();
        self.nesting.drop_from(0);
        let begin = self.lease.exchange(Activity::Boundary, async |_, connection| {
            at(AwaitPoint::Begin, Manager::begin(connection, None)).await
        });
        begin.await?;
        self.nesting.settle();
        Ok(())
    }

    /// Undoes what was dropped, before anything else is sent.
    pub(super) async fn settle(&mut self) -> Result<(), sqlx::Error> {
        self.check_step()?;
        if let Some(level) = self.nesting.dropped() {
            self.undo(level).await?;
            self.nesting.settle();
        }
        Ok(())
    }

    async fn undo(&mut self, level: u32) -> Result<(), sqlx::Error> {
        if !self.is_of_its_own(level) {
            let name = savepoint(level);
            return self.command(format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")).await;
        }
        let rollback = self.lease.exchange(Activity::Boundary, async |_, connection| {
            if Manager::get_transaction_depth(connection) > 0 {
                return at(AwaitPoint::Rollback, Manager::rollback(connection)).await;
            }
            at(AwaitPoint::Rollback, sqlx::raw_sql("ROLLBACK").execute(connection)).await.map(drop)
        });
        rollback.await
    }

    async fn keep(&mut self, level: u32) -> Result<(), sqlx::Error> {
        if !self.is_of_its_own(level) {
            return self.command(format!("RELEASE SAVEPOINT {}", savepoint(level))).await;
        }
        let commit = self.lease.exchange(Activity::Boundary, async |_, connection| {
            at(AwaitPoint::Commit, Manager::commit(connection)).await
        });
        commit.await
    }

    /// Returns true if the transaction of this level is none of somebody around it.
    fn is_of_its_own(&self, level: u32) -> bool {
        level == 0 && !self.is_a_transaction()
    }

    async fn command(&mut self, sql: String) -> Result<(), sqlx::Error> {
        let command = self.lease.exchange(Activity::Call, async |_, connection| {
            let command = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection);
            at(AwaitPoint::Statement, command).await.map(drop)
        });
        command.await
    }
}

impl NestedTransaction<'_> {
    /// Makes what was done part of the transaction around it; on a session, permanent.
    ///
    /// # Errors
    /// What PostgreSQL answers. Nothing of it is left then.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.checkout.commit_level(self.level).await?;
        self.is_open = false;
        Ok(())
    }

    /// Undoes what was done since it began.
    ///
    /// # Errors
    /// If the connection was lost. The server has undone everything then as well.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.checkout.roll_back_level(self.level).await?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for NestedTransaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.checkout.nesting.drop_from(self.level);
        }
    }
}

impl Deref for NestedTransaction<'_> {
    type Target = Checkout;

    fn deref(&self) -> &Checkout {
        self.checkout
    }
}

impl DerefMut for NestedTransaction<'_> {
    fn deref_mut(&mut self) -> &mut Checkout {
        self.checkout
    }
}

impl fmt::Debug for NestedTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NestedTransaction").field("level", &self.level).finish_non_exhaustive()
    }
}
