//! The consequence of an error for its caller: whether to give up, and the status to answer with.

use http::StatusCode;

use super::sqlstate::is_of_the_values;
use super::{Error, ErrorKind};

impl Error {
    /// Returns true if the same call fails again, however long one waits: a job that fails like this is not
    /// worth another attempt.
    ///
    /// What was asked for is at fault then: a tenant that does not exist, a slug that is taken, a row that breaks a
    /// constraint, a value that does not fit. An error that is neither permanent nor
    /// [retryable](Self::is_retryable) ends when somebody mends something: a tenant is resumed, a schema migrated.
    ///
    /// ```
    /// use tenantry::Error;
    ///
    /// enum Next {
    ///     RetrySoon,
    ///     RetryLater,
    ///     GiveUp,
    /// }
    ///
    /// fn next(error: &Error) -> Next {
    ///     match error {
    ///         _ if error.is_retryable() => Next::RetrySoon,
    ///         _ if error.is_permanent() => Next::GiveUp,
    ///         _ => Next::RetryLater,
    ///     }
    /// }
    /// # assert!(matches!(next(&sqlx::Error::RowNotFound.into()), Next::GiveUp));
    /// # assert!(matches!(next(&sqlx::Error::PoolTimedOut.into()), Next::RetrySoon));
    /// # assert!(matches!(next(&sqlx::Error::PoolClosed.into()), Next::RetryLater));
    /// ```
    pub fn is_permanent(&self) -> bool {
        match self.kind() {
            ErrorKind::Configuration
            | ErrorKind::InvalidInput
            | ErrorKind::UnknownTenant
            | ErrorKind::AlreadyExists
            | ErrorKind::RowNotFound
            | ErrorKind::Decode
            | ErrorKind::Unsupported => true,
            ErrorKind::Database => self.database_code().is_some_and(|code| is_of_the_values(&code)),
            _ => false,
        }
    }

    /// The status to answer a request with that failed like this.
    ///
    /// 404 for a tenant or a row that does not exist, 400 for what the caller gave, 409 for what is taken, 503
    /// for what may work in a moment and for a tenant or a pool that does not serve, 500 otherwise. With the feature
    /// `axum` an error is a response with this status.
    ///
    /// A row that breaks a [constraint](Self::constraint) is 500, because only the application knows whether that
    /// is the caller's mistake or its own.
    pub fn status(&self) -> StatusCode {
        match self.kind() {
            ErrorKind::RowNotFound | ErrorKind::UnknownTenant => StatusCode::NOT_FOUND,
            ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
            ErrorKind::AlreadyExists | ErrorKind::Dependents => StatusCode::CONFLICT,
            ErrorKind::TenantUnavailable
            | ErrorKind::Suspended
            | ErrorKind::PoolClosed
            | ErrorKind::DatabaseClosed => StatusCode::SERVICE_UNAVAILABLE,
            _ if self.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
