//! Errors of the database, as this library sees them, and as sqlx sees those of this library.

use std::borrow::Cow;
use std::io;

#[cfg(feature = "tokio-postgres")]
use super::client::{code_of, constraint_of, refusal_of};
#[cfg(feature = "sea-orm")]
use super::orm::shared_in;
use super::server_error::ServerError;
use super::sqlstate::ends_connection;
use super::{Error, ErrorKind, NOT_CONVERTED};

impl Error {
    /// The SQLSTATE PostgreSQL answered with, if it was PostgreSQL that refused.
    pub fn database_code(&self) -> Option<String> {
        let of_client = self.0.source.as_deref().and_then(code_of).map(str::to_owned);
        let of_sqlx = || self.database_error()?.code().map(Cow::into_owned);
        let of_own = || self.0.source.as_deref()?.downcast_ref::<Self>()?.database_code();
        of_client.or_else(of_sqlx).or_else(of_own)
    }

    /// PostgreSQL's own answer, if it was PostgreSQL that refused a statement of sqlx.
    ///
    /// ```
    /// use sqlx::error::ErrorKind;
    ///
    /// fn is_duplicate(error: &tenantry::Error) -> bool {
    ///     error.database_error().is_some_and(|refusal| refusal.kind() == ErrorKind::UniqueViolation)
    /// }
    /// # assert!(!is_duplicate(&sqlx::Error::RowNotFound.into()));
    /// ```
    pub fn database_error(&self) -> Option<&dyn sqlx::error::DatabaseError> {
        of_sqlx(self.0.source.as_deref()?)?.as_database_error()
    }

    /// The name of the constraint that a row would have broken.
    ///
    /// ```
    /// # async fn example(db: tenantry::TenantDb, title: &str) -> tenantry::Result<&'static str> {
    /// let insert = sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title);
    /// match insert.execute(&db).await.map_err(tenantry::Error::from) {
    ///     Ok(_) => Ok("added"),
    ///     Err(error) if error.constraint() == Some("note_title_key") => Ok("there is such a note"),
    ///     Err(error) => Err(error),
    /// }
    /// # }
    /// ```
    pub fn constraint(&self) -> Option<&str> {
        let of_client = self.0.source.as_deref().and_then(constraint_of);
        of_client.or_else(|| self.database_error()?.constraint())
    }
}

impl Error {
    /// The refusal of PostgreSQL's, if there was one.
    pub(super) fn refusal(&self) -> Option<ServerError<'_>> {
        let source = self.0.source.as_deref()?;
        refusal_of(source).or_else(|| ServerError::of_sqlx(of_sqlx(source)?))
    }

    /// Returns true if a cached plan is stale, so that the statement did not run.
    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn is_stale_plan(&self) -> bool {
        self.refusal().is_some_and(ServerError::is_stale_plan)
    }

    /// Returns true if the transaction is read-only, and the statement would have written.
    pub(crate) fn is_refused_write(&self) -> bool {
        self.refusal().is_some_and(ServerError::is_refused_write)
    }

    /// Returns true if the connection that it came from is of no further use, though it answers.
    pub(crate) fn makes_unfit(&self) -> bool {
        self.refusal().is_some_and(ServerError::makes_unfit)
    }
}

/// Returns true if a cached plan is stale, so that the statement did not run.
pub(crate) fn is_stale_plan(error: &sqlx::Error) -> bool {
    ServerError::of_sqlx(error).is_some_and(ServerError::is_stale_plan)
}

/// Returns true if the transaction is read-only, and the statement would have written.
pub(crate) fn is_refused_write(error: &sqlx::Error) -> bool {
    ServerError::of_sqlx(error).is_some_and(ServerError::is_refused_write)
}

/// Returns true if the connection that it came from is of no further use, though it answers.
pub(crate) fn makes_unfit(error: &sqlx::Error) -> bool {
    ServerError::of_sqlx(error).is_some_and(ServerError::makes_unfit)
}

/// The error of sqlx's that is the source of one, alone or shared.
fn of_sqlx<'a>(source: &'a (dyn std::error::Error + Send + Sync + 'static)) -> Option<&'a sqlx::Error> {
    source.downcast_ref().or_else(|| shared_in(source))
}

/// Without `SeaORM` nobody shares errors of sqlx's.
#[cfg(not(feature = "sea-orm"))]
fn shared_in<'a>(_: &'a (dyn std::error::Error + Send + Sync + 'static)) -> Option<&'a sqlx::Error> {
    None
}

/// Without tokio-postgres there are no errors of its own.
#[cfg(not(feature = "tokio-postgres"))]
fn refusal_of<'a>(_: &'a (dyn std::error::Error + Send + Sync + 'static)) -> Option<ServerError<'a>> {
    None
}

/// Without tokio-postgres there are no errors of its own.
#[cfg(not(feature = "tokio-postgres"))]
fn code_of<'a>(_: &'a (dyn std::error::Error + Send + Sync + 'static)) -> Option<&'a str> {
    None
}

/// Without tokio-postgres there are no errors of its own.
#[cfg(not(feature = "tokio-postgres"))]
fn constraint_of<'a>(_: &'a (dyn std::error::Error + Send + Sync + 'static)) -> Option<&'a str> {
    None
}

/// An error of a statement, as this library sees it.
///
/// An [`Error`] that travelled through sqlx (see the conversion the other way) comes out as it
/// went in. [`ErrorKind::Database`] is what PostgreSQL refused; a pool of sqlx's that timed out or was
/// closed, and values that the program reads or sends as what they are not, have kinds of their own.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(io) => match io.downcast::<Self>() {
                Ok(own) => own,
                Err(io) => Self::of_sqlx(sqlx::Error::Io(io)),
            },
            error => Self::of_sqlx(error),
        }
    }
}

impl Error {
    fn of_sqlx(error: sqlx::Error) -> Self {
        let (kind, message) = meaning(&error);
        Self::new(kind, message).with_source(error)
    }

    /// The same of an error that others hold as well.
    #[cfg(feature = "sea-orm")]
    pub(super) fn of_shared_sqlx(error: std::sync::Arc<sqlx::Error>) -> Self {
        if let sqlx::Error::Io(io) = &*error
            && let Some(own) = own(io)
        {
            return own.clone();
        }
        let (kind, message) = meaning(&error);
        Self::new(kind, message).with_source(error)
    }
}

/// The kind of an error of sqlx's that carries none of this library's, and the words for it.
fn meaning(error: &sqlx::Error) -> (ErrorKind, &'static str) {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            CONNECTION_LOST
        }
        sqlx::Error::Database(refusal) if ends_connection(&refusal.code().unwrap_or_default()) => {
            CONNECTION_LOST
        }
        sqlx::Error::RowNotFound => (ErrorKind::RowNotFound, "there is no such row"),
        sqlx::Error::Database(_) => (ErrorKind::Database, "the database refused the statement"),
        sqlx::Error::PoolTimedOut => (ErrorKind::PoolTimeout, "no connection became free in time"),
        sqlx::Error::PoolClosed => (ErrorKind::PoolClosed, "the pool is closed"),
        sqlx::Error::Configuration(_) | sqlx::Error::ConfigFile(_) => {
            (ErrorKind::Configuration, "the configuration of sqlx is not valid")
        }
        other if is_conversion(other) => NOT_CONVERTED,
        _ => (ErrorKind::Database, "the statement could not be run"),
    }
}

const CONNECTION_LOST: (ErrorKind, &str) =
    (ErrorKind::DatabaseUnavailable, "the connection to the database failed");

/// Returns true if PostgreSQL did its part, and the program reads or sends a value as what it is not.
fn is_conversion(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::TypeNotFound { .. }
    )
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
        sqlx::Error::Io(io) => own(io).is_none_or(|own| own.kind() == ErrorKind::DatabaseUnavailable),
        sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(refusal) => {
            ends_connection(&refusal.code().unwrap_or_default())
                || ServerError::of_sqlx(error).is_some_and(|it| it.ends_session)
        }
        _ => false,
    }
}

/// The error of this library's that travels in one of sqlx's.
pub(super) fn own(io: &io::Error) -> Option<&Error> {
    io.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_postgresql_refused_is_an_error_of_the_database() {
        let column = || "title".to_owned();
        for (error, expect) in [
            (sqlx::Error::PoolTimedOut, ErrorKind::PoolTimeout),
            (sqlx::Error::PoolClosed, ErrorKind::PoolClosed),
            (sqlx::Error::RowNotFound, ErrorKind::RowNotFound),
            (sqlx::Error::WorkerCrashed, ErrorKind::DatabaseUnavailable),
            (sqlx::Error::Protocol(column()), ErrorKind::DatabaseUnavailable),
            (io::Error::from(io::ErrorKind::TimedOut).into(), ErrorKind::DatabaseUnavailable),
            (sqlx::Error::Configuration("no host".into()), ErrorKind::Configuration),
            (sqlx::Error::Decode("not a number".into()), ErrorKind::Decode),
            (sqlx::Error::Encode("too long".into()), ErrorKind::Decode),
            (sqlx::Error::ColumnDecode { index: column(), source: "null".into() }, ErrorKind::Decode),
            (sqlx::Error::ColumnNotFound(column()), ErrorKind::Decode),
            (sqlx::Error::ColumnIndexOutOfBounds { index: 1, len: 1 }, ErrorKind::Decode),
            (sqlx::Error::TypeNotFound { type_name: column() }, ErrorKind::Decode),
        ] {
            let error = Error::from(error);
            assert_eq!(error.kind(), expect, "{error:#}");
        }
    }

    #[test]
    fn an_error_that_travels_through_sqlx_comes_out_as_it_went_in() {
        let closed = Error::new(ErrorKind::PoolClosed, "the pool is closed").with_hint("open another");
        let back = Error::from(sqlx::Error::from(closed));
        assert_eq!((back.kind(), back.hint()), (ErrorKind::PoolClosed, Some("open another")));
    }
}
