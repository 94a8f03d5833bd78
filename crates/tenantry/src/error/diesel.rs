//! Errors of Diesel, as this library sees them, and as Diesel sees those of this library.
//!
//! Diesel's error of a database holds an object that tells its message, and not what it is. So an error of this
//! library, asked for its message while somebody asks for more, leaves a copy of itself behind.

use std::cell::RefCell;

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};
use tokio_postgres::error::{DbError, ErrorPosition};

use super::{Error, ErrorKind, sqlstate};

/// An error on its way through Diesel. `?` makes what it was of Diesel's.
struct Traveller(Error);

/// The place for a copy.
enum CopySlot {
    Closed,
    Open,
    Filled(Error),
}

thread_local! {
    static SLOT: RefCell<CopySlot> = const { RefCell::new(CopySlot::Closed) };
}

/// Gives what PostgreSQL refused Diesel's kind for it. A value that is not what the program takes it for becomes a
/// `SerializationError`, and all else a command that could not be sent.
impl From<Error> for DieselError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Decode => Self::SerializationError(Box::new(error)),
            _ => Self::DatabaseError(kind_of(&error), Box::new(Traveller(error))),
        }
    }
}

fn kind_of(error: &Error) -> DatabaseErrorKind {
    match (error.database_code().as_deref(), error.kind()) {
        (Some(sqlstate::UNIQUE_VIOLATION), _) => DatabaseErrorKind::UniqueViolation,
        (Some(sqlstate::FOREIGN_KEY_VIOLATION), _) => DatabaseErrorKind::ForeignKeyViolation,
        (Some(sqlstate::RESTRICT_VIOLATION), _) => DatabaseErrorKind::RestrictViolation,
        (Some(sqlstate::NOT_NULL_VIOLATION), _) => DatabaseErrorKind::NotNullViolation,
        (Some(sqlstate::CHECK_VIOLATION), _) => DatabaseErrorKind::CheckViolation,
        (Some(sqlstate::EXCLUSION_VIOLATION), _) => DatabaseErrorKind::ExclusionViolation,
        (Some(sqlstate::SERIALIZATION_FAILURE), _) => DatabaseErrorKind::SerializationFailure,
        (Some(sqlstate::READ_ONLY_SQL_TRANSACTION), _) => DatabaseErrorKind::ReadOnlyTransaction,
        (_, ErrorKind::DatabaseUnavailable) => DatabaseErrorKind::ClosedConnection,
        (Some(_), _) => DatabaseErrorKind::Unknown,
        (None, _) => DatabaseErrorKind::UnableToSendCommand,
    }
}

/// An error of this library that travelled through Diesel comes out as it went in.
impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::NotFound => {
                Self::new(ErrorKind::RowNotFound, "there is no such row").with_source(DieselError::NotFound)
            }
            DieselError::DatabaseError(kind, information) => match of_own(&*information) {
                Some(own) => own,
                None => of_another(kind, information),
            },
            DieselError::SerializationError(cause) => {
                cause.downcast().map_or_else(Self::not_converted, |own| *own)
            }
            DieselError::DeserializationError(cause) => Self::not_converted(cause),
            DieselError::RollbackErrorOnCommit { commit_error, .. } => Self::from(*commit_error),
            other => Self::new(ErrorKind::Database, "the query could not be run").with_source(other),
        }
    }
}

fn of_own(information: &(dyn DatabaseErrorInformation + Send + Sync)) -> Option<Error> {
    SLOT.replace(CopySlot::Open);
    let _ = information.message();
    match SLOT.replace(CopySlot::Closed) {
        CopySlot::Filled(error) => Some(error),
        CopySlot::Open | CopySlot::Closed => None,
    }
}

/// An error of a connection that is none of this library.
fn of_another(
    kind: DatabaseErrorKind,
    information: Box<dyn DatabaseErrorInformation + Send + Sync>,
) -> Error {
    let (kind_here, message) = match kind {
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
            (ErrorKind::DatabaseUnavailable, "the connection to the database failed")
        }
        _ => (ErrorKind::Database, "the database refused the statement"),
    };
    Error::new(kind_here, message).with_source(DieselError::DatabaseError(kind, information))
}

impl Traveller {
    fn refusal(&self) -> Option<&DbError> {
        let mut error = &self.0;
        loop {
            let source = error.0.source.as_deref()?;
            match source.downcast_ref() {
                Some(inner) => error = inner,
                None => return source.downcast_ref::<tokio_postgres::Error>()?.as_db_error(),
            }
        }
    }
}

impl DatabaseErrorInformation for Traveller {
    fn message(&self) -> &str {
        SLOT.with_borrow_mut(|slot| {
            if matches!(slot, CopySlot::Open) {
                *slot = CopySlot::Filled(self.0.clone());
            }
        });
        match self.refusal() {
            // Said in place of what PostgreSQL answered, which is its reason.
            Some(refusal) if self.0.kind() == ErrorKind::Database => refusal.message(),
            _ => &self.0.0.message,
        }
    }

    fn details(&self) -> Option<&str> {
        self.refusal()?.detail()
    }

    fn hint(&self) -> Option<&str> {
        self.refusal().and_then(DbError::hint).or_else(|| self.0.hint())
    }

    fn table_name(&self) -> Option<&str> {
        self.refusal()?.table()
    }

    fn column_name(&self) -> Option<&str> {
        self.refusal()?.column()
    }

    fn constraint_name(&self) -> Option<&str> {
        self.refusal()?.constraint()
    }

    fn statement_position(&self) -> Option<i32> {
        match self.refusal()?.position()? {
            ErrorPosition::Original(position) | ErrorPosition::Internal { position, .. } => {
                i32::try_from(*position).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::Slug;

    #[test]
    fn an_error_that_travels_through_diesel_comes_out_as_it_went_in() {
        let slug = Slug::parse("acme").expect("a slug");
        for (kind, diesel_kind) in [
            (ErrorKind::PoolTimeout, Some(DatabaseErrorKind::UnableToSendCommand)),
            (ErrorKind::DatabaseUnavailable, Some(DatabaseErrorKind::ClosedConnection)),
            (ErrorKind::Decode, None),
        ] {
            let error = Error::new(kind, "it failed").with_hint("try again").with_tenant(&slug);
            let there = DieselError::from(error);
            assert!(there.to_string().contains("it failed"));
            let found = match &there {
                DieselError::DatabaseError(kind, information) => {
                    assert_eq!(information.hint(), Some("try again"));
                    Some(*kind)
                }
                _ => None,
            };
            assert_eq!(found, diesel_kind);
            let back = Error::from(there);
            assert_eq!(
                (back.kind(), back.hint(), back.tenant().map(Slug::as_str)),
                (kind, Some("try again"), Some("acme"))
            );
        }
    }

    #[test]
    fn errors_of_diesels_own_have_the_kind_that_they_are() {
        let refused = |kind| DieselError::DatabaseError(kind, Box::new("no".to_owned()));
        for (error, expect) in [
            (DieselError::NotFound, ErrorKind::RowNotFound),
            (refused(DatabaseErrorKind::UniqueViolation), ErrorKind::Database),
            (refused(DatabaseErrorKind::ClosedConnection), ErrorKind::DatabaseUnavailable),
            (DieselError::DeserializationError("not a number".into()), ErrorKind::Decode),
            (DieselError::SerializationError("too long".into()), ErrorKind::Decode),
            (DieselError::RollbackTransaction, ErrorKind::Database),
        ] {
            let error = Error::from(error);
            assert_eq!(error.kind(), expect, "{error:#}");
        }
    }
}
