//! Distributes a schema over the nodes of Citus: its tables go to one of the workers, and shells of them stay.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::citus::synchronous;
use super::message::Message;
use super::send::{commit, send};
use super::site::Site;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{Identifier, Literal};

/// Distributes a schema that is filled, in the transaction that has filled it or in one of its own. Does nothing where
/// the server is not Citus.
pub(crate) async fn distribute(connection: &mut PgConnection, site: Site<'_>) -> Result<()> {
    if !site.is_on_citus() {
        return Ok(());
    }
    let mut message = Message::new();
    // What was set before may be reset by now.
    message.push_each(&synchronous());
    message.push_own(&format!("SELECT pg_catalog.citus_schema_distribute({})", namespace(site)));
    send(connection, site, &message).await.map_err(|error| not_distributed(site, error))
}

/// Does the same in a transaction of its own, unless it was done before.
pub(crate) async fn distribute_alone(connection: &mut PgConnection, site: Site<'_>) -> Result<()> {
    if !site.is_on_citus() || is_distributed(connection, site).await? {
        return Ok(());
    }
    let mut tx = connection.begin().await?;
    distribute(&mut tx, site).await?;
    commit(tx, site).await
}

/// Returns true if the tables of a schema are on a worker.
async fn is_distributed(connection: &mut PgConnection, site: Site<'_>) -> Result<bool> {
    let find = format!(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_dist_schema WHERE schemaid = {})",
        namespace(site)
    );
    Ok(sqlx::query_scalar(AssertSqlSafe(find)).persistent(false).fetch_one(connection).await?)
}

fn namespace(site: Site<'_>) -> String {
    let name = Identifier(site.schema.as_str()).to_string();
    format!("{}::pg_catalog.regnamespace", Literal(&name))
}

/// A schema could not be distributed in the transaction that made it: an owner who is no superuser is not known on the
/// workers yet as the owner of a sequence in it.
#[derive(Debug, thiserror::Error)]
#[error("the schema could not be distributed")]
struct NotDistributed(#[source] Error);

fn not_distributed(site: Site<'_>, error: Error) -> Error {
    if error.kind() == ErrorKind::DatabaseUnavailable {
        return error;
    }
    let hint = error.hint().map(str::to_owned);
    let message = format!("the schema could not be distributed ({})", site.whose());
    let wrapped = site.error(ErrorKind::Migration, message).with_source(NotDistributed(error));
    match hint {
        Some(hint) => wrapped.with_hint(hint),
        None => wrapped,
    }
}

/// Returns true if a schema may be distributed once the transaction that made it is committed.
pub(super) fn was_not_distributed(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<NotDistributed>)
}
