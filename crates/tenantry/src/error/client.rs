//! Errors of tokio-postgres, as this library sees them.

use std::error::Error as StdError;
use std::io;

use tokio_postgres::error::Severity;

use super::server_error::ServerError;
use super::sqlstate::ends_connection;
use super::{Error, ErrorKind};

/// An error of a statement that ran on a [`TenantClient`](crate::pool::TenantClient).
impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        if breaks_client(&error) {
            Self::new(ErrorKind::DatabaseUnavailable, "the connection to the database failed")
                .with_source(error)
        } else if error.as_db_error().is_some() {
            Self::new(ErrorKind::Database, "the database refused the statement").with_source(error)
        } else {
            Self::not_converted(error)
        }
    }
}

/// Returns true if the connection that produced this error can no longer be used.
///
/// The kinds of tokio-postgres are private. What is no answer of the server's has a cause of its own
/// where a value could not be converted, and nothing was sent then. All else is trouble with the
/// connection, or an answer that was not expected, after which nobody knows what comes next.
fn breaks_client(error: &tokio_postgres::Error) -> bool {
    match (error.as_db_error(), error.source()) {
        (Some(refusal), _) => ends_connection(refusal.code().code()),
        (None, Some(cause)) => cause.is::<io::Error>(),
        (None, None) => true,
    }
}

/// The refusal in an error, if it is one of tokio-postgres.
pub(super) fn refusal_of<'a>(source: &'a (dyn StdError + Send + Sync + 'static)) -> Option<ServerError<'a>> {
    let refusal = source.downcast_ref::<tokio_postgres::Error>()?.as_db_error()?;
    let (code, message) = (refusal.code().code(), refusal.message());
    let ends_session = matches!(refusal.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    Some(ServerError { code, message, routine: refusal.routine(), ends_session })
}

/// The SQLSTATE of an error, if it is one of tokio-postgres.
pub(super) fn code_of<'a>(source: &'a (dyn StdError + Send + Sync + 'static)) -> Option<&'a str> {
    Some(source.downcast_ref::<tokio_postgres::Error>()?.code()?.code())
}

/// The constraint that a row would have broken, if it is an error of tokio-postgres.
pub(super) fn constraint_of<'a>(source: &'a (dyn StdError + Send + Sync + 'static)) -> Option<&'a str> {
    source.downcast_ref::<tokio_postgres::Error>()?.as_db_error()?.constraint()
}
