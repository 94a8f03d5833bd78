//! The consequence of an error for its caller: whether to give up, and the status to answer with.

use http::StatusCode;

use super::sqlstate::is_of_the_values;
use super::{Error, ErrorKind};

impl Error {
    /// Returns true if the same call fails again, however long one waits: a job that fails like this is not
    /// worth another attempt.
    ///
    /// What was asked for is at fault then. An error that is neither permanent nor [retryable](Self::is_retryable) ends
    /// when somebody mends something, which a job can wait for.
    ///
    /// | [`kind`](Self::kind) | retryable | permanent | it ends when |
    /// | --- | --- | --- | --- |
    /// | [`Configuration`](ErrorKind::Configuration) | no | no | this process is configured like the others |
    /// | [`InvalidInput`](ErrorKind::InvalidInput) | no | yes | |
    /// | [`UnknownTenant`](ErrorKind::UnknownTenant) | no | yes | (or one that was deleted is brought back) |
    /// | [`TenantUnavailable`](ErrorKind::TenantUnavailable) | no | no | the tenant is made, or moved |
    /// | [`Suspended`](ErrorKind::Suspended) | no | no | the tenant is resumed |
    /// | [`AlreadyExists`](ErrorKind::AlreadyExists) | no | yes | |
    /// | [`Dependents`](ErrorKind::Dependents) | no | no | what depends on it is dropped |
    /// | [`MissingSchema`](ErrorKind::MissingSchema) | no | no | the schema is restored, or granted |
    /// | [`PoolTimeout`](ErrorKind::PoolTimeout) | yes | no | a connection becomes free |
    /// | [`PoolBusy`](ErrorKind::PoolBusy) | yes | no | fewer wait |
    /// | [`PoolClosed`](ErrorKind::PoolClosed) | no | no | another process takes the job |
    /// | [`DatabaseUnavailable`](ErrorKind::DatabaseUnavailable) | yes, or the login is refused | no | it is back |
    /// | [`DatabaseClosed`](ErrorKind::DatabaseClosed) | no | no | the database is opened |
    /// | [`Database`](ErrorKind::Database) | by its code | by its code | a table is migrated, for one |
    /// | [`RowNotFound`](ErrorKind::RowNotFound) | no | yes | |
    /// | [`Decode`](ErrorKind::Decode) | no | yes | |
    /// | [`Registry`](ErrorKind::Registry) | no | no | `tenantry init` has run |
    /// | [`Migration`](ErrorKind::Migration) | no | no | the file is mended |
    /// | [`Conflict`](ErrorKind::Conflict) | yes | no | the other process has finished |
    /// | [`Unsupported`](ErrorKind::Unsupported) | no | yes | |
    ///
    /// What PostgreSQL refused is permanent by its code if a row breaks a constraint or a value does not fit, and
    /// retryable if others were in the way: a deadlock, a serialization failure, a lock.
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
            ErrorKind::InvalidInput
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

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! kinds {
        ($($kind:ident),* $(,)?) => {
            const KINDS: &[(&str, ErrorKind)] = &[$((stringify!($kind), ErrorKind::$kind)),*];

            /// Does not compile without a kind that is not in the list.
            const fn is_listed(kind: ErrorKind) -> bool {
                match kind {
                    $(ErrorKind::$kind => true,)*
                }
            }
        };
    }

    kinds!(
        Configuration,
        InvalidInput,
        UnknownTenant,
        TenantUnavailable,
        Suspended,
        AlreadyExists,
        Dependents,
        MissingSchema,
        PoolTimeout,
        PoolBusy,
        PoolClosed,
        DatabaseUnavailable,
        DatabaseClosed,
        Database,
        RowNotFound,
        Decode,
        Registry,
        Migration,
        Conflict,
        Unsupported,
    );

    /// The cells of a kind's row in the documentation: retryable, and permanent.
    fn documented(name: &str) -> Option<(String, String)> {
        let row = include_str!("consequence.rs").lines().find_map(|line| {
            line.trim_start()
                .strip_prefix("/// | [`")?
                .strip_prefix(&format!("{name}`](ErrorKind::{name}) |"))
        })?;
        let mut cells = row.split('|').map(|cell| cell.trim().to_owned());
        Some((cells.next()?, cells.next()?))
    }

    #[test]
    fn every_kind_is_as_permanent_as_its_documentation_says() {
        for (name, kind) in KINDS {
            let Some((retryable, permanent)) = documented(name) else { panic!("{name} is not documented") };
            let error = Error::new(*kind, "x");
            assert!(is_listed(*kind));
            // Without a code, nothing is known of what PostgreSQL refused.
            assert_eq!(error.is_permanent(), permanent == "yes", "{name}");
            assert_eq!(error.is_retryable(), retryable.starts_with("yes"), "{name}");
            assert!(!(error.is_permanent() && error.is_retryable()), "{name}");
        }
        let lines = include_str!("consequence.rs").lines().map(str::trim_start);
        let rows = lines.filter(|line| line.starts_with("/// | [`") && line.contains("`](ErrorKind::"));
        assert_eq!(rows.count(), KINDS.len(), "one row per kind");
    }
}
