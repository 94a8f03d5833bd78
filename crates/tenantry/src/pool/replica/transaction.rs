use std::fmt;

use crate::pool::checkout::Checkout;
use crate::pool::transaction::Transaction;

/// A transaction that only reads, of a tenant, on a replica or on its primary.
///
/// Statements run on `&mut tx`. Dropped, it ends in the background, and the server confirms that before anybody else
/// gets its connection.
///
/// ```no_run
/// # async fn example(replica: tenantry::TenantReadDb) -> Result<(), sqlx::Error> {
/// use tenantry::pool::{IsolationLevel, TxOptions};
///
/// let mut tx = replica.begin_with(TxOptions::new().isolation(IsolationLevel::RepeatableRead)).await?;
/// let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&mut tx).await?;
/// let longest: Option<i32> = sqlx::query_scalar("SELECT max(length(title)) FROM note").fetch_one(&mut tx).await?;
/// # let _ = (notes, longest);
/// tx.end().await?;
/// # Ok(())
/// # }
/// ```
///
/// A replica ends a transaction that is in the way of what it replays, after `max_standby_streaming_delay`. The next
/// statement then fails, and so may one that runs at that time, with an error that is
/// [retryable](crate::Error::is_retryable): begin again.
pub struct ReadTransaction {
    transaction: Transaction,
}

impl ReadTransaction {
    pub(super) fn of(transaction: Transaction) -> Self {
        Self { transaction }
    }

    #[cfg(feature = "sea-orm")]
    pub(in crate::pool) fn into_transaction(self) -> Transaction {
        self.transaction
    }

    pub(super) fn checkout(&mut self) -> &mut Checkout {
        &mut self.transaction
    }

    /// Ends it and keeps the connection.
    ///
    /// # Errors
    /// If the connection was lost. Nothing was written that could be.
    pub async fn end(self) -> Result<(), sqlx::Error> {
        self.transaction.rollback().await
    }
}

impl fmt::Debug for ReadTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadTransaction").finish_non_exhaustive()
    }
}
