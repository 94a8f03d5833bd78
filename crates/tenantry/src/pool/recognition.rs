//! Finds out which kind of server a database is of.

use sqlx::PgConnection;

use crate::database::{Dialect, Dialects, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::Alias;

/// Asks the server, unless that was done before.
///
/// # Errors
/// [`ErrorKind::Configuration`] if it is not of the kind that the configuration names.
pub(crate) async fn recognize(
    connection: &mut PgConnection,
    alias: &Alias,
    named: Engine,
    dialects: &Dialects,
) -> Result<Dialect> {
    if let Some(known) = dialects.known(alias) {
        return Ok(known);
    }
    let found = ask(connection).await?;
    if let Some(mismatch) = mismatch(alias, named, found) {
        return Err(mismatch);
    }
    dialects.note(alias, found);
    Ok(found)
}

/// Not in one statement: the table of the nodes is there with the extension alone.
pub(crate) async fn ask(connection: &mut PgConnection) -> Result<Dialect> {
    let has_extension = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'citus')";
    let has_nodes = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_dist_node)";
    for question in [has_extension, has_nodes] {
        if !sqlx::query_scalar(question).persistent(false).fetch_one(&mut *connection).await? {
            return Ok(Dialect::Postgres);
        }
    }
    Ok(Dialect::Citus)
}

/// The error where the configuration names another kind.
pub(crate) fn mismatch(alias: &Alias, named: Engine, found: Dialect) -> Option<Error> {
    let (problem, hint) = match (named, found) {
        (Engine::Citus, Dialect::Postgres) => (
            "is configured with `engine = \"citus\"`, and is no coordinator of Citus",
            "run `CREATE EXTENSION citus` there and add the nodes, or leave `engine` out",
        ),
        (Engine::Postgres, Dialect::Citus) => (
            "is configured with `engine = \"postgres\"`, and is a coordinator of Citus",
            "name another database, or leave `engine` out to have schemas distributed",
        ),
        _ => return None,
    };
    Some(Error::new(ErrorKind::Configuration, format!("database `{alias}` {problem}")).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naming_a_kind_refuses_the_other_one_and_nothing_else() {
        let is_refused = |named, found| mismatch(&Alias::default(), named, found).is_some();
        assert!(is_refused(Engine::Citus, Dialect::Postgres));
        assert!(is_refused(Engine::Postgres, Dialect::Citus));
        for found in [Dialect::Postgres, Dialect::Citus] {
            assert!(!is_refused(Engine::Auto, found));
        }
        assert!(!is_refused(Engine::Citus, Dialect::Citus));
        assert!(!is_refused(Engine::Postgres, Dialect::Postgres));
    }
}
