//! The error of a database that no connection could be opened to.

use crate::database::Route;
use crate::error::{BoxError, Error, ErrorKind, sqlstate};
use crate::tenant::Alias;

/// Says which database it is, and what to do where the cause tells.
pub(super) fn unreachable(alias: &Alias, route: &Route, source: BoxError) -> Error {
    if let Some((parameter, file)) = route.missing_file() {
        let message = format!("`{parameter}` in the URL of database `{alias}` names `{}`", file.display());
        return Error::new(ErrorKind::Configuration, message)
            .with_source(source)
            .with_hint("check that the file is there, and that this program may read it");
    }
    let message = format!("database `{alias}` at {} cannot be reached", route.address());
    let error = Error::new(ErrorKind::DatabaseUnavailable, message).with_source(source);
    let code = error.database_code().unwrap_or_default();
    match refused(&code).or_else(|| not_trusted(&format!("{error:#}"))) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The advice for what the server refuses a connection with.
fn refused(code: &str) -> Option<&'static str> {
    Some(match code {
        sqlstate::INVALID_PASSWORD => {
            "the server runs, and the role or its password is wrong: check both in the URL, and percent-encode \
             `# / ? @ %` in the password"
        }
        sqlstate::INVALID_AUTHORIZATION => {
            "the server runs, and lets nobody in with this role, database and address: check the URL and its \
             `sslmode`, and the server's pg_hba.conf"
        }
        sqlstate::INVALID_CATALOG_NAME => {
            "the server runs, and has no such database: create it, or check the URL"
        }
        sqlstate::TOO_MANY_CONNECTIONS => {
            "the server takes no more connections: lower `max_connections` of the pool, or raise that of the server"
        }
        sqlstate::PROTOCOL_VIOLATION => {
            "a pooler may refuse what the URL's `options` or the variable PGOPTIONS ask for: leave them out"
        }
        _ => return None,
    })
}

/// The advice for a certificate that is not accepted, by the words of rustls.
fn not_trusted(chain: &str) -> Option<&'static str> {
    if chain.contains("CaUsedAsEndEntity") {
        return Some(
            "the server shows the certificate of an authority (`CA:TRUE`), as `openssl req -x509` makes it: give it \
             one with `basicConstraints=CA:FALSE` that an authority has signed, and name that in `sslrootcert`",
        );
    }
    if chain.contains("UnknownIssuer") {
        return Some(
            "no authority that is trusted has signed the server's certificate: name the one that has in `sslrootcert`",
        );
    }
    if chain.contains("certificate not valid for name") {
        return Some(
            "the server's certificate is for another name: use that as host, or `sslmode=verify-ca` where names do not \
             matter",
        );
    }
    let is_of_another_time =
        ["certificate expired", "certificate not valid yet"].iter().any(|it| chain.contains(it));
    is_of_another_time
        .then_some("give the server a certificate that is valid now, or set this machine's clock")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::DatabaseConfig;

    fn error(url: &str, source: &str) -> Error {
        let config = DatabaseConfig::from_url(url).expect("a good URL");
        unreachable(&Alias::default(), config.application(), source.into())
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        for name in ["sslrootcert", "sslkey"] {
            let error = error(&format!("postgres://u@h/d?{name}=/no/such.pem"), "not found");
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
            assert!(error.to_string().contains("`/no/such.pem`") && !error.is_retryable(), "{error}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_accepted_is_explained() {
        for (source, hint) in [
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", "CA:FALSE"),
            ("invalid peer certificate: UnknownIssuer", "`sslrootcert`"),
            (
                "certificate not valid for name \"h\"; certificate is only valid for DnsName(\"g\")",
                "verify-ca",
            ),
            ("invalid peer certificate: certificate expired: verification time 2 (UNIX)", "clock"),
        ] {
            let error = error("postgres://u@h1,h2/d", source);
            assert!(error.to_string().contains("u@h1:5432,h2:5432/d"), "{error}");
            assert!(error.hint().is_some_and(|text| text.contains(hint)), "{error:?}");
        }
    }
}
