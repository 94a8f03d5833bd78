//! The errors of a replica that another server may not have.

use super::database::{breaks_connection, makes_unfit, own};
use super::server_error::ServerError;
use super::sqlstate::{is_recovery_conflict, may_be_of_age};
use super::{Error, ErrorKind};

/// The server to ask instead of a replica that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Any other: the replica is gone, or the connection to it.
    AnotherServer,
    /// The primary: the replica gave the statement up for what it replays, or lacks what is there already.
    Primary,
}

impl Remedy {
    /// The remedy for a statement that has failed before its first row.
    pub(crate) fn of_statement(error: &sqlx::Error) -> Option<Self> {
        if let sqlx::Error::Io(io) = error
            && let Some(own) = own(io)
        {
            return Self::of_checkout(own);
        }
        let code = ServerError::of_sqlx(error).map(|refusal| refusal.code);
        match code {
            Some(code) if is_recovery_conflict(code) || may_be_of_age(code) => Some(Self::Primary),
            _ => (breaks_connection(error) || makes_unfit(error)).then_some(Self::AnotherServer),
        }
    }

    /// The remedy for a checkout that has failed.
    pub(crate) fn of_checkout(error: &Error) -> Option<Self> {
        match error.kind() {
            // With a login or a certificate that this server does not take, others may go on.
            ErrorKind::DatabaseUnavailable | ErrorKind::Configuration | ErrorKind::PoolBusy => {
                Some(Self::AnotherServer)
            }
            ErrorKind::MissingSchema => Some(Self::Primary),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_is_of_the_replica_is_asked_elsewhere_and_nothing_else() {
        let own = |kind| sqlx::Error::from(Error::new(kind, "x"));
        for (error, expect) in [
            (own(ErrorKind::DatabaseUnavailable), Some(Remedy::AnotherServer)),
            (own(ErrorKind::PoolBusy), Some(Remedy::AnotherServer)),
            (own(ErrorKind::MissingSchema), Some(Remedy::Primary)),
            (own(ErrorKind::PoolTimeout), None),
            (own(ErrorKind::Suspended), None),
            (own(ErrorKind::Unsupported), None),
            (io::Error::from(io::ErrorKind::ConnectionReset).into(), Some(Remedy::AnotherServer)),
            (sqlx::Error::Protocol("x".to_owned()), Some(Remedy::AnotherServer)),
            (sqlx::Error::RowNotFound, None),
            (sqlx::Error::Decode("x".into()), None),
        ] {
            assert_eq!(Remedy::of_statement(&error), expect, "{error:?}");
        }
    }

    #[test]
    fn a_conflict_and_what_is_not_replayed_yet_go_to_the_primary() {
        for code in ["40001", "40P01", "42P01", "42703", "42883", "3F000", "42501"] {
            assert!(is_recovery_conflict(code) || may_be_of_age(code), "{code}");
        }
        // A limit of time, a constraint, a value, a mistake in the text.
        for code in ["57014", "23505", "22P02", "42601", "25006"] {
            assert!(!is_recovery_conflict(code) && !may_be_of_age(code), "{code}");
        }
    }
}
