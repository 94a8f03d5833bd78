use std::time::Duration;

use uuid::Uuid;

use crate::sql::Literal;

/// The longest that a transaction which changes several tenants is meant to take.
pub(super) const LONGEST_HOLD: Duration = Duration::from_millis(50);

/// The limits of a migration's transaction. `-- no-transaction` files have none: they are made to
/// wait for others and to take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest wait of a statement for a lock: PostgreSQL's `lock_timeout`, in whole milliseconds.
    ///
    /// Whoever comes behind a waiting `ALTER TABLE` waits as well, were it only to read. So this is how long
    /// a tenant may stand still for its migration. Zero turns it off. Default: 3 s.
    pub lock_timeout: Duration,
    /// The longest run of a statement: PostgreSQL's `statement_timeout`, in whole milliseconds. Zero turns it
    /// off. Default: 10 min.
    pub statement_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lock_timeout: Duration::from_secs(3), statement_timeout: Duration::from_mins(10) }
    }
}

impl Limits {
    /// The limits of a transaction that changes several tenants: those that were changed first stand still while it
    /// works on the others.
    pub(super) fn for_several(self) -> Self {
        let least = |limit: Duration, most| if limit.is_zero() { most } else { limit.min(most) };
        Self {
            lock_timeout: least(self.lock_timeout, Duration::from_millis(10)),
            statement_timeout: least(self.statement_timeout, LONGEST_HOLD),
        }
    }

    /// Sets them for a transaction, whose commit does not wait for the disk: its ledger row is lost with it,
    /// so that after a crash of the server it is pending again.
    pub(super) fn render(self) -> Vec<String> {
        let commit = "SET LOCAL synchronous_commit TO off".to_owned();
        std::iter::once(commit).chain(self.timeouts()).collect()
    }

    /// Sets the timeouts alone, for a transaction.
    pub(super) fn timeouts(self) -> [String; 2] {
        [
            format!("SET LOCAL lock_timeout TO {}", milliseconds(self.lock_timeout)),
            format!("SET LOCAL statement_timeout TO {}", milliseconds(self.statement_timeout)),
        ]
    }
}

/// Rounded up: zero would turn the limit off.
fn milliseconds(duration: Duration) -> String {
    Literal(&duration.as_nanos().div_ceil(1_000_000).to_string()).to_string()
}

/// The terms on which a run changes a schema that is in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) limits: Limits,
    /// Held by the one run that may migrate the fleet.
    pub(super) token: Uuid,
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

    #[test]
    fn several_tenants_wait_briefly_whatever_the_limits_are() {
        let of = |lock, statement| {
            let limits = Limits {
                lock_timeout: Duration::from_millis(lock),
                statement_timeout: Duration::from_millis(statement),
            };
            let several = limits.for_several();
            (several.lock_timeout.as_millis(), several.statement_timeout.as_millis())
        };
        assert_eq!(of(0, 0), (10, 50));
        assert_eq!(of(3_000, 600_000), (10, 50));
        assert_eq!(of(2, 7), (2, 7));
    }
}
