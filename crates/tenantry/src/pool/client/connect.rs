//! Connects tokio-postgres to the database that a URL names, in the way sqlx does.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::secrets::Secrets;
use super::tls;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::opener::Opener;

/// A silent server is asked for a sign of life after this time, …
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// … then this often, …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// … and given up when it let so many questions pass, …
const KEEPALIVE_RETRIES: u32 = 3;
/// … or did not take what was sent for this long.
const USER_TIMEOUT: Duration = Duration::from_mins(1);

/// Everything that opening a connection takes.
pub(super) struct Connector {
    opener: Opener,
    tls: MakeRustlsConnect,
}

type Connected = (Client, Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>);

impl Connector {
    /// Reads the certificates that the options name.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if one cannot be read.
    pub(super) async fn new(opener: &Opener) -> Result<Self> {
        let options = opener.route().options();
        let tls = tls::config(options.get_ssl_mode(), &Secrets::of(options)).await.map_err(|source| {
            Error::new(ErrorKind::Configuration, "TLS cannot be set up as the URL of the database says")
                .with_source(source)
        })?;
        Ok(Self { opener: opener.clone(), tls: MakeRustlsConnect::new(tls) })
    }

    pub(super) async fn connect(&self, host: &PgConnectOptions) -> Result<Connected> {
        loop {
            match self.config(host).connect(self.tls.clone()).await {
                Err(error) if self.are_options_refused(&error) => {}
                connected => return connected.map_err(|error| self.opener.unreachable(error.into())),
            }
        }
    }

    fn are_options_refused(&self, error: &tokio_postgres::Error) -> bool {
        let code = error.code().map(SqlState::code);
        code.is_some_and(|code| self.opener.defaults().are_options_refused(code))
    }

    /// The configuration of the next connection.
    fn config(&self, host: &PgConnectOptions) -> Config {
        let mut config = config(host, Secrets::of(host).password.as_deref());
        let options: Vec<_> = config.get_options().map(str::to_owned).into_iter().collect();
        let defaults = self.opener.defaults().options().into_iter();
        let defaults = defaults.map(|(name, value)| format!("-c {name}={value}"));
        let options: Vec<_> = options.into_iter().chain(defaults).collect();
        if !options.is_empty() {
            config.options(options.join(" "));
        }
        config
    }
}

fn config(options: &PgConnectOptions, password: Option<&str>) -> Config {
    let mut config = Config::new();
    match options.get_socket() {
        Some(folder) => config.host_path(folder),
        // An address of IPv6 stands in brackets in a URL only.
        None => config.host(options.get_host().trim_matches(['[', ']'])),
    };
    let user = options.get_username();
    config.port(options.get_port()).user(user).dbname(options.get_database().unwrap_or(user));
    config.keepalives_idle(KEEPALIVE_IDLE).keepalives_interval(KEEPALIVE_INTERVAL);
    config.keepalives_retries(KEEPALIVE_RETRIES).tcp_user_timeout(USER_TIMEOUT);
    if let Some(options) = options.get_options() {
        config.options(options);
    }
    if let Some(password) = password {
        config.password(password);
    }
    if let Some(name) = options.get_application_name() {
        config.application_name(name);
    }
    config.ssl_mode(match options.get_ssl_mode() {
        // sqlx does not know how to fall back to TLS.
        PgSslMode::Disable | PgSslMode::Allow => SslMode::Disable,
        PgSslMode::Prefer => SslMode::Prefer,
        PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull => SslMode::Require,
    });
    config
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    #[track_caller]
    fn read(url: &str) -> Config {
        let options: PgConnectOptions = url.parse().expect("a URL");
        config(&options, Secrets::of(&options).password.as_deref())
    }

    #[test]
    fn a_url_means_what_it_means_to_sqlx() {
        let read = read("postgres://a%40b:p%2F%3A%23@[::1]:99/d?sslmode=verify-full&application_name=x");
        assert_eq!(read.get_hosts(), [Host::Tcp("::1".to_owned())]);
        assert_eq!(read.get_ports(), [99]);
        assert_eq!(read.get_user(), Some("a@b"));
        assert_eq!(read.get_password(), Some(&b"p/:#"[..]));
        assert_eq!(read.get_dbname(), Some("d"));
        assert_eq!(read.get_application_name(), Some("x"));
        assert_eq!(read.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn a_folder_is_the_way_to_a_socket() {
        let read = read("postgres://a@host/d?host=/run/my%20server");
        assert_eq!(read.get_hosts(), [Host::Unix("/run/my server".into())]);
    }
}
