use std::num::NonZeroU32;
use std::time::Duration;

use super::fleet::Fleet;
use crate::sql::Literal;

/// What is migrated, and how much of the server that may take.
///
/// A [`Fleet`] turns into options with the defaults:
///
/// ```
/// use std::num::NonZeroU32;
///
/// use tenantry::Fleet;
/// use tenantry::migrate::MigrateOptions;
///
/// let mut options = MigrateOptions::from(Fleet::all());
/// options.jobs = NonZeroU32::new(8).unwrap();
/// assert_eq!(options.limits.lock_timeout.as_secs(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct MigrateOptions {
    /// Which schemas. Default: [`Fleet::all`].
    pub fleet: Fleet,
    /// How many tenants are migrated at a time. Each takes one connection to its database, beside the
    /// pools' and one for the registry; one more while a tenant waits for a lock a second time.
    ///
    /// Default: 4.
    pub jobs: NonZeroU32,
    /// How long files may wait and run. They may set other limits for themselves.
    pub limits: Limits,
    /// How often a tenant is tried whose migration could not get a lock, or was the victim of a deadlock.
    /// Between the attempts it rests, for half a second at first and twice as long each time.
    ///
    /// Default: 4.
    pub attempts: NonZeroU32,
}

impl Default for MigrateOptions {
    fn default() -> Self {
        const FOUR: NonZeroU32 = NonZeroU32::new(4).unwrap();
        Self { fleet: Fleet::default(), jobs: FOUR, limits: Limits::default(), attempts: FOUR }
    }
}

impl From<Fleet> for MigrateOptions {
    fn from(fleet: Fleet) -> Self {
        Self { fleet, ..Self::default() }
    }
}

/// The limits of a migration's transaction. `-- no-transaction` files have none: they are made to
/// wait for others and to take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a statement may wait for a lock: PostgreSQL's `lock_timeout`, in whole milliseconds.
    ///
    /// Whoever comes behind a waiting `ALTER TABLE` waits as well, were it only to read. So this is how long
    /// a tenant may stand still for its migration. Zero turns it off. Default: 3 s.
    pub lock_timeout: Duration,
    /// How long a statement may run: PostgreSQL's `statement_timeout`, in whole milliseconds. Zero turns it
    /// off. Default: 10 min.
    pub statement_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lock_timeout: Duration::from_secs(3), statement_timeout: Duration::from_mins(10) }
    }
}

impl Limits {
    /// Sets them for a transaction, whose commit does not wait for the disk: its ledger row is lost with it,
    /// so that after a crash of the server it is pending again.
    pub(super) fn render(self) -> String {
        format!(
            "SET LOCAL synchronous_commit TO off; SET LOCAL lock_timeout TO {}; SET LOCAL statement_timeout TO {}",
            milliseconds(self.lock_timeout),
            milliseconds(self.statement_timeout)
        )
    }
}

/// Rounded up: zero would turn the limit off.
fn milliseconds(duration: Duration) -> String {
    Literal(&duration.as_nanos().div_ceil(1_000_000).to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_not_zero_does_not_become_zero() {
        assert_eq!(milliseconds(Duration::ZERO), "'0'");
        assert_eq!(milliseconds(Duration::from_nanos(1)), "'1'");
        assert_eq!(milliseconds(Duration::from_secs(3)), "'3000'");
    }
}
