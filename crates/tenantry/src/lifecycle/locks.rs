//! Compares the locks that work on a schema takes with those that the server has left.

use sqlx::PgConnection;

use crate::error::{Error, ErrorKind, Result};

/// The locks that the copy of a table takes in its one transaction, with its indexes, its sequence, and its source.
const TO_COPY: usize = 29;

/// The locks that reading a table takes, with those of its long values, and of `pg_dump` beside it.
const TO_READ: usize = 4;

/// The locks of a server.
struct LockRoom {
    /// The transactions among which they are counted.
    transactions: usize,
    all: usize,
    /// The locks that somebody holds at this moment.
    held: usize,
}

impl LockRoom {
    async fn of(connection: &mut PgConnection) -> Result<Self> {
        let (per_transaction, transactions, held): (i32, i32, i64) = sqlx::query_as(
            "SELECT pg_catalog.current_setting('max_locks_per_transaction')::int, \
                 pg_catalog.current_setting('max_connections')::int \
                 + pg_catalog.current_setting('max_prepared_transactions')::int, \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks WHERE NOT fastpath)",
        )
        .fetch_one(connection)
        .await?;
        let [per_transaction, transactions] =
            [per_transaction, transactions.max(1)].map(|count| count.unsigned_abs() as usize);
        let held = usize::try_from(held).unwrap_or_default();
        Ok(Self { transactions, all: per_transaction * transactions, held })
    }

    fn fits(&self, locks: usize) -> bool {
        locks + self.held <= self.all
    }

    /// # Errors
    /// [`ErrorKind::Unsupported`] if there are not so many left.
    fn check(&self, what: &str, tables: usize, of_each: usize) -> Result<()> {
        let locks = tables * of_each;
        if self.fits(locks) {
            return Ok(());
        }
        let message = format!("{what} its {tables} tables would take more locks than the server has");
        let needed = (locks + self.held).div_ceil(self.transactions);
        Err(Error::new(ErrorKind::Unsupported, message).with_hint(format!(
            "set `max_locks_per_transaction` to {needed} or more, and restart the server"
        )))
    }
}

/// # Errors
/// [`ErrorKind::Unsupported`] if the locks of so many tables do not fit the server's table of locks.
pub(super) async fn check_locks(connection: &mut PgConnection, source: &str, tables: usize) -> Result<()> {
    LockRoom::of(connection).await?.check(&format!("{source}: a copy of"), tables, TO_COPY)
}

/// # Errors
/// [`ErrorKind::Unsupported`] if so many tables cannot be read at one moment.
pub(super) async fn check_readable(connection: &mut PgConnection, source: &str, tables: usize) -> Result<()> {
    LockRoom::of(connection).await?.check(&format!("{source}: reading"), tables, TO_READ)
}

/// Returns true if one transaction can make so many tables.
pub(super) async fn fits_transaction(connection: &mut PgConnection, tables: usize) -> Result<bool> {
    let mut room = LockRoom::of(connection).await?;
    if let Some(all) = pretended() {
        (room.all, room.held) = (all, 0);
    }
    Ok(room.fits(tables * TO_COPY))
}

/// The locks that a test says the server has.
#[cfg(test)]
fn pretended() -> Option<usize> {
    std::env::var("TENANTRY_LOCKS").ok()?.parse().ok()
}

#[cfg(not(test))]
const fn pretended() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_tables_fit_a_server_as_it_is_installed() {
        let room = LockRoom { transactions: 100, all: 6_400, held: 0 };
        assert!(room.fits(200 * TO_COPY));
        assert!(!room.fits(250 * TO_COPY));
        assert!(room.check("reading", 1_500, TO_READ).is_ok());
        let full = LockRoom { held: 1_000, ..room };
        assert!(!full.fits(200 * TO_COPY));
        let error = full.check("tenant `acme`: reading", 1_500, TO_READ);
        let said = error.as_ref().err().and_then(Error::hint);
        assert_eq!(said, Some("set `max_locks_per_transaction` to 70 or more, and restart the server"));
    }
}
