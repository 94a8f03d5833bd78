//! Reads the URL of a database as libpq does.
//!
//! What libpq knows and sqlx does not is either done here or refused by name: a parameter that is dropped in
//! silence may be the one that makes a connection safe.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

const FORM: &str =
    "write it as postgres://user:password@host:5432/database, and percent-encode `# / ? @ %` in its parts";

/// The parts of a URL, decoded.
#[derive(Default)]
pub(super) struct DatabaseUrl {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// Empty where the environment or the default says where the server is.
    pub(super) hosts: Vec<HostAddress>,
    pub(super) database: Option<String>,
    /// Parameters that sqlx knows under these names.
    pub(super) parameters: Vec<(&'static str, String)>,
    /// Settings of the session, by the names of sqlx.
    pub(super) settings: Vec<(String, String)>,
    pub(super) wanted: Wanted,
    pub(super) connect_timeout: Option<Duration>,
}

/// A server to try.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostAddress {
    /// A name, an address without brackets, or the folder of a socket.
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
}

/// The kind of server that will do, of those that answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    #[default]
    Any,
    Primary,
    /// A primary whose sessions may write.
    ReadWrite,
    /// The node of a Citus cluster that goes by the address of the only host.
    Node,
}

/// The hosts and ports of a URL, in whichever part they stand.
#[derive(Default)]
struct Places {
    hosts: Vec<String>,
    ports: Vec<String>,
}

impl DatabaseUrl {
    pub(super) fn parse(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let Some(rest) = rest else {
            let hint = "write it as postgres://user:password@host:5432/database";
            return Err(refused("the database URL does not start with `postgres://`", hint));
        };
        let mut read = Self::default();
        let mut places = Places::default();
        let rest = read.take_credentials(rest)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        places.take_authority(authority)?;
        read.database = non_empty(decode(path)?);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(refused("a parameter of the database URL has no value", FORM));
            };
            read.take_parameter(&decode(name)?, decode(value)?, &mut places)?;
        }
        read.hosts = places.pair()?;
        read.check_tls()?;
        Ok(read)
    }

    /// Takes `user:password@` off, where it stands before the first slash.
    fn take_credentials<'a>(&mut self, rest: &'a str) -> Result<&'a str> {
        let end = rest.find('/').unwrap_or(rest.len());
        let Some(first) = rest[..end].find('@') else { return Ok(rest) };
        let end = rest[first..end].find('?').map_or(end, |length| first + length);
        // Where several stand there, all but the last were meant to be encoded.
        let at = rest[..end].rfind('@').unwrap_or(first);
        let (user, password) = match rest[..at].split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (&rest[..at], None),
        };
        self.user = non_empty(decode(user)?);
        self.password = password.map(decode).transpose()?;
        Ok(&rest[at + 1..])
    }

    fn take_parameter(&mut self, name: &str, value: String, places: &mut Places) -> Result<()> {
        let known = match name {
            "host" | "hostaddr" => {
                places.hosts = split(&value);
                return Ok(());
            }
            "port" => {
                places.ports = split(&value);
                return Ok(());
            }
            "user" => {
                self.user = non_empty(value);
                return Ok(());
            }
            "password" => {
                self.password = non_empty(value);
                return Ok(());
            }
            "dbname" => {
                self.database = non_empty(value);
                return Ok(());
            }
            "target_session_attrs" => {
                self.wanted = wanted(&value)?;
                return Ok(());
            }
            "connect_timeout" => {
                self.connect_timeout = connect_timeout(&value)?;
                return Ok(());
            }
            "sslmode" | "ssl-mode" => "sslmode",
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "sslrootcert",
            "sslcert" | "ssl-cert" => "sslcert",
            "sslkey" | "ssl-key" => "sslkey",
            "application_name" | "fallback_application_name" => "application_name",
            "options" => "options",
            "statement-cache-capacity" => "statement-cache-capacity",
            _ => match name.strip_prefix("options[").and_then(|setting| setting.strip_suffix(']')) {
                Some(setting) => {
                    self.settings.push((setting.to_owned(), value));
                    return Ok(());
                }
                None => return unsupported(name, &value),
            },
        };
        if known == "application_name" && name != known && self.parameter(known).is_some() {
            return Ok(());
        }
        self.parameters.push((known, value));
        Ok(())
    }

    /// The value of a parameter; the last one wins.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Refuses the modes of TLS that sqlx does not know, and makes those of libpq of the others.
    fn check_tls(&mut self) -> Result<()> {
        let mode = self.parameter("sslmode").map(str::to_owned);
        match mode.as_deref() {
            None | Some("disable" | "prefer" | "require" | "verify-ca" | "verify-full") => {}
            Some("allow") => {
                return Err(refused(
                    "`sslmode=allow` in the database URL is not supported",
                    "use `sslmode=prefer`, or `sslmode=disable`",
                ));
            }
            Some(_) => {
                let modes = "`disable`, `prefer`, `require`, `verify-ca` and `verify-full`";
                return Err(refused(
                    "`sslmode` in the database URL has no such value",
                    format!("the known ones are {modes}"),
                ));
            }
        }
        match (self.parameter("sslrootcert"), mode.as_deref()) {
            (Some("system"), None | Some("verify-full")) => {
                self.parameters.retain(|(name, _)| *name != "sslrootcert");
                self.parameters.push(("sslmode", "verify-full".to_owned()));
            }
            (Some("system"), Some(_)) => {
                let hint = "use `sslmode=verify-full`";
                return Err(refused(
                    "`sslrootcert=system` in the database URL needs another `sslmode`",
                    hint,
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Places {
    fn take_authority(&mut self, authority: &str) -> Result<()> {
        for place in authority.split(',').filter(|_| !authority.is_empty()) {
            let (host, port) = match place.strip_prefix('[') {
                Some(rest) => {
                    let Some((host, rest)) = rest.split_once(']') else {
                        return Err(refused("an address in the database URL has no `]`", FORM));
                    };
                    (host, rest.strip_prefix(':').unwrap_or(rest))
                }
                None => place.split_once(':').unwrap_or((place, "")),
            };
            self.hosts.push(decode(host)?);
            self.ports.push(decode(port)?);
        }
        Ok(())
    }

    /// One port is that of all hosts; otherwise each has its own.
    fn pair(self) -> Result<Vec<HostAddress>> {
        let ports = self.ports.iter().map(|port| port_of(port)).collect::<Result<Vec<_>>>()?;
        let hosts = if self.hosts.is_empty() && !ports.is_empty() { vec![String::new()] } else { self.hosts };
        if ports.len() > 1 && ports.len() != hosts.len() {
            let hint = "give one port for all hosts, or one for each";
            return Err(refused("the database URL has another number of ports than of hosts", hint));
        }
        let port =
            |index: usize| if ports.len() == 1 { ports[0] } else { ports.get(index).copied().flatten() };
        let places = hosts.into_iter().enumerate();
        let places: Vec<_> =
            places.map(|(index, host)| HostAddress { host: non_empty(host), port: port(index) }).collect();
        let says_nothing = places.iter().all(|place| *place == HostAddress::default());
        Ok(if says_nothing { Vec::new() } else { places })
    }
}

fn port_of(port: &str) -> Result<Option<u16>> {
    if port.is_empty() {
        return Ok(None);
    }
    let read = port.parse().ok().filter(|port| *port != 0);
    // The text may be the end of a password with a slash in it.
    read.map(Some).ok_or_else(|| refused("a port in the database URL is no number from 1 to 65535", FORM))
}

fn wanted(value: &str) -> Result<Wanted> {
    match value {
        "any" => Ok(Wanted::Any),
        "primary" => Ok(Wanted::Primary),
        "read-write" => Ok(Wanted::ReadWrite),
        _ => Err(refused(
            "`target_session_attrs` in the database URL has a value that is not supported",
            "tenants are read and written: use `read-write`, `primary` or `any`",
        )),
    }
}

/// Zero is for ever, to libpq; then the default is as good.
fn connect_timeout(value: &str) -> Result<Option<Duration>> {
    let seconds: Option<i64> = value.trim().parse().ok();
    let Some(seconds) = seconds else {
        let hint = "give a number, or leave it out";
        return Err(refused("`connect_timeout` in the database URL is no number of seconds", hint));
    };
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

/// Refuses a parameter, unless its value asks for what is done in any case.
fn unsupported(name: &str, value: &str) -> Result<()> {
    let is_done_anyway = match name {
        "channel_binding" => matches!(value, "prefer" | "disable"),
        "gssencmode" => matches!(value, "prefer" | "disable"),
        "load_balance_hosts" => value == "disable",
        "sslnegotiation" => value == "postgres",
        "client_encoding" => matches!(value.to_ascii_lowercase().as_str(), "utf8" | "utf-8" | "auto"),
        "sslcompression" | "replication" => matches!(value, "0" | "false"),
        _ => false,
    };
    if is_done_anyway {
        return Ok(());
    }
    let hint = match name {
        "schema" | "search_path" | "currentSchema" => {
            "leave it out: each tenant's schema is set by Tenantry, the master schema by `master_schema`"
        }
        "service" | "servicefile" => "write the host, the database and the user of that service into the URL",
        "channel_binding" => "leave it out, and let `sslmode=verify-full` prove who the server is",
        "passfile" => "set the variable PGPASSFILE",
        "keepalives"
        | "keepalives_idle"
        | "keepalives_interval"
        | "keepalives_count"
        | "tcp_user_timeout" => "leave it out: Tenantry sets what keeps a connection alive",
        _ => "leave it out: it would be without effect",
    };
    // A name is the caller's text as well, but no value.
    let name: String = name.chars().filter(char::is_ascii_graphic).take(40).collect();
    Err(refused(format!("`{name}` in the database URL is not supported"), hint))
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = behind;
            continue;
        }
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some(byte) =
            digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|byte| *byte != 0)
        else {
            return Err(refused("a `%` in the database URL is not followed by two hexadecimal digits", FORM));
        };
        bytes.push(byte);
        rest = &behind[2..];
    }
    String::from_utf8(bytes).map_err(|_| refused("the database URL holds bytes that are no text", FORM))
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message).with_hint(hint)
}

#[cfg(test)]
mod tests;
