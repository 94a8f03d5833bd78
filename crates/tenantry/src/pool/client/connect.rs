//! Connects tokio-postgres to the database that a URL names, in the way sqlx does.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::secrets::Secrets;
use super::tls;
use crate::database::DatabaseConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::driver::ClientCheck;

/// The settings that sqlx makes on each of its connections, so that a statement means the same on both.
const SESSION_DEFAULTS: &str = "-c TimeZone=UTC -c DateStyle=ISO,MDY";

/// Everything that opening a connection takes.
pub(super) struct Connector {
    config: Config,
    client_check: ClientCheck,
    tls: MakeRustlsConnect,
}

type Connected = (Client, Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>);

impl Connector {
    /// Reads the certificates that the options name.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if one cannot be read.
    pub(super) async fn new(database: &DatabaseConfig) -> Result<Self> {
        let options = database.pooled();
        let client_check = ClientCheck::every(database.pool_config().client_connection_check_interval);
        let secrets = Secrets::of(&options);
        let config = config(&options, secrets.password.as_deref());
        let tls = tls::config(options.get_ssl_mode(), &secrets).await.map_err(|source| {
            Error::new(ErrorKind::Configuration, "TLS cannot be set up as the URL of the database says")
                .with_source(source)
        })?;
        Ok(Self { config, client_check, tls: MakeRustlsConnect::new(tls) })
    }

    pub(super) async fn connect(&self) -> Result<Connected, tokio_postgres::Error> {
        let Some((name, value)) = self.client_check.parameter() else {
            return self.config.connect(self.tls.clone()).await;
        };
        let mut checked = self.config.clone();
        checked.options(format!("{} -c {name}={value}", self.config.get_options().unwrap_or_default()));
        match checked.connect(self.tls.clone()).await {
            Err(error) if is_refused(&self.client_check, &error) => {
                self.config.connect(self.tls.clone()).await
            }
            connected => connected,
        }
    }
}

fn is_refused(client_check: &ClientCheck, error: &tokio_postgres::Error) -> bool {
    let refusal = error.as_db_error();
    refusal.is_some_and(|refusal| client_check.is_refused(Some(refusal.code().code()), refusal.message()))
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
    config.options(format!("{SESSION_DEFAULTS} {}", options.get_options().unwrap_or_default()));
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
