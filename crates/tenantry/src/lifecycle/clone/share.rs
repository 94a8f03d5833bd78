//! Decides how many sessions make a clone, and in how many transactions.

use sqlx::PgConnection;

use super::Cloning;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::sizes;

/// The bytes of tables from which on several sessions are sooner done than one, in spite of what they cost to begin.
const LARGE: i64 = 16 << 20;

impl Cloning<'_> {
    /// Returns true if several sessions share the work. SQL that makes the clone anonymous is to run before the rows
    /// are committed, which only one session can do.
    pub(super) async fn is_for_several(&self, connection: &mut PgConnection) -> Result<bool> {
        let (source, clone, options) = (self.pair.source, self.pair.clone, self.pair.options);
        let is_possible = source.database() == clone.database() && options.sessions() > 1;
        if !is_possible || !options.has_rows() || self.script.is_some() {
            return Ok(false);
        }
        let bytes: i64 = sizes(connection, source.schema()).await?.values().sum();
        Ok(bytes >= pretended().unwrap_or(LARGE))
    }

    /// # Errors
    /// [`ErrorKind::Unsupported`] if rows were to be committed before the SQL runs that makes them anonymous, and
    /// nobody has allowed it.
    pub(super) fn check_pieces(&self, fits: bool) -> Result<()> {
        let (source, options) = (self.pair.source, self.pair.options);
        if fits || self.script.is_none() || options.may_commit_before() {
            return Ok(());
        }
        let message = format!(
            "tenant `{}` cannot be cloned: it has more tables than one transaction has locks for, so its rows would be \
             committed before they are anonymous",
            source.slug()
        );
        let hint =
            "raise `max_locks_per_transaction`, or allow it with `--in-pieces`, if nobody else reads there";
        Err(Error::new(ErrorKind::Unsupported, message).with_tenant(source.slug()).with_hint(hint))
    }
}

/// The bytes that a test says are many.
#[cfg(test)]
fn pretended() -> Option<i64> {
    std::env::var("TENANTRY_MANY_BYTES").ok()?.parse().ok()
}

#[cfg(not(test))]
const fn pretended() -> Option<i64> {
    None
}
