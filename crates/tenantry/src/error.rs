//! One error for the whole library: what happened, to whom, and whether to try again.

#[cfg(feature = "tokio-postgres")]
mod client;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::tenant::Slug;

/// The result of everything in this library that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for code that branches.
///
/// The text of an [`Error`] is for people and may change; its kind is part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration contradicts itself or cannot be read.
    Configuration,
    /// A value given by a caller breaks a rule: a slug, a domain, a schema name.
    InvalidInput,
    /// No tenant goes by that slug, domain or id.
    UnknownTenant,
    /// The tenant exists but its status does not allow to serve it.
    TenantUnavailable,
    /// The slug, the domain or the schema is taken.
    AlreadyExists,
    /// A tenant's schema is missing, was renamed, or may not be used by the role that looked.
    MissingSchema,
    /// No connection became free in time.
    PoolTimeout,
    /// Too many checkouts wait for a connection already.
    PoolBusy,
    /// The pool was closed with [`Tenancy::close`](crate::Tenancy::close).
    PoolClosed,
    /// The database could not be reached, or the connection was lost.
    DatabaseUnavailable,
    /// PostgreSQL answered with an error.
    Database,
    /// A query that must find a row found none.
    RowNotFound,
    /// The schema `tenantry` is missing, incomplete or newer than this library.
    Registry,
    /// A migration is refused, changed after it was applied, or failed.
    Migration,
    /// Another process does the same work right now.
    Conflict,
    /// It needs a session of the server, which a pooler in transaction mode does not give.
    Unsupported,
}

/// Why an operation of this library failed.
///
/// `Display` says what this layer knows; [`source`](StdError::source) goes on from there. Only a
/// failed migration repeats PostgreSQL's message in its own, behind file and line.
/// [`hint`](Self::hint) says what to do where there is something to do.
///
/// ```
/// use tenantry::{Error, ErrorKind};
///
/// fn status(error: &Error) -> u16 {
///     match error.kind() {
///         ErrorKind::UnknownTenant => 404,
///         _ if error.is_retryable() => 503,
///         _ => 500,
///     }
/// }
/// # let slug = tenantry::tenant::Slug::parse("a b").unwrap_err();
/// # assert_eq!(status(&slug.into()), 500);
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    tenant: Option<Slug>,
    source: Option<BoxError>,
}

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), hint: None, tenant: None, source: None }))
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        self.with(|inner| inner.hint = Some(hint.into()))
    }

    pub(crate) fn with_tenant(self, slug: &Slug) -> Self {
        self.with(|inner| inner.tenant = Some(slug.clone()))
    }

    pub(crate) fn with_source(self, source: impl Into<BoxError>) -> Self {
        self.with(|inner| inner.source = Some(source.into()))
    }

    /// Fills a field in while the error is being made, before anybody else can hold it.
    fn with(mut self, fill: impl FnOnce(&mut Inner)) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            fill(inner);
        }
        self
    }

    /// A value that a caller gave breaks a rule of the application's own. As a response it is 400
    /// with this message.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// What went wrong, for code that branches.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The tenant that was being served, when there was one.
    pub fn tenant(&self) -> Option<&Slug> {
        self.0.tenant.as_ref()
    }

    /// What to do about it, in one sentence, where there is something to do.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether the same call may succeed when it is made again in a moment.
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            ErrorKind::PoolTimeout
            | ErrorKind::PoolBusy
            | ErrorKind::DatabaseUnavailable
            | ErrorKind::Conflict => true,
            ErrorKind::Database => self.database_code().is_some_and(|code| is_transient(&code)),
            _ => false,
        }
    }

    /// The SQLSTATE PostgreSQL answered with, if it was PostgreSQL that refused.
    pub fn database_code(&self) -> Option<String> {
        #[cfg(feature = "tokio-postgres")]
        if let Some(code) = self.0.source.as_ref().and_then(client::code_of) {
            return Some(code.to_owned());
        }
        self.database_error()?.code().map(std::borrow::Cow::into_owned)
    }

    pub(crate) fn database_error(&self) -> Option<&dyn sqlx::error::DatabaseError> {
        self.0.source.as_ref()?.downcast_ref::<sqlx::Error>()?.as_database_error()
    }
}

/// Serialization failure, deadlock, lock timeout, and a plan that became invalid: the next attempt
/// meets another situation.
fn is_transient(code: &str) -> bool {
    matches!(code, "40001" | "40P01" | "55P03" | "0A000")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.0.kind).field("message", &self.0.message);
        if let Some(hint) = &self.0.hint {
            debug.field("hint", hint);
        }
        if let Some(tenant) = &self.0.tenant {
            debug.field("tenant", &tenant.as_str());
        }
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }
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

/// Whether the server ends the session together with this error.
fn ends_connection(code: &str) -> bool {
    code.starts_with("57P0") || code.starts_with("08") || matches!(code, "25P03" | "25P04" | "53300")
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

/// Whether the connection that produced this error can no longer be used.
pub(crate) fn breaks_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            true
        }
        sqlx::Error::Database(refusal) => ends_connection(&refusal.code().unwrap_or_default()),
        _ => false,
    }
}

macro_rules! invalid_input {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::new(ErrorKind::InvalidInput, error.to_string())
            }
        }
    )*};
}

invalid_input!(
    crate::tenant::InvalidSchemaName,
    crate::tenant::InvalidSlug,
    crate::tenant::InvalidDomainName,
    crate::tenant::InvalidAlias,
);

impl From<crate::tenant::NotServed> for Error {
    fn from(error: crate::tenant::NotServed) -> Self {
        Self::new(ErrorKind::TenantUnavailable, error.to_string()).with_tenant(error.slug())
    }
}

impl From<crate::migration::MigrationError> for Error {
    fn from(error: crate::migration::MigrationError) -> Self {
        let refused = Self::new(ErrorKind::Migration, error.to_string());
        match error.hint() {
            Some(hint) => refused.with_hint(hint),
            None => refused,
        }
    }
}

impl From<crate::resolve::InvalidResolver> for Error {
    fn from(error: crate::resolve::InvalidResolver) -> Self {
        Self::new(ErrorKind::Configuration, error.to_string())
    }
}
