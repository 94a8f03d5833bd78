//! Errors of `SeaORM`, as this library sees them.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, TransactionError};

use super::{Error, ErrorKind, NOT_CONVERTED};

/// An error of a statement that `SeaORM` ran.
///
/// An [`Error`] that travelled through `SeaORM` comes out as it went in, and a refusal of PostgreSQL's keeps its
/// SQLSTATE and its constraint. Of `SeaORM`'s own errors, a record that is not there, or that no update met, is
/// [`ErrorKind::RowNotFound`]; an insert all of whose rows are there already is [`ErrorKind::AlreadyExists`].
impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        let of_sqlx = match &error {
            DbErr::Conn(RuntimeErr::SqlxError(of_sqlx))
            | DbErr::Exec(RuntimeErr::SqlxError(of_sqlx))
            | DbErr::Query(RuntimeErr::SqlxError(of_sqlx)) => Arc::clone(of_sqlx),
            _ => {
                let (kind, message) = meaning(&error);
                return Self::new(kind, message).with_source(error);
            }
        };
        drop(error);
        match Arc::try_unwrap(of_sqlx) {
            Ok(only) => only.into(),
            Err(shared) => Self::of_shared_sqlx(shared),
        }
    }
}

/// The error of a transaction that was run by a function, whichever of the two failed.
impl<E: Into<Self> + fmt::Display + fmt::Debug> From<TransactionError<E>> for Error {
    fn from(error: TransactionError<E>) -> Self {
        match error {
            TransactionError::Connection(error) => error.into(),
            TransactionError::Transaction(error) => error.into(),
        }
    }
}

/// The kind of an error that has nothing to do with sqlx, and the words for it.
fn meaning(error: &DbErr) -> (ErrorKind, &'static str) {
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => {
            (ErrorKind::PoolTimeout, "no connection became free in time")
        }
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => {
            (ErrorKind::PoolClosed, "the pool is closed")
        }
        DbErr::Conn(_) => (ErrorKind::DatabaseUnavailable, "the connection to the database failed"),
        DbErr::RecordNotFound(_) | DbErr::RecordNotUpdated => {
            (ErrorKind::RowNotFound, "there is no such row")
        }
        DbErr::RecordNotInserted => (ErrorKind::AlreadyExists, "the rows are there already"),
        DbErr::TryIntoErr { .. }
        | DbErr::Type(_)
        | DbErr::Json(_)
        | DbErr::ConvertFromU64(_)
        | DbErr::AttrNotSet(_)
        | DbErr::UnpackInsertId
        | DbErr::UpdateGetPrimaryKey
        | DbErr::PrimaryKeyNotSet { .. }
        | DbErr::KeyArityMismatch { .. } => NOT_CONVERTED,
        DbErr::Migration(_) => (ErrorKind::Migration, "a migration of SeaORM failed"),
        DbErr::BackendNotSupported { .. } => (ErrorKind::Unsupported, "PostgreSQL has no such operation"),
        _ => (ErrorKind::Database, "the statement could not be run"),
    }
}

/// The error of sqlx's that several hold, as the source of one of ours.
pub(super) fn shared_in<'a>(source: &'a (dyn StdError + Send + Sync + 'static)) -> Option<&'a sqlx::Error> {
    source.downcast_ref::<Arc<sqlx::Error>>().map(Arc::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::Slug;

    /// An error of the pool on its way through `SeaORM`.
    fn through_orm(error: impl Into<sqlx::Error>) -> DbErr {
        DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error.into())))
    }

    #[test]
    fn an_error_that_travels_through_seaorm_comes_out_as_it_went_in() {
        let slug = Slug::parse("acme").expect("a slug");
        let suspended =
            Error::new(ErrorKind::Suspended, "not served").with_hint("resume it").with_tenant(&slug);
        let travelled = through_orm(suspended);
        // Held by somebody else as well, and alone.
        for back in [Error::from(travelled.clone()), Error::from(travelled)] {
            assert_eq!((back.kind(), back.hint()), (ErrorKind::Suspended, Some("resume it")));
            assert_eq!(back.tenant(), Some(&slug));
        }
    }

    #[test]
    fn the_error_of_a_function_comes_out_of_its_transaction() {
        let closed = || Error::new(ErrorKind::PoolClosed, "closed");
        let of_function = TransactionError::<Error>::Transaction(closed());
        let of_seaorm = TransactionError::<DbErr>::Transaction(through_orm(closed()));
        let of_connection = TransactionError::<Error>::Connection(through_orm(closed()));
        for back in [Error::from(of_function), of_seaorm.into(), of_connection.into()] {
            assert_eq!(back.kind(), ErrorKind::PoolClosed);
        }
    }

    #[test]
    fn errors_of_seaorm_have_the_kind_that_others_have_for_the_same() {
        let text = || "x".to_owned();
        let internal = || RuntimeErr::Internal(text());
        for (error, expect) in [
            (through_orm(sqlx::Error::PoolTimedOut), ErrorKind::PoolTimeout),
            (through_orm(sqlx::Error::ColumnNotFound(text())), ErrorKind::Decode),
            (DbErr::ConnectionAcquire(ConnAcquireErr::Timeout), ErrorKind::PoolTimeout),
            (DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed), ErrorKind::PoolClosed),
            (DbErr::Conn(internal()), ErrorKind::DatabaseUnavailable),
            (DbErr::Query(internal()), ErrorKind::Database),
            (DbErr::RecordNotFound(text()), ErrorKind::RowNotFound),
            (DbErr::RecordNotUpdated, ErrorKind::RowNotFound),
            (DbErr::RecordNotInserted, ErrorKind::AlreadyExists),
            (DbErr::Type(text()), ErrorKind::Decode),
            (DbErr::AttrNotSet(text()), ErrorKind::Decode),
            (DbErr::Migration(text()), ErrorKind::Migration),
            (DbErr::Custom(text()), ErrorKind::Database),
        ] {
            let error = Error::from(error);
            assert_eq!(error.kind(), expect, "{error:#}");
        }
    }
}
