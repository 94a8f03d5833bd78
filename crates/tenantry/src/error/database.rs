//! Errors of the database, as this library sees them, and as sqlx sees those of this library.

use std::borrow::Cow;
use std::io;

#[cfg(feature = "tokio-postgres")]
use super::client::code_of;
use super::sqlstate::ends_connection;
use super::{Error, ErrorKind};

impl Error {
    /// The SQLSTATE PostgreSQL answered with, if it was PostgreSQL that refused.
    pub fn database_code(&self) -> Option<String> {
        let of_client = self.0.source.as_deref().and_then(code_of).map(str::to_owned);
        of_client.or_else(|| self.database_error()?.code().map(Cow::into_owned))
    }

    pub(crate) fn database_error(&self) -> Option<&dyn sqlx::error::DatabaseError> {
        self.0.source.as_ref()?.downcast_ref::<sqlx::Error>()?.as_database_error()
    }
}

/// Without tokio-postgres there are no errors of its own.
#[cfg(not(feature = "tokio-postgres"))]
fn code_of<'a>(_: &'a (dyn std::error::Error + Send + Sync + 'static)) -> Option<&'a str> {
    None
}

/// An error of a statement, as this library sees it.
///
/// An [`Error`] that travelled through sqlx (see the conversion the other way) comes out as it
/// went in.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(io) => match io.downcast::<Error>() {
                Ok(own) => own,
                Err(io) => connection_lost(sqlx::Error::Io(io)),
            },
            sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                connection_lost(error)
            }
            sqlx::Error::Database(ref refusal) if ends_connection(&refusal.code().unwrap_or_default()) => {
                connection_lost(error)
            }
            sqlx::Error::RowNotFound => {
                Self::new(ErrorKind::RowNotFound, "there is no such row").with_source(error)
            }
            other => Self::new(ErrorKind::Database, "the database refused the statement").with_source(other),
        }
    }
}

fn connection_lost(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::DatabaseUnavailable, "the connection to the database failed").with_source(error)
}

/// sqlx's traits fix their error type, so an [`Error`] of the checkout travels inside it: as
/// [`sqlx::Error::Io`], which is what sqlx's own users treat as trouble with the connection.
impl From<Error> for sqlx::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::PoolTimeout | ErrorKind::PoolBusy => io::ErrorKind::TimedOut,
            ErrorKind::MissingSchema | ErrorKind::UnknownTenant => io::ErrorKind::NotFound,
            ErrorKind::PoolClosed | ErrorKind::DatabaseUnavailable => io::ErrorKind::NotConnected,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::Other,
        };
        Self::Io(io::Error::new(kind, error))
    }
}

/// Returns true if the connection that produced this error can no longer be used.
pub(crate) fn breaks_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            true
        }
        sqlx::Error::Database(refusal) => ends_connection(&refusal.code().unwrap_or_default()),
        _ => false,
    }
}
