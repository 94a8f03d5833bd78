//! A route to a database: where it is, and as whom to log in.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx_core::percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::url::{DatabaseUrl, HostAddress, Wanted};
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::Node;

/// The name that a session has on the server where the URL gives none.
const APPLICATION: &str = "tenantry";

/// A login at one address, or at several of which one will do.
#[derive(Clone)]
pub(crate) struct Route {
    /// At least one.
    hosts: Vec<PgConnectOptions>,
    wanted: Wanted,
    connect_timeout: Option<Duration>,
    /// The files that the URL names, by their parameters.
    files: Vec<(&'static str, PathBuf)>,
}

impl Route {
    /// Reads a URL. No error repeats it: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let url = DatabaseUrl::parse(url)?;
        let files = files(&url)?;
        let anywhere = [HostAddress::default()];
        let places = if url.hosts.is_empty() { &anywhere[..] } else { &url.hosts };
        let hosts = places.iter().map(|place| options(&url, place)).collect::<Result<_>>()?;
        Ok(Self { hosts, wanted: url.wanted, connect_timeout: url.connect_timeout, files })
    }

    /// Takes the options of a connection as they are, but for what keeps a pooler from taking it.
    pub(super) fn of(options: PgConnectOptions) -> Self {
        let hosts = vec![for_poolers(options)];
        Self { hosts, wanted: Wanted::Any, connect_timeout: None, files: Vec::new() }
    }

    /// The same login at a node of the cluster, which has to say that it is that one.
    pub(crate) fn to_node(&self, node: &Node) -> Self {
        let host = self.options().clone().host(node.host()).port(node.port());
        Self { hosts: vec![host], wanted: Wanted::Node, ..self.clone() }
    }

    /// Returns true if it leads to the socket of a server on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.hosts.iter().any(|host| host.get_socket().is_some() || host.get_host().starts_with('/'))
    }

    pub(crate) fn with_statement_cache(mut self, capacity: usize) -> Self {
        let set = |host: PgConnectOptions| host.statement_cache_capacity(capacity);
        self.hosts = self.hosts.into_iter().map(set).collect();
        self
    }

    /// Takes back the limits of time that `PGOPTIONS` of a shell may set, and which would come back with every
    /// `RESET ALL`. Without the variable nothing is asked for that a pooler could refuse.
    pub(crate) fn without_limits(mut self) -> Self {
        if std::env::var_os("PGOPTIONS").is_some() {
            let limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
            let set = |host: PgConnectOptions| host.options(limits.map(|limit| (limit, "0")));
            self.hosts = self.hosts.into_iter().map(set).collect();
        }
        self
    }

    /// The options of a connection, with nothing that a pooler refuses unless the URL asks for it. Of several
    /// hosts, those of the first.
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.hosts[0]
    }

    /// The same for each host.
    pub(crate) fn hosts(&self) -> &[PgConnectOptions] {
        &self.hosts
    }

    pub(crate) fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// The longest that one host may take, where the URL says so.
    pub(crate) fn connect_timeout(&self) -> Option<Duration> {
        self.connect_timeout
    }

    /// A file that the URL names and that cannot be read, with the parameter that names it.
    pub(crate) fn missing_file(&self) -> Option<(&'static str, &Path)> {
        let files = self.files.iter().map(|(name, file)| (*name, file.as_path()));
        files.into_iter().find(|(_, file)| std::fs::File::open(file).is_err())
    }

    pub(crate) fn application_name(&self) -> &str {
        self.options().get_application_name().unwrap_or(APPLICATION)
    }

    /// The role that logs in.
    pub(crate) fn role(&self) -> &str {
        self.options().get_username()
    }

    /// The name of the database.
    pub(crate) fn database(&self) -> &str {
        self.options().get_database().unwrap_or(self.role())
    }

    /// The address without any secret: `user@host:port/name`.
    pub(crate) fn address(&self) -> String {
        let places: Vec<_> = self.hosts.iter().map(place).collect();
        format!("{}@{}/{}", self.role(), places.join(","), self.database())
    }
}

fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// The options of one host, read by sqlx: what the URL leaves open is in the environment, or in a password file.
fn options(url: &DatabaseUrl, place: &HostAddress) -> Result<PgConnectOptions> {
    let mut text = "postgres:///?".to_owned();
    let mut push = |name: &str, value: &str| {
        let _ = write!(text, "{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC));
    };
    let port = place.port.map(|port| port.to_string());
    for (name, value) in [
        ("host", &place.host),
        ("port", &port),
        ("user", &url.user),
        ("password", &url.password),
        ("dbname", &url.database),
    ] {
        if let Some(value) = value {
            push(name, value);
        }
    }
    for (name, value) in &url.parameters {
        push(name, value);
    }
    let options: PgConnectOptions = text.parse().map_err(|error: sqlx::Error| {
        Error::new(ErrorKind::Configuration, "the database URL cannot be read").with_source(error)
    })?;
    let settings = url.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let options = if url.settings.is_empty() { options } else { options.options(settings) };
    // Whoever names an authority wants the server to be known to it, as libpq has it.
    let options = match (url.parameter("sslrootcert"), options.get_ssl_mode()) {
        (Some(_), PgSslMode::Require) => options.ssl_mode(PgSslMode::VerifyCa),
        _ => options,
    };
    Ok(for_poolers(options))
}

/// Leaves out what a pooler refuses, and names the session.
fn for_poolers(options: PgConnectOptions) -> PgConnectOptions {
    // PgBouncer refuses this parameter. PostgreSQL itself prints floats so that nothing is lost.
    let options = options.extra_float_digits(None);
    match options.get_application_name() {
        Some(_) => options,
        None => options.application_name(APPLICATION),
    }
}

fn files(url: &DatabaseUrl) -> Result<Vec<(&'static str, PathBuf)>> {
    let names = ["sslrootcert", "sslcert", "sslkey"];
    let files = names.into_iter().filter_map(|name| Some((name, url.parameter(name)?)));
    let check = |(name, file): (&'static str, &str)| {
        if file.contains("-----BEGIN") {
            let message = format!("`{name}` in the database URL is a text where a file is expected");
            return Err(Error::new(ErrorKind::Configuration, message)
                .with_hint("write it to a file, and the file's name into the URL"));
        }
        Ok((name, PathBuf::from(file)))
    };
    files.map(check).collect()
}

/// The password in the options, which tell it in their URL only.
#[cfg(test)]
pub(super) fn password_of(options: &PgConnectOptions) -> Option<String> {
    use sqlx::ConnectOptions as _;
    use sqlx_core::percent_encoding::percent_decode_str;
    let url = options.clone().to_url_lossy();
    url.password().map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned())
}

// sqlx's options print their password.
impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
    }
}
