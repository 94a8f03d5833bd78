use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};

use crate::reply::{reply, status};

/// A result whose error is [`Error`]; the type that a handler returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The error of a handler, which lets `?` work on what is done for a tenant, and on sqlx's errors.
///
/// As a response it has the [`status`](tenantry::Error::status) of the error inside, and says no more than the caller
/// knows: it is its [`answer`](tenantry::Error::answer).
///
/// ```
/// use tenantry::TenantDb;
/// use tenantry_actix::{Ask, Result};
///
/// async fn count(Ask(db): Ask<TenantDb>) -> Result<String> {
///     let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await?;
///     Ok(notes.to_string())
/// }
/// # let _ = count;
/// ```
pub struct Error(tenantry::Error);

impl Error {
    /// The error of Tenantry.
    pub fn into_inner(self) -> tenantry::Error {
        self.0
    }
}

impl<E: Into<tenantry::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl Deref for Error {
    type Target = tenantry::Error;

    fn deref(&self) -> &tenantry::Error {
        &self.0
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        status(self.0.status())
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        reply(self.0.answer())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
