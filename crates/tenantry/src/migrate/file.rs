//! Applies files that share a transaction: to one schema, or to several that are alike.

use sqlx::PgConnection;

use super::distribution::was_not_distributed;
use super::inspection::Inspection;
use super::ledger::Ledger;
use super::lock::SchemaLock;
use super::message::Message;
use super::plan::{Applied, Change, Direction};
use super::send::{is_unmet, send_in_turn, send_whole};
use super::site::Site;
use crate::database::Dialect;
use crate::error::{Error, ErrorKind, Result, sqlstate};
use crate::fail_point::{self, FailPoint};
use crate::guard::{Guard, stands};

/// Applies files that share a transaction to a schema of which `rows` is known, in one round trip: the
/// server takes the lock, and compares the ledger with what is known, before anything else.
///
/// Answers `false` where that does not succeed, or where the files cannot share a transaction after all.
/// Nothing has changed then, and [`migrate_schema`](super::schema::migrate_schema) finds out what to do.
pub(super) async fn apply_at_once(
    connection: &mut PgConnection,
    site: Site<'_>,
    rows: &[Applied],
    changes: &[Change<'_>],
) -> Result<bool> {
    let message = at_once(&[site], rows, changes);
    fail_point::reached(FailPoint::BeforeMigrate);
    match send_whole(connection, site, &message).await {
        Err(error) if is_unexpected(&error) || needs_own_transaction(&error) => Ok(false),
        result => {
            fail_point::reached(FailPoint::AfterMigrate);
            result.map(|()| true)
        }
    }
}

/// Does the same to several schemas of which `rows` is known, in one transaction: to all of them or, for whatever
/// reason, to none. What is wrong with which of them is found out one by one.
///
/// # Errors
/// If the connection was lost.
pub(super) async fn apply_together(
    connection: &mut PgConnection,
    sites: &[Site<'_>],
    rows: &[Applied],
    changes: &[Change<'_>],
) -> Result<bool> {
    let sites: Vec<_> = sites.iter().map(|site| site.among_several()).collect();
    let Some(site) = sites.first() else { return Ok(true) };
    let message = at_once(&sites, rows, changes);
    fail_point::reached(FailPoint::BeforeMigrate);
    match send_whole(connection, *site, &message).await {
        Err(error) if error.kind() == ErrorKind::DatabaseUnavailable => Err(error),
        result => {
            fail_point::reached(FailPoint::AfterMigrate);
            Ok(result.is_ok())
        }
    }
}

/// The transaction, with its conditions, that applies files to schemas whose ledgers are alike.
fn at_once(sites: &[Site<'_>], rows: &[Applied], changes: &[Change<'_>]) -> Message {
    let mut ledgers: Vec<_> = sites.iter().map(|site| Ledger::of(site.schema, rows)).collect();
    let locks = sites.iter().map(|site| SchemaLock::of(site.schema).try_in_transaction());
    let mut conditions: Vec<_> = locks.chain(ledgers.iter().map(Ledger::is_as_expected)).collect();
    conditions.extend(sites.first().and_then(Site::has_token));
    conditions.extend(sites.iter().filter_map(Site::has_type));
    let mut message = Message::new();
    message.push_own("BEGIN");
    message.push_condition(&conditions);
    for (site, ledger) in sites.iter().zip(&mut ledgers) {
        push_changes(&mut message, *site, ledger, changes, Manner::Brief);
    }
    if let (Some(site), Some(ledger)) = (sites.last(), ledgers.last()) {
        push_end(&mut message, *site);
        message.push_own(&if changes.iter().any(|change| change.script().may_change_types()) {
            ledger.summarise()
        } else {
            ledger.summarise_without_types(&sites.iter().map(|site| site.schema).collect::<Vec<_>>())
        });
    }
    message.push_own("COMMIT");
    message
}

/// The condition does not hold, or the ledger or its schema is not there. A file that fails in this way
/// fails once more.
fn is_unexpected(error: &Error) -> bool {
    is_unmet(error) || error.database_code().is_some_and(|code| sqlstate::is_missing(&code))
}

/// Applies several files in one transaction, or each in its own where PostgreSQL insists.
pub(super) async fn apply_batch(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    changes: &[Change<'_>],
) -> Result<()> {
    let mut after = ledger.clone();
    match apply_in_transaction(connection, site, &mut after, changes).await {
        Ok(()) => *ledger = after,
        Err(error) if changes.len() > 1 && needs_own_transaction(&error) => {
            for change in changes {
                apply_in_transaction(connection, site, ledger, &[*change]).await?;
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A new enum value must be committed before it is used, and a table with pending trigger events
/// cannot be altered. On Citus, some schemas must be committed before they are distributed.
pub(crate) fn needs_own_transaction(error: &Error) -> bool {
    let codes = [sqlstate::UNSAFE_NEW_ENUM_VALUE_USAGE, sqlstate::OBJECT_IN_USE];
    was_not_distributed(error) || error.database_code().is_some_and(|code| codes.contains(&&*code))
}

/// Applies files in one transaction, which holds their ledger rows.
async fn apply_in_transaction(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    changes: &[Change<'_>],
) -> Result<()> {
    let mut message = Message::new();
    message.push_own("BEGIN");
    message.push_condition(site.has_token().as_slice());
    message.push_own(&ledger.create());
    push_changes(&mut message, site, ledger, changes, Manner::Thorough);
    push_end(&mut message, site);
    message.push_own(&ledger.summarise());
    message.push_own("COMMIT");
    fail_point::reached(FailPoint::BeforeMigrate);
    send_in_turn(connection, site, &message).await?;
    fail_point::reached(FailPoint::AfterMigrate);
    Ok(())
}

/// The surroundings of files in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Without saying what is wrong, because it is tried again in another manner.
    Brief,
    Thorough,
    /// The transaction holds rows of the registry already.
    InCreation,
}

pub(super) fn push_changes(
    message: &mut Message,
    site: Site<'_>,
    ledger: &mut Ledger,
    changes: &[Change<'_>],
    manner: Manner,
) {
    let mut is_burdened = manner == Manner::InCreation;
    for change in changes {
        let inspection = Inspection::of(site, *change).burdened(is_burdened);
        message.push_each(&site.enter_transaction());
        push_change(message, site, ledger, *change, &inspection, manner);
        is_burdened |= change.script().may_reach_outside();
    }
}

/// Enters the schema once more, for the triggers that are deferred to the commit.
pub(super) fn push_end(message: &mut Message, site: Site<'_>) {
    message.push_each(&site.enter_transaction());
}

/// A row that says that the file has not run surrounds it: should the file end the transaction, that stays.
fn push_change(
    message: &mut Message,
    site: Site<'_>,
    ledger: &mut Ledger,
    change: Change<'_>,
    inspection: &Inspection<'_>,
    manner: Manner,
) {
    let (version, file) = (change.migration().version(), change.script().text());
    let mark = mark_of(ledger, change);
    if stands(Guard::LedgerFirst) {
        message.push_own(&mark);
    }
    if let Some(note) = inspection.before() {
        message.push_own(&note);
    }
    message.push_file(file);
    if !stands(Guard::LedgerFirst) {
        message.push_own(&mark);
    }
    if let Some(question) = inspection.after(ledger, version) {
        message.push_question(&question, file);
    }
    // What the file has set, be it a timeout or, in a function, the path, is for itself alone.
    if let Some(condition) = inspection.condition(manner == Manner::Brief) {
        message.push_question(&finish_of(ledger, site.dialect, change, Some(&condition)), file);
        message.push_own("RESET ALL");
    } else {
        message.push_own("RESET ALL");
        message.push_own(&finish_of(ledger, site.dialect, change, None));
    }
    match change.direction() {
        Direction::Up => ledger.add(change.migration()),
        Direction::Down => ledger.remove(version),
    }
}

/// Notes that a file is about to run.
pub(super) fn mark_of(ledger: &Ledger, change: Change<'_>) -> String {
    match change.direction() {
        Direction::Up => ledger.insert(change.migration(), false),
        Direction::Down => ledger.unfinish(change.migration().version()),
    }
}

/// Notes that a file has run, if a condition holds.
fn finish_of(ledger: &Ledger, dialect: Dialect, change: Change<'_>, condition: Option<&str>) -> String {
    let version = change.migration().version();
    match (change.direction(), condition) {
        (Direction::Up, Some(condition)) => ledger.finish_on_condition(condition, version),
        (Direction::Up, None) => ledger.finish(dialect, version),
        (Direction::Down, Some(condition)) => ledger.delete_on_condition(condition, version),
        (Direction::Down, None) => ledger.delete(version),
    }
}
