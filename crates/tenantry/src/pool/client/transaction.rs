//! A transaction on a connection of tokio-postgres.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::checkout::ClientCheckout;
use crate::error::Result;
use crate::pool::await_point::AwaitPoint;
use crate::pool::tx_options::TxOptions;

/// A transaction for one tenant or for the master schema.
///
/// [`commit`](Self::commit) or [`rollback`](Self::rollback) ends it. A transaction that is dropped is rolled
/// back in the background, and the server confirms that before anybody else gets its connection.
///
/// On a connection that has to be switched, the switch and the `BEGIN` travel with the first statement, so
/// that a missing schema is an error of that statement, not of `begin`.
///
/// ```no_run
/// # async fn example(client: tenantry::pool::TenantClient) -> tenantry::Result<()> {
/// let mut tx = client.begin().await?;
/// tx.execute("INSERT INTO note (title) VALUES ($1)", &[&"first"]).await?;
/// tx.execute("INSERT INTO note (title) VALUES ($1)", &[&"second"]).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
pub struct ClientTransaction {
    checkout: ClientCheckout,
}

impl ClientTransaction {
    pub(super) async fn open(mut checkout: ClientCheckout, options: TxOptions) -> Result<Self> {
        if !checkout.begins_with_switch(options) {
            checkout.command(AwaitPoint::Begin, &options.begin()).await?;
        }
        Ok(Self { checkout })
    }

    /// Makes what was done permanent.
    ///
    /// # Errors
    /// What PostgreSQL answers, for example a violated deferred constraint; nothing is permanent then.
    pub async fn commit(mut self) -> Result<()> {
        self.checkout.settle().await?;
        self.end(AwaitPoint::Commit, "COMMIT").await
    }

    /// Undoes what was done and keeps the connection.
    ///
    /// # Errors
    /// If the connection was lost. The server has undone everything then as well.
    pub async fn rollback(self) -> Result<()> {
        self.end(AwaitPoint::Rollback, "ROLLBACK").await
    }

    async fn end(mut self, place: AwaitPoint, sql: &'static str) -> Result<()> {
        // Without a statement, the transaction was never opened.
        if self.checkout.is_in_transaction() { self.checkout.command(place, sql).await } else { Ok(()) }
    }
}

impl Deref for ClientTransaction {
    type Target = ClientCheckout;

    fn deref(&self) -> &ClientCheckout {
        &self.checkout
    }
}

impl DerefMut for ClientTransaction {
    fn deref_mut(&mut self) -> &mut ClientCheckout {
        &mut self.checkout
    }
}

impl fmt::Debug for ClientTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTransaction").finish_non_exhaustive()
    }
}
