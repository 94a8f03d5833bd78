//! A transaction on a connection of the pool.

use std::fmt;
use std::ops::{Deref, DerefMut};

use sqlx::postgres::Postgres;
use sqlx::{AssertSqlSafe, SqlSafeStr as _};
use sqlx_core::database::Database;
use sqlx_core::transaction::TransactionManager as _;

use super::await_point::{AwaitPoint, at};
use super::checkout::Checkout;
use super::lease::Activity;
use super::tx_options::TxOptions;

type Manager = <Postgres as Database>::TransactionManager;

/// A transaction for one tenant or for the master schema.
///
/// Statements run on `&mut *tx`. [`commit`](Self::commit) or [`rollback`](Self::rollback) ends it. A
/// transaction that is dropped is rolled back in the background, and the server confirms that before anybody
/// else gets its connection.
///
/// ```no_run
/// # async fn example(db: tenantry::TenantDb) -> Result<(), sqlx::Error> {
/// let mut tx = db.begin().await?;
/// sqlx::query("INSERT INTO note (title) VALUES ($1)").bind("first").execute(&mut *tx).await?;
/// sqlx::query("INSERT INTO note (title) VALUES ($1)").bind("second").execute(&mut *tx).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
pub struct Transaction {
    checkout: Checkout,
}

impl Transaction {
    /// Begins on a connection that was taken for a transaction.
    pub(super) async fn open(mut checkout: Checkout, options: TxOptions) -> Result<Self, sqlx::Error> {
        // Behind a pooler the checkout began it.
        if !checkout.pool.is_behind_pooler() {
            let begin = checkout.lease.exchange(Activity::Boundary, async |_, connection| {
                let begin = AssertSqlSafe(options.begin()).into_sql_str();
                at(AwaitPoint::Begin, Manager::begin(connection, Some(begin))).await
            });
            begin.await?;
        }
        Ok(Self { checkout })
    }

    /// Makes what was done permanent.
    ///
    /// # Errors
    /// What PostgreSQL answers, for example a violated deferred constraint; nothing is permanent then.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.checkout.settle().await?;
        if self.checkout.pool.is_behind_pooler() {
            return self.checkout.commit_behind_pooler().await;
        }
        let commit = self.checkout.lease.exchange(Activity::Boundary, async |_, connection| {
            at(AwaitPoint::Commit, Manager::commit(connection)).await
        });
        commit.await
    }

    /// Undoes what was done and keeps the connection.
    ///
    /// # Errors
    /// If the connection was lost. The server has undone everything then as well.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.checkout.check_step()?;
        if self.checkout.pool.is_behind_pooler() {
            return self.checkout.roll_back_behind_pooler().await;
        }
        let rollback = self.checkout.lease.exchange(Activity::Boundary, async |_, connection| {
            at(AwaitPoint::Rollback, Manager::rollback(connection)).await
        });
        rollback.await
    }
}

impl Deref for Transaction {
    type Target = Checkout;

    fn deref(&self) -> &Checkout {
        &self.checkout
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Checkout {
        &mut self.checkout
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}
