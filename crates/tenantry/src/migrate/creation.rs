//! Makes a schema and all that is in it.

use sqlx::PgConnection;

use super::citus;
use super::file::{Manner, push_changes, push_end};
use super::ledger::{self, Ledger};
use super::message::Message;
use super::plan::Change;
use super::send::send;
use super::site::Site;
use crate::error::Result;
use crate::migration::{Baseline, TenantFiles};
use crate::sql::Identifier;

/// Makes a schema and everything in it, for a transaction that is already open.
///
/// # Errors
/// If the files cannot be used.
pub(crate) fn creation_message(site: Site<'_>, files: &TenantFiles, grants: &[String]) -> Result<Message> {
    let mut ledger = Ledger::empty(site.schema);
    let mut message = schema_message(site, grants);
    push_baseline(&mut message, site, &mut ledger, files);
    let newer: Result<Vec<_>, _> = files.beyond_baseline().map(Change::apply).collect();
    let newer = newer.map_err(|conflict| site.conflict(&[conflict]))?;
    push_changes(&mut message, site, &mut ledger, &newer, Manner::InCreation);
    push_end(&mut message, site);
    message.push_own(&ledger.summarise());
    Ok(message)
}

/// Makes a schema with an empty ledger, or finds both there. The grants come before the first
/// migration, because default privileges concern what is created later.
pub(crate) fn schema_message(site: Site<'_>, grants: &[String]) -> Message {
    let mut message = Message::new();
    if site.is_on_citus() {
        message.push_each(&citus::before_schema());
    }
    message.push_own(&format!("CREATE SCHEMA IF NOT EXISTS {}", Identifier(site.schema.as_str())));
    message.push_each(&site.enter("SET LOCAL"));
    message.push_own(&Ledger::empty(site.schema).create());
    message.push_each(grants);
    message
}

/// Lets a schema start from the baseline, in a transaction that is open, unless it was begun before. The
/// caller holds the lock of the schema.
pub(crate) async fn start_from_baseline(
    connection: &mut PgConnection,
    site: Site<'_>,
    files: &TenantFiles,
) -> Result<()> {
    if files.baseline().is_none() || !ledger::read(&mut *connection, site.schema).await?.is_empty() {
        return Ok(());
    }
    let (mut message, mut ledger) = (Message::new(), Ledger::empty(site.schema));
    push_baseline(&mut message, site, &mut ledger, files);
    message.push_own(&ledger.summarise());
    send(connection, site, &message).await
}

/// Enters every squashed version, and then makes what they made. No execution time says that they did not
/// run here.
fn push_baseline(message: &mut Message, site: Site<'_>, ledger: &mut Ledger, files: &TenantFiles) {
    let Some(baseline) = files.baseline() else { return };
    for migration in files.squashed() {
        message.push_own(&ledger.insert(migration, true));
        ledger.add(migration);
    }
    push_statements(message, site, baseline);
}

/// Adds the statements of a baseline, which make its objects in this schema.
pub(super) fn push_statements(message: &mut Message, site: Site<'_>, baseline: &Baseline) {
    message.push_each(&site.enter("SET LOCAL"));
    // A dump has functions before the tables they name.
    message.push_own("SET LOCAL check_function_bodies = off");
    message.push_file(&baseline.renamed(site.schema));
    message.push_own("RESET ALL");
}
