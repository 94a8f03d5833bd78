//! One error for the whole library: what happened, to whom, and whether to try again.

#[cfg(feature = "tokio-postgres")]
mod client;
mod consequence;
mod database;
#[cfg(feature = "diesel-async")]
mod diesel;
#[cfg(feature = "sea-orm")]
mod orm;
mod remedy;
mod server_error;
pub(crate) mod sqlstate;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

pub(crate) use self::database::{breaks_connection, is_refused_write, is_stale_plan, makes_unfit};
pub(crate) use self::remedy::Remedy;
use crate::tenant::{NotServed, Slug, Status, Suspension};

/// The result of everything in this library that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of failure, for code that branches.
///
/// The text of an [`Error`] is for people and may change; its kind is part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration contradicts itself or cannot be read.
    Configuration,
    /// A value given by a caller breaks a rule: a slug, a domain, a schema name.
    InvalidInput,
    /// No tenant goes by that slug, domain or id, or the one that does is deleted.
    UnknownTenant,
    /// The tenant exists but its status does not allow to serve it.
    TenantUnavailable,
    /// The tenant is suspended, or may only be read and a statement would write:
    /// [`suspension`](Error::suspension) has the message for its customer, and the end.
    Suspended,
    /// The slug, the domain or the schema is taken.
    AlreadyExists,
    /// Objects elsewhere depend on what is to be dropped.
    Dependents,
    /// A tenant's schema is missing, was renamed, or may not be used by the role that looked.
    ///
    /// A schema that vanishes while a transaction is open is an error of PostgreSQL's there
    /// ([`Database`](Self::Database)): nobody can ask for the reason in a transaction that has failed.
    MissingSchema,
    /// No connection became free in time.
    PoolTimeout,
    /// Too many checkouts wait for a connection already.
    PoolBusy,
    /// The pool was closed with [`Tenancy::close`](crate::Tenancy::close).
    PoolClosed,
    /// The database could not be reached, or the connection was lost.
    DatabaseUnavailable,
    /// The database takes no new tenants, or none of those does that come into question.
    DatabaseClosed,
    /// PostgreSQL answered with an error.
    Database,
    /// A query that must find a row found none.
    RowNotFound,
    /// The program reads or sends a value as what it is not: a column of another name or type, a `NULL`.
    Decode,
    /// The schema `tenantry` is missing, incomplete or newer than this library.
    Registry,
    /// A migration is refused, changed after it was applied, or failed.
    Migration,
    /// Another process does the same work right now.
    Conflict,
    /// It needs a session of the server, which a pooler in transaction mode does not give; or it writes, on a handle
    /// that only reads; or a spare, a clone or a tenant that is made of a database would have to carry what it cannot.
    Unsupported,
}

/// An operation of this library failed: the kind, the tenant, the reason, and a hint.
///
/// `Display` says what this layer knows; [`source`](StdError::source) goes on from there, and `{:#}` prints
/// all of it on one line, for a log. Only a failed migration repeats PostgreSQL's message in its own, behind
/// file and line. [`hint`](Self::hint) says what to do where there is something to do.
///
/// ```
/// let error = tenantry::Error::from(sqlx::Error::Decode("expected an integer".into()));
/// assert_eq!(error.to_string(), "a value does not have the type that the program expects");
/// assert_eq!(
///     format!("{error:#}"),
///     "a value does not have the type that the program expects: \
///      error occurred while decoding: expected an integer",
/// );
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    tenant: Option<Slug>,
    status: Option<Status>,
    suspension: Option<Box<Suspension>>,
    source: Option<BoxError>,
}

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

const NOT_CONVERTED: (ErrorKind, &str) =
    (ErrorKind::Decode, "a value does not have the type that the program expects");

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            hint: None,
            tenant: None,
            status: None,
            suspension: None,
            source: None,
        }))
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        self.with(|inner| inner.hint = Some(hint.into()))
    }

    pub(crate) fn with_tenant(self, slug: &Slug) -> Self {
        self.with(|inner| inner.tenant = Some(slug.clone()))
    }

    pub(crate) fn with_tenant_status(self, status: Status) -> Self {
        self.with(|inner| inner.status = Some(status))
    }

    pub(crate) fn with_suspension(self, suspension: Option<&Suspension>) -> Self {
        self.with(|inner| inner.suspension = suspension.cloned().map(Box::new))
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

    /// The types of the program and those of the tables do not go together.
    #[cfg(feature = "tokio-postgres")]
    fn not_converted(source: impl Into<BoxError>) -> Self {
        let (kind, message) = NOT_CONVERTED;
        Self::new(kind, message).with_source(source)
    }

    /// The kind of failure, for code that branches.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The tenant that was being served, when there was one.
    pub fn tenant(&self) -> Option<&Slug> {
        self.0.tenant.as_ref()
    }

    /// The status in which the tenant is not served, where that is the reason: it tells a tenant that is deleted, and
    /// may be brought back, from one that never was.
    pub fn tenant_status(&self) -> Option<Status> {
        self.0.status
    }

    /// The terms on which the tenant is suspended, of an error of the kind [`Suspended`](ErrorKind::Suspended), if they
    /// were said.
    pub fn suspension(&self) -> Option<&Suspension> {
        self.0.suspension.as_deref()
    }

    /// The advice, in one sentence, where there is something to do.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Returns true if the same call may succeed when it is made again in a moment.
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            ErrorKind::PoolTimeout | ErrorKind::PoolBusy | ErrorKind::Conflict => true,
            // The server is there, and will refuse the same login in a moment as well.
            ErrorKind::DatabaseUnavailable => {
                !self.database_code().is_some_and(|code| sqlstate::refuses_login(&code))
            }
            ErrorKind::Database => self.refusal().is_some_and(server_error::ServerError::is_transient),
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if f.alternate() { fmt_causes(self.source(), &self.0.message, f) } else { Ok(()) }
    }
}

/// Leaves out what is said already: many errors repeat the one below them.
fn fmt_causes(
    mut cause: Option<&(dyn StdError + 'static)>,
    message: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut said = message.to_owned();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            write!(f, ": {text}")?;
            said = text;
        }
        cause = error.source();
    }
    Ok(())
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
    crate::tenant::InvalidTenantName,
    crate::tenant::InvalidSettings,
    crate::tenant::InvalidSuspension,
);

impl From<NotServed> for Error {
    fn from(error: NotServed) -> Self {
        let kind = match error.status() {
            Status::Suspended => ErrorKind::Suspended,
            // To those who ask for one that is deleted, it is as if it had never been.
            status if status.is_hidden() => ErrorKind::UnknownTenant,
            _ => ErrorKind::TenantUnavailable,
        };
        Self::new(kind, error.to_string())
            .with_tenant(error.slug())
            .with_tenant_status(error.status())
            .with_suspension(error.suspension())
    }
}
