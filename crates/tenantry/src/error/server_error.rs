//! The error that PostgreSQL answers with, by whichever driver it arrived.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::sqlstate;

/// The parts of an error that tell what it means for its connection and for a second attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerError<'a> {
    pub(super) code: &'a str,
    pub(super) message: &'a str,
    /// The function of the server's that refused. It has no translation, where the message may have one.
    pub(super) routine: Option<&'a str>,
    /// The server ends the session, whatever the code: a standby does, for one that is in its way.
    pub(super) ends_session: bool,
}

impl<'a> ServerError<'a> {
    pub(super) fn of_sqlx(error: &'a sqlx::Error) -> Option<Self> {
        let refusal = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
        let ends_session = matches!(refusal.severity(), PgSeverity::Fatal | PgSeverity::Panic);
        let (code, message, routine) = (refusal.code(), refusal.message(), refusal.routine());
        Some(Self { code, message, routine, ends_session })
    }

    /// Returns true if a cached plan is stale: the statement did not run, and may when it is prepared anew.
    pub(super) fn is_stale_plan(self) -> bool {
        self.code == sqlstate::FEATURE_NOT_SUPPORTED && self.routine == Some("RevalidateCachedQuery")
    }

    /// Returns true if the next attempt meets another situation: others are gone, a stale plan is made anew, the
    /// server that takes writes is found.
    pub(super) fn is_transient(self) -> bool {
        sqlstate::is_in_the_way(self.code)
            || self.code == sqlstate::READ_ONLY_SQL_TRANSACTION
            || self.is_stale_plan()
    }

    /// Returns true if the transaction may not write, and the statement would have.
    pub(super) fn is_refused_write(self) -> bool {
        self.code == sqlstate::READ_ONLY_SQL_TRANSACTION
    }

    /// Returns true if its connection answers and is of no further use: it leads to a server that takes no writes,
    /// or what its driver knows of types is about types that are gone.
    pub(super) fn makes_unfit(self) -> bool {
        match self.code {
            sqlstate::READ_ONLY_SQL_TRANSACTION => true,
            sqlstate::INTERNAL_ERROR => self.message.starts_with("cache lookup failed for type "),
            sqlstate::UNDEFINED_OBJECT => self.message.starts_with("type with OID "),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_means_the_same_in_every_language() {
        #[track_caller]
        fn check(code: &str, message: &str, routine: &str, is_transient: bool, makes_unfit: bool) {
            let refusal = ServerError { code, message, routine: Some(routine), ends_session: false };
            assert_eq!(
                (refusal.is_transient(), refusal.makes_unfit()),
                (is_transient, makes_unfit),
                "{message}"
            );
        }
        check("0A000", "le plan en cache ne doit pas modifier …", "RevalidateCachedQuery", true, false);
        check("0A000", "cannot use a table twice", "transformTargetList", false, false);
        check("40001", "could not serialize access", "x", true, false);
        check("25006", "cannot execute INSERT in a read-only transaction", "x", true, true);
        check("XX000", "cache lookup failed for type 16400", "x", false, true);
        check("XX000", "tuple concurrently updated", "x", false, false);
        check("42704", "type with OID 16400 does not exist", "x", false, true);
        check("42704", "type \"mood\" does not exist", "x", false, false);
    }
}
