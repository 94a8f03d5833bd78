//! The error of a database that no connection could be opened to.

use crate::database::Route;
use crate::error::{BoxError, Error, ErrorKind, sqlstate};
use crate::tenant::Alias;

/// Says which database it is, and what to do where the cause tells.
pub(super) fn unreachable(alias: &Alias, route: &Route, source: BoxError) -> Error {
    let message = format!("database `{alias}` at {} cannot be reached", route.address());
    let error = Error::new(ErrorKind::DatabaseUnavailable, message).with_source(source);
    let code = error.database_code().unwrap_or_default();
    match hint(&code) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The advice for what the server refuses a connection with.
fn hint(code: &str) -> Option<&'static str> {
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
