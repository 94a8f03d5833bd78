use std::fmt::Display;
use std::num::NonZeroU32;
use std::time::Duration;

use sqlx::postgres::PgDatabaseError;

use super::lock::jittered;
use crate::error::{Error, sqlstate};

/// The attempts that are left while others are in the way, and the pause before the next one.
#[derive(Debug)]
pub(crate) struct Patience {
    left: u32,
    pause: Duration,
}

impl Patience {
    /// Somebody waits for a new tenant, and who changes the same row of a catalog is soon done.
    pub(crate) const fn of_creation() -> Self {
        Self { left: 3, pause: Duration::from_millis(100) }
    }

    /// Of one batch, while others hold locks on what is in it.
    pub(crate) const fn of_removal() -> Self {
        Self { left: 4, pause: Duration::from_millis(200) }
    }

    pub(super) const fn of_run(attempts: NonZeroU32) -> Self {
        Self { left: attempts.get() - 1, pause: Duration::from_millis(500) }
    }

    /// Rests, and returns true if there is to be another attempt: others were in the way. What failed must have left
    /// nothing, or what the next attempt goes on with.
    pub(crate) async fn rest(&mut self, error: &Error, what: &(dyn Display + Sync)) -> bool {
        if !is_in_the_way(error) {
            return false;
        }
        let Some(pause) = self.next() else { return false };
        tracing::info!(%error, "Works on {what} once more, later: {error}");
        tokio::time::sleep(jittered(pause)).await;
        true
    }
}

/// The pauses, each twice as long as the one before.
impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let pause = self.pause;
        self.pause = pause.saturating_mul(2);
        Some(pause)
    }
}

/// Returns true for `lock_timeout`, a deadlock, a serialization failure, and for what two get who change the same row
/// of a catalog at once: it may go well a moment later.
pub(super) fn is_in_the_way(error: &Error) -> bool {
    error.database_code().is_some_and(|code| sqlstate::is_in_the_way(&code))
        || error
            .database_error()
            .and_then(|refusal| refusal.try_downcast_ref())
            .is_some_and(meets_others_in_catalog)
}

/// Returns true if another transaction changed the same row of a catalog: that of a role, an extension, a schema.
fn meets_others_in_catalog(refusal: &PgDatabaseError) -> bool {
    match refusal.code() {
        // PostgreSQL does not translate messages of internal errors.
        sqlstate::INTERNAL_ERROR => {
            ["tuple concurrently updated", "tuple concurrently deleted"].contains(&refusal.message())
        }
        sqlstate::UNIQUE_VIOLATION => refusal.schema() == Some("pg_catalog"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn there_is_one_pause_less_than_there_are_attempts() {
        let pauses = |patience: Patience| patience.map(|pause| pause.as_millis()).collect::<Vec<_>>();
        let of_run = |attempts| pauses(Patience::of_run(NonZeroU32::new(attempts).unwrap()));
        assert_eq!(of_run(1), []);
        assert_eq!(of_run(4), [500, 1000, 2000]);
        assert_eq!(pauses(Patience::of_creation()), [100, 200, 400]);
        assert_eq!(pauses(Patience::of_removal()), [200, 400, 800, 1600]);
    }
}
