//! A route to a database: where it is, and as whom to log in.

use std::fmt;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;

use crate::error::{Error, ErrorKind, Result};

/// The name that a session has on the server where the URL gives none.
const APPLICATION: &str = "tenantry";

/// A login at an address.
#[derive(Clone)]
pub(crate) struct Route {
    options: PgConnectOptions,
}

impl Route {
    /// Reads a URL. No error repeats it: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(Error::new(
                ErrorKind::Configuration,
                "the database URL does not start with `postgres://`",
            )
            .with_hint("write it as postgres://user:password@host:5432/database"));
        }
        let options = PgConnectOptions::from_str(url).map_err(|error| {
            Error::new(ErrorKind::Configuration, "the database URL cannot be read")
                .with_hint("write it as postgres://user:password@host:5432/database")
                .with_source(error)
        })?;
        Ok(Self::of(options))
    }

    /// Takes the options of a connection as they are, but for what keeps a pooler from taking it.
    pub(super) fn of(options: PgConnectOptions) -> Self {
        // PgBouncer refuses this parameter. PostgreSQL itself prints floats so that nothing is lost.
        let options = options.extra_float_digits(None);
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name(APPLICATION),
        };
        Self { options }
    }

    pub(crate) fn with_statement_cache(self, capacity: usize) -> Self {
        Self { options: self.options.statement_cache_capacity(capacity) }
    }

    /// Takes back the limits of time that `PGOPTIONS` of a shell may set, and which would come back with every
    /// `RESET ALL`. Without the variable nothing is asked for that a pooler could refuse.
    pub(crate) fn without_limits(self) -> Self {
        if std::env::var_os("PGOPTIONS").is_none() {
            return self;
        }
        let limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
        Self { options: self.options.options(limits.map(|limit| (limit, "0"))) }
    }

    /// The options of a connection, with nothing that a pooler refuses unless the URL asks for it.
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    pub(crate) fn application_name(&self) -> &str {
        self.options.get_application_name().unwrap_or(APPLICATION)
    }

    /// The role that logs in.
    pub(crate) fn role(&self) -> &str {
        self.options.get_username()
    }

    /// The name of the database.
    pub(crate) fn database(&self) -> &str {
        self.options.get_database().unwrap_or(self.role())
    }

    /// The address without any secret: `user@host:port/name`.
    pub(crate) fn address(&self) -> String {
        let place = match self.options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", self.options.get_host(), self.options.get_port()),
        };
        format!("{}@{place}/{}", self.role(), self.database())
    }
}

// sqlx's options print their password.
impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
    }
}
