//! Applies files to a schema: together in one transaction, as a function, or outside of any transaction.

use sqlx::{Connection as _, PgConnection};

use super::concurrent_index;
use super::inspection::Inspection;
use super::ledger::{self, Ledger};
use super::lock::SchemaLock;
use super::message::Message;
use super::plan::{Applied, Change, Direction};
use super::send::{check_turn, commit, is_unmet, send, send_in_turn, send_whole};
use super::site::Site;
use crate::error::{Error, ErrorKind, Result, sqlstate};
use crate::fail_point::{self, FailPoint};
use crate::guard::{Guard, stands};
use crate::migration::{Code, IndexStep};

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
    let mut ledger = Ledger::of(site.schema, rows);
    let mut conditions = vec![SchemaLock::of(site.schema).try_in_transaction(), ledger.is_as_expected()];
    conditions.extend(site.has_token());
    let mut message = Message::new();
    message.push_own("BEGIN");
    message.push_condition(&conditions);
    push_changes(&mut message, site, &mut ledger, changes, Manner::Brief);
    message.push_own(&if changes.iter().any(|change| change.script().may_change_types()) {
        ledger.summarise()
    } else {
        ledger.summarise_without_types()
    });
    message.push_own("COMMIT");
    fail_point::reached(FailPoint::BeforeMigrate);
    match send_whole(connection, site, &message).await {
        Err(error) if is_unexpected(&error) || needs_own_transaction(&error) => Ok(false),
        result => {
            fail_point::reached(FailPoint::AfterMigrate);
            result.map(|()| true)
        }
    }
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
/// cannot be altered.
pub(crate) fn needs_own_transaction(error: &Error) -> bool {
    let codes = [sqlstate::UNSAFE_NEW_ENUM_VALUE_USAGE, sqlstate::OBJECT_IN_USE];
    error.database_code().is_some_and(|code| codes.contains(&&*code))
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
        push_change(message, ledger, *change, &inspection, manner);
        is_burdened |= change.script().may_reach_outside();
    }
    // Once more, for the triggers that are deferred to the commit.
    message.push_each(&site.enter_transaction());
}

/// A row that says that the file has not run surrounds it: should the file end the transaction, that stays.
fn push_change(
    message: &mut Message,
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
        message.push_question(&finish_of(ledger, change, Some(&condition)), file);
        message.push_own("RESET ALL");
    } else {
        message.push_own("RESET ALL");
        message.push_own(&finish_of(ledger, change, None));
    }
    match change.direction() {
        Direction::Up => ledger.add(change.migration()),
        Direction::Down => ledger.remove(version),
    }
}

/// Notes that a file is about to run.
fn mark_of(ledger: &Ledger, change: Change<'_>) -> String {
    match change.direction() {
        Direction::Up => ledger.insert(change.migration(), false),
        Direction::Down => ledger.unfinish(change.migration().version()),
    }
}

/// Notes that a file has run, if a condition holds.
fn finish_of(ledger: &Ledger, change: Change<'_>, condition: Option<&str>) -> String {
    let version = change.migration().version();
    match (change.direction(), condition) {
        (Direction::Up, Some(condition)) => ledger.finish_on_condition(condition, version),
        (Direction::Up, None) => ledger.finish(version),
        (Direction::Down, Some(condition)) => ledger.delete_on_condition(condition, version),
        (Direction::Down, None) => ledger.delete(version),
    }
}

/// Applies a file that shares no transaction with others, or calls the function that it stands for. One that was
/// interrupted half-way is resumed: what tells that it is done is left out.
pub(super) async fn apply_alone(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    change: Change<'_>,
    resumes: bool,
) -> Result<()> {
    match change.code() {
        Some(code) => apply_code(connection, site, ledger, change, code).await,
        None => apply_without_transaction(connection, site, ledger, change, resumes).await,
    }
}

/// Has a function applied in a transaction of its own, between the two halves of what surrounds a file.
async fn apply_code(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    change: Change<'_>,
    code: &Code,
) -> Result<()> {
    let migration = change.migration();
    // As sqlx's own transaction, so that one that the function begins is a savepoint.
    let mut tx = connection.begin().await?;
    if site.has_token().is_some() {
        check_turn(&mut tx, site).await?;
    }
    let mut before = Message::new();
    before.push_own(&ledger.create());
    before.push_each(&site.enter_transaction());
    before.push_own(&ledger.insert(migration, false));
    let inspection = Inspection::of(site, change);
    if let Some(note) = inspection.before() {
        before.push_own(&note);
    }
    send(&mut tx, site, &before).await?;
    let result = code.call(&mut tx).await;
    // What it has prepared knows the tables and types of this tenant.
    tx.clear_cached_statements().await?;
    result.map_err(|error| {
        let message = format!("{}: {error} ({})", migration.file(), site.whose());
        site.error(ErrorKind::Migration, message).with_source(error)
    })?;
    let mut after = Message::new();
    if let Some(question) = inspection.after(ledger, migration.version()) {
        after.push_question(&question, change.script().text());
    }
    after.push_own("RESET ALL");
    after.push_each(&site.enter_transaction());
    after.push_own(&ledger.finish(migration.version()));
    ledger.add(migration);
    after.push_own(&ledger.summarise());
    send(&mut tx, site, &after).await?;
    commit(tx, site).await
}

/// Applies a file that must not be in a transaction. The ledger is told before and after.
async fn apply_without_transaction(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    change: Change<'_>,
    resumes: bool,
) -> Result<()> {
    fail_point::reached(FailPoint::BeforeMark);
    send_in_turn(connection, site, &mark(site, ledger, change, resumes)).await?;
    fail_point::reached(FailPoint::AfterMark);

    let mut has_begun = resumes;
    for index in 0..change.script().statements().len() {
        match apply_statement(connection, site, change, index, resumes).await {
            Ok(has_worked) => has_begun |= has_worked,
            Err(error) => {
                if !has_begun && did_nothing(&error) {
                    ledger::write(connection, &unmark(ledger, change)).await?;
                }
                return Err(error);
            }
        }
    }
    fail_point::reached(FailPoint::BeforeFinish);
    send_whole(connection, site, &finish(ledger, change)).await?;
    fail_point::reached(FailPoint::AfterFinish);
    Ok(())
}

/// Sends one statement of such a file by itself, since several in one message are a transaction. Answers whether it
/// has changed something: a setting has not.
async fn apply_statement(
    connection: &mut PgConnection,
    site: Site<'_>,
    change: Change<'_>,
    index: usize,
    resumes: bool,
) -> Result<bool> {
    let script = change.script();
    let step = IndexStep::of(&script.tokens_of(&script.statements()[index]));
    if let Some(step) = step.as_ref().filter(|_| resumes)
        && concurrent_index::is_done(connection, site.schema, step).await?
    {
        return Ok(true);
    }
    let mut message = Message::new();
    message.push_file(&script.text().only(index));
    send_whole(connection, site, &message).await?;
    // With IF NOT EXISTS, the server is content with one that is not valid.
    if let Some(IndexStep::Build(name)) = &step
        && concurrent_index::is_valid(connection, site.schema, name).await? == Some(false)
    {
        let message = format!("{}: index `{name}` is not valid ({})", script.file(), site.whose());
        return Err(site
            .error(ErrorKind::Migration, message)
            .with_hint("it was there before; migrate again, which removes it and builds it anew"));
    }
    Ok(step.is_some() || index + 1 == script.statements().len())
}

/// Notes that a file is about to run, and enters the schema for it.
fn mark(site: Site<'_>, ledger: &Ledger, change: Change<'_>, resumes: bool) -> Message {
    let mut message = Message::new();
    message.push_condition(site.has_token().as_slice());
    message.push_each(&site.enter("SET"));
    message.push_own(&ledger.create());
    if resumes {
        message.push_own(&ledger.delete(change.migration().version()));
    }
    message.push_own(&mark_of(ledger, change));
    message
}

/// Takes back that a file is about to run.
fn unmark(ledger: &Ledger, change: Change<'_>) -> String {
    match change.direction() {
        Direction::Up => ledger.delete(change.migration().version()),
        Direction::Down => ledger.restore(change.migration().version()),
    }
}

/// Notes that a file has run.
fn finish(ledger: &mut Ledger, change: Change<'_>) -> Message {
    let version = change.migration().version();
    let mut message = Message::new();
    message.push_own("RESET ALL");
    match change.direction() {
        Direction::Up => {
            message.push_own(&ledger.finish(version));
            ledger.add(change.migration());
        }
        Direction::Down => {
            message.push_own(&ledger.delete(version));
            ledger.remove(version);
        }
    }
    message.push_own(&ledger.summarise());
    message
}

/// Syntax errors and missing names (class 42) are found before a statement begins to work.
fn did_nothing(error: &Error) -> bool {
    error.database_code().is_some_and(|code| code.starts_with("42"))
}
