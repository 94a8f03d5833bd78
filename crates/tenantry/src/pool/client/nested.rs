//! A transaction of tokio-postgres inside of a transaction, or of a session that is held.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::checkout::ClientCheckout;
use super::pipeline::Query;
use crate::error::Result;
use crate::pool::await_point::AwaitPoint;
use crate::pool::nesting::savepoint;
use crate::pool::purpose::Purpose;
use crate::pool::tx_options::TxOptions;

/// A transaction inside of another one, which can be undone by itself: a savepoint of PostgreSQL. On a session
/// that is held, by `acquire()`, it is a transaction in its own right.
///
/// [`commit`](Self::commit) makes what was done part of the transaction around it. Dropped, or after
/// [`rollback`](Self::rollback), nothing of it is left, and the transaction around it goes on, even after a
/// statement that failed.
///
/// ```no_run
/// # async fn example(client: tenantry::pool::TenantClient) -> tenantry::Result<()> {
/// let mut tx = client.begin().await?;
/// let mut attempt = tx.begin().await?;
/// match attempt.execute("INSERT INTO note (title) VALUES ('perhaps')", &[]).await {
///     Ok(_) => attempt.commit().await?,
///     Err(_) => attempt.rollback().await?,
/// }
/// tx.execute("INSERT INTO note (title) VALUES ('in any case')", &[]).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropped, it is rolled back"]
pub struct ClientNestedTransaction<'c> {
    checkout: &'c mut ClientCheckout,
    level: u32,
    is_open: bool,
}

impl ClientCheckout {
    /// Opens a transaction that can be undone by itself: inside of a transaction a savepoint, else a transaction.
    ///
    /// # Errors
    /// What PostgreSQL answers, for example that the transaction around it has failed already.
    pub async fn begin(&mut self) -> Result<ClientNestedTransaction<'_>> {
        let level = self.open_level(TxOptions::new()).await?;
        Ok(ClientNestedTransaction { checkout: self, level, is_open: true })
    }

    /// Opens the next level, and answers with it. The kind is that of a transaction in its own right.
    pub(super) async fn open_level(&mut self, options: TxOptions) -> Result<u32> {
        self.settle().await?;
        let level = self.nesting.depth();
        if self.is_of_its_own(level) {
            // Cut off, it may have begun: the next who uses the session ends it, and so does cleaning.
            self.lease.touch();
            self.nesting.drop_from(0);
            self.command(AwaitPoint::Begin, &options.begin()).await?;
            self.nesting.settle();
        } else {
            self.send(Query::Batch(&format!("SAVEPOINT {}", savepoint(level)))).await?;
        }
        self.nesting.enter(level);
        Ok(level)
    }

    /// Makes what was done in a level part of what is around it.
    pub(super) async fn commit_level(&mut self, level: u32) -> Result<()> {
        self.settle().await?;
        self.keep(level).await?;
        self.nesting.leave(level);
        Ok(())
    }

    /// Undoes what was done in a level, and what was dropped inside of it.
    pub(super) async fn roll_back_level(&mut self, level: u32) -> Result<()> {
        self.undo(level).await?;
        self.nesting.settle();
        self.nesting.leave(level);
        Ok(())
    }

    /// Undoes what was dropped, before anything else is sent.
    pub(super) async fn settle(&mut self) -> Result<()> {
        if let Some(level) = self.nesting.dropped() {
            self.undo(level).await?;
            self.nesting.settle();
        }
        Ok(())
    }

    async fn undo(&mut self, level: u32) -> Result<()> {
        if self.is_of_its_own(level) {
            return self.command(AwaitPoint::Rollback, "ROLLBACK").await;
        }
        let name = savepoint(level);
        let undo = format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}");
        self.send(Query::Batch(&undo)).await.map(drop)
    }

    async fn keep(&mut self, level: u32) -> Result<()> {
        if self.is_of_its_own(level) {
            return self.command(AwaitPoint::Commit, "COMMIT").await;
        }
        self.send(Query::Batch(&format!("RELEASE SAVEPOINT {}", savepoint(level)))).await.map(drop)
    }

    /// Returns true if the transaction of this level is none of somebody around it.
    fn is_of_its_own(&self, level: u32) -> bool {
        level == 0 && self.purpose != Purpose::Transaction
    }
}

impl ClientNestedTransaction<'_> {
    /// Makes what was done part of the transaction around it; on a session, permanent.
    ///
    /// # Errors
    /// What PostgreSQL answers. Nothing of it is left then.
    pub async fn commit(mut self) -> Result<()> {
        self.checkout.commit_level(self.level).await?;
        self.is_open = false;
        Ok(())
    }

    /// Undoes what was done since it began.
    ///
    /// # Errors
    /// If the connection was lost. The server has undone everything then as well.
    pub async fn rollback(mut self) -> Result<()> {
        self.checkout.roll_back_level(self.level).await?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for ClientNestedTransaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.checkout.nesting.drop_from(self.level);
        }
    }
}

impl Deref for ClientNestedTransaction<'_> {
    type Target = ClientCheckout;

    fn deref(&self) -> &ClientCheckout {
        self.checkout
    }
}

impl DerefMut for ClientNestedTransaction<'_> {
    fn deref_mut(&mut self) -> &mut ClientCheckout {
        self.checkout
    }
}

impl fmt::Debug for ClientNestedTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientNestedTransaction").field("level", &self.level).finish_non_exhaustive()
    }
}
