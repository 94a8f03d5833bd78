//! Applies a file that shares no transaction with others: outside of any, or as a function.

use sqlx::{Connection as _, PgConnection};

use super::citus;
use super::concurrent_index;
use super::file::mark_of;
use super::inspection::Inspection;
use super::ledger::{self, Ledger};
use super::message::Message;
use super::plan::{Change, Direction};
use super::send::{check_turn, commit, send, send_in_turn, send_whole};
use super::site::Site;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::migration::{Code, IndexStep};

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
    after.push_own(&ledger.finish(site.dialect, migration.version()));
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
    send_whole(connection, site, &finish(site, ledger, change)).await?;
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
    begin_on_citus(&mut message, site);
    message.push_condition(site.has_token().as_slice());
    message.push_each(&site.enter("SET"));
    message.push_own(&ledger.create());
    if resumes {
        message.push_own(&ledger.delete(change.migration().version()));
    }
    message.push_own(&mark_of(ledger, change));
    commit_on_citus(&mut message, site);
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
fn finish(site: Site<'_>, ledger: &mut Ledger, change: Change<'_>) -> Message {
    let version = change.migration().version();
    let mut message = Message::new();
    message.push_own("RESET ALL");
    begin_on_citus(&mut message, site);
    match change.direction() {
        Direction::Up => {
            message.push_own(&ledger.finish(site.dialect, version));
            ledger.add(change.migration());
        }
        Direction::Down => {
            message.push_own(&ledger.delete(version));
            ledger.remove(version);
        }
    }
    message.push_own(&ledger.summarise());
    commit_on_citus(&mut message, site);
    message
}

/// Has the statements of a message share a transaction where it is not sent as one.
fn begin_on_citus(message: &mut Message, site: Site<'_>) {
    if site.is_on_citus() {
        message.push_own("BEGIN");
        message.push_each(&citus::limits(None));
    }
}

fn commit_on_citus(message: &mut Message, site: Site<'_>) {
    if site.is_on_citus() {
        message.push_own("COMMIT");
    }
}

/// Syntax errors and missing names (class 42) are found before a statement begins to work.
fn did_nothing(error: &Error) -> bool {
    error.database_code().is_some_and(|code| code.starts_with("42"))
}
