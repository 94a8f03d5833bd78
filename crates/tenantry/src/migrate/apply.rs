//! Brings one schema up to date.

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, Connection as _, Either, PgConnection, Postgres, Transaction};

use super::baseline::{is_scratch, push_baseline};
use super::code::Code;
use super::concurrent_index::{self, Remains};
use super::ledger::{self, Ledger};
use super::lock::SchemaLock;
use super::message::{Message, Origin};
use super::options::Terms;
use super::plan::{Applied, Change, Changed, Conflict, Direction, Goal, Step, plan};
use super::set::MigrationSet;
use super::source::Migrations;
use crate::error::{Error, ErrorKind, Result, breaks_connection, sqlstate};
use crate::fail_point::{self, FailPoint};
use crate::guard::{Guard, stands};
use crate::registry::runs;
use crate::sql::{Identifier, Literal, SearchPathValue};
use crate::tenant::{SchemaName, Slug};

/// The schema that is worked on, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) schema: &'a SchemaName,
    pub(crate) extensions: &'a [SchemaName],
    /// `None` for the master schema, and for a scratch schema.
    pub(crate) tenant: Option<&'a Slug>,
    /// In a run over the fleet: `None` where a schema is made that nobody uses yet.
    pub(crate) terms: Option<Terms>,
}

impl Site<'_> {
    fn search_path(&self) -> SearchPathValue<'_> {
        SearchPathValue { schema: self.schema, extensions: self.extensions }
    }

    /// Points the session at the schema, and fails if the schema is not there.
    pub(super) fn enter(&self, set: &str) -> String {
        format!(
            "{set} search_path TO {}; SELECT {}::pg_catalog.regnamespace",
            self.search_path(),
            Literal(&Identifier(self.schema.as_str()).to_string())
        )
    }

    /// Points a transaction at the schema, which has its ledger, within the limits of the run.
    fn enter_transaction(&self) -> String {
        let enter = format!("SET LOCAL search_path TO {}", self.search_path());
        match self.terms {
            Some(terms) => format!("{}; {enter}", terms.limits.render()),
            None => enter,
        }
    }

    /// The condition that the run was not taken over.
    fn has_token(&self) -> Option<String> {
        let token = self.terms.filter(|_| stands(Guard::RunToken))?.token;
        let token = Literal(&token.to_string());
        Some(format!("EXISTS (SELECT FROM tenantry.run_token WHERE token = {token})"))
    }

    fn whose(&self) -> String {
        match self.tenant {
            Some(slug) => format!("tenant `{slug}`, schema `{}`", self.schema),
            None if is_scratch(self.schema) => format!("scratch schema `{}`", self.schema),
            None => format!("master schema `{}`", self.schema),
        }
    }

    fn error(&self, kind: ErrorKind, message: String) -> Error {
        let error = Error::new(kind, message);
        match self.tenant {
            Some(slug) => error.with_tenant(slug),
            None => error,
        }
    }
}

/// Brings a schema to the target and answers with what was done.
///
/// Repeating it after any interruption goes on where it stopped. Dropping the future leaves the
/// schema at the end of some file, or a `-- no-transaction` file marked as interrupted.
pub(crate) async fn bring_to(
    connection: &mut PgConnection,
    site: Site<'_>,
    files: &MigrationSet,
    target: Goal<'_>,
) -> Result<Changed> {
    let lock = SchemaLock::of(site.schema);
    lock.take(connection, site.schema).await?;
    let result = change(connection, site, files, target).await;
    let released = lock.release(connection).await;
    // Where both fail, the file that lost the connection says more.
    let changed = result?;
    released?;
    Ok(changed)
}

/// Applies everything.
pub(crate) async fn bring_up_to_date(
    connection: &mut PgConnection,
    site: Site<'_>,
    files: &MigrationSet,
) -> Result<Changed> {
    bring_to(connection, site, files, Goal::latest(files)).await
}

async fn change(
    connection: &mut PgConnection,
    site: Site<'_>,
    files: &MigrationSet,
    target: Goal<'_>,
) -> Result<Changed> {
    let mut rows = ledger::read(connection, site.schema).await?;
    settle_interrupted(connection, site, files, &mut rows).await?;
    let plan = plan(target, &rows).map_err(|conflicts| conflict_error(site, &conflicts))?;
    let mut ledger = Ledger::of(site.schema, &rows);
    if plan.is_empty() {
        // A schema that was migrated by sqlx itself, or restored, has no summary yet.
        let mut message = Message::new();
        message.push_own(&ledger.summarise());
        run(connection, site, &message).await?;
    }
    for step in &plan.steps {
        match step {
            Step::Batch(changes) => run_batch(connection, site, &mut ledger, changes).await?,
            Step::Alone(change) => match change.code() {
                Some(code) => run_code(connection, site, &mut ledger, *change, code).await?,
                None => run_alone(connection, site, &mut ledger, *change).await?,
            },
        }
    }
    Ok(plan.changes().collect())
}

pub(super) fn conflict_error(site: Site<'_>, conflicts: &[Conflict]) -> Error {
    let list: Vec<_> = conflicts.iter().map(Conflict::to_string).collect();
    let hint = conflicts.first().map_or("", Conflict::hint);
    site.error(ErrorKind::Migration, format!("{} ({})", list.join("; "), site.whose())).with_hint(hint)
}

/// Finds out how far an interrupted `CREATE INDEX CONCURRENTLY` came. Anything else stays marked,
/// and the plan reports it.
async fn settle_interrupted(
    connection: &mut PgConnection,
    site: Site<'_>,
    files: &MigrationSet,
    rows: &mut Vec<Applied>,
) -> Result<()> {
    let ledger = Ledger::empty(site.schema);
    let interrupted: Vec<i64> = rows.iter().filter(|row| !row.success).map(|row| row.version).collect();
    for version in interrupted {
        let Some(migration) = files.get(version) else { continue };
        match concurrent_index::judge(connection, site.schema, migration.up()).await? {
            None => {}
            Some(Remains::Index) => {
                send(connection, &ledger.finish(version)).await?;
                rows.iter_mut().filter(|row| row.version == version).for_each(|row| row.success = true);
            }
            Some(Remains::Nothing | Remains::InvalidIndex) => {
                send(connection, &ledger.delete(version)).await?;
                rows.retain(|row| row.version != version);
            }
        }
    }
    Ok(())
}

/// Applies files that share a transaction to a schema of which `rows` is known, in one round trip: the
/// server takes the lock, and compares the ledger with what is known, before anything else.
///
/// Answers `false` where that does not succeed, or where the files cannot share a transaction after all.
/// Nothing has changed then, and [`bring_to`] finds out what to do.
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
    push_condition(&mut message, &conditions);
    push_changes(&mut message, site, &mut ledger, changes);
    message.push_own(&if changes.iter().any(|change| change.script().may_change_types()) {
        ledger.summarise()
    } else {
        ledger.summarise_without_types()
    });
    message.push_own("COMMIT");
    fail_point::reached(FailPoint::BeforeMigrate);
    match run(connection, site, &message).await {
        Err(error) if is_unexpected(&error) || needs_own_transaction(&error) => Ok(false),
        result => {
            fail_point::reached(FailPoint::AfterMigrate);
            result.map(|()| true)
        }
    }
}

/// What does not hold divides by zero, which ends the transaction.
fn push_condition(message: &mut Message, conditions: &[String]) {
    if !conditions.is_empty() {
        message.push_own(&format!("SELECT 1 / ({})::int", conditions.join(" AND ")));
    }
}

/// The condition does not hold, or the ledger or its schema is not there. A file that fails in this way
/// fails once more.
fn is_unexpected(error: &Error) -> bool {
    is_division_by_zero(error) || error.database_code().is_some_and(|code| sqlstate::is_missing(&code))
}

/// Runs several files in one transaction, or each in its own where PostgreSQL insists.
async fn run_batch(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    changes: &[Change<'_>],
) -> Result<()> {
    let mut after = ledger.clone();
    match run_transaction(connection, site, &mut after, changes).await {
        Ok(()) => *ledger = after,
        Err(error) if changes.len() > 1 && needs_own_transaction(&error) => {
            for change in changes {
                run_transaction(connection, site, ledger, &[*change]).await?;
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

async fn run_transaction(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    changes: &[Change<'_>],
) -> Result<()> {
    let mut message = Message::new();
    message.push_own("BEGIN");
    push_condition(&mut message, site.has_token().as_slice());
    message.push_own(&ledger.create());
    push_changes(&mut message, site, ledger, changes);
    message.push_own(&ledger.summarise());
    message.push_own("COMMIT");
    fail_point::reached(FailPoint::BeforeMigrate);
    run_in_turn(connection, site, &message).await?;
    fail_point::reached(FailPoint::AfterMigrate);
    Ok(())
}

/// Runs a message that begins with the condition that the run was not taken over.
async fn run_in_turn(connection: &mut PgConnection, site: Site<'_>, message: &Message) -> Result<()> {
    let result = run(connection, site, message).await;
    if let (Err(error), Some(terms)) = (&result, site.terms)
        && is_division_by_zero(error)
        && !runs::has_token(connection, terms.token).await?
    {
        return Err(taken_over());
    }
    result
}

fn is_division_by_zero(error: &Error) -> bool {
    error.database_code().is_some_and(|code| code == sqlstate::DIVISION_BY_ZERO)
}

/// Somebody else took the lock of the run, which this one must have lost.
#[derive(Debug, thiserror::Error)]
#[error("somebody else has begun to migrate the fleet")]
struct TakenOver;

fn taken_over() -> Error {
    Error::new(ErrorKind::Conflict, "the run was taken over")
        .with_hint("`tenantry runs` shows by whom")
        .with_source(TakenOver)
}

/// Whether the run has to end, because it may not change schemas any more.
pub(super) fn was_taken_over(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<TakenOver>)
}

fn push_changes(message: &mut Message, site: Site<'_>, ledger: &mut Ledger, changes: &[Change<'_>]) {
    for change in changes {
        let version = change.migration().version();
        message.push_own(&site.enter_transaction());
        match change.direction() {
            Direction::Up => {
                push_up(message, ledger, *change);
                ledger.add(change.migration());
            }
            Direction::Down => {
                message.push_own(&ledger.delete(version));
                message.push_file(change.script());
                message.push_own("RESET ALL");
                ledger.remove(version);
            }
        }
    }
    // Once more, for the triggers that are deferred to the commit.
    message.push_own(&site.enter_transaction());
}

fn push_up(message: &mut Message, ledger: &Ledger, change: Change<'_>) {
    if stands(Guard::LedgerFirst) {
        message.push_own(&ledger.insert(change.migration(), true));
        message.push_file(change.script());
    } else {
        message.push_file(change.script());
        message.push_own(&ledger.insert(change.migration(), true));
    }
    // What the file has set, be it a timeout or, in a function, the path, is for itself alone.
    message.push_own("RESET ALL");
    message.push_own(&ledger.finish(change.migration().version()));
}

/// Makes a schema and everything in it, for a transaction that is already open.
///
/// # Errors
/// If the baseline cannot be put under the name of the schema.
pub(crate) fn creation_message(site: Site<'_>, migrations: &Migrations, grants: &str) -> Result<Message> {
    let mut ledger = Ledger::empty(site.schema);
    let mut message = schema_message(site, grants);
    push_baseline(&mut message, site, &mut ledger, migrations)?;
    let newer: Vec<_> = migrations.beyond_baseline().map(Change::apply).collect();
    push_changes(&mut message, site, &mut ledger, &newer);
    message.push_own(&ledger.summarise());
    Ok(message)
}

/// Makes a schema with an empty ledger, or finds both there. The grants come before the first
/// migration, because default privileges concern what is created later.
pub(crate) fn schema_message(site: Site<'_>, grants: &str) -> Message {
    let mut message = Message::new();
    message.push_own(&format!("CREATE SCHEMA IF NOT EXISTS {}", Identifier(site.schema.as_str())));
    message.push_own(&site.enter("SET LOCAL"));
    message.push_own(&Ledger::empty(site.schema).create());
    message.push_own(grants);
    message
}

/// Runs a function in a transaction of its own, between the two halves of what surrounds a file.
async fn run_code(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    change: Change<'_>,
    code: &Code,
) -> Result<()> {
    let migration = change.migration();
    // As sqlx's own transaction, so that one that the function begins is a savepoint.
    let mut tx = connection.begin().await?;
    if let (Some(_), Some(terms)) = (site.has_token(), site.terms)
        && !runs::has_token(&mut tx, terms.token).await?
    {
        return Err(taken_over());
    }
    let mut before = Message::new();
    before.push_own(&ledger.create());
    before.push_own(&site.enter_transaction());
    before.push_own(&ledger.insert(migration, true));
    run_message(&mut tx, site, &before).await?;
    let result = code.run(&mut tx).await;
    // What it has prepared knows the tables and types of this tenant.
    tx.clear_cached_statements().await?;
    result.map_err(|error| {
        let message = format!("{}: {error} ({})", migration.file(), site.whose());
        site.error(ErrorKind::Migration, message).with_source(error)
    })?;
    let mut after = Message::new();
    after.push_own("RESET ALL");
    after.push_own(&site.enter_transaction());
    after.push_own(&ledger.finish(migration.version()));
    ledger.add(migration);
    after.push_own(&ledger.summarise());
    run_message(&mut tx, site, &after).await?;
    commit(tx, site).await
}

/// Runs a file that must not be in a transaction. The ledger is told before and after.
async fn run_alone(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    change: Change<'_>,
) -> Result<()> {
    fail_point::reached(FailPoint::BeforeMark);
    run_in_turn(connection, site, &mark(site, ledger, change)).await?;
    fail_point::reached(FailPoint::AfterMark);

    let mut message = Message::new();
    message.push_file(change.script());
    if let Err(error) = run(connection, site, &message).await {
        if did_nothing(&error) {
            send(connection, &unmark(ledger, change)).await?;
        }
        return Err(error);
    }
    fail_point::reached(FailPoint::BeforeFinish);
    run(connection, site, &finish(ledger, change)).await?;
    fail_point::reached(FailPoint::AfterFinish);
    Ok(())
}

/// Notes that a file is about to run, and enters the schema for it.
fn mark(site: Site<'_>, ledger: &Ledger, change: Change<'_>) -> Message {
    let mut message = Message::new();
    push_condition(&mut message, site.has_token().as_slice());
    message.push_own(&site.enter("SET"));
    message.push_own(&ledger.create());
    message.push_own(&match change.direction() {
        Direction::Up => ledger.insert(change.migration(), false),
        Direction::Down => ledger.unfinish(change.migration().version()),
    });
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

async fn send(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

async fn run(connection: &mut PgConnection, site: Site<'_>, message: &Message) -> Result<()> {
    let result = run_message(connection, site, message).await;
    if result.is_err() {
        // The message may have begun a transaction; without one this is a warning.
        let _ = sqlx::raw_sql("ROLLBACK; RESET ALL").execute(connection).await;
    }
    result
}

/// Sends a message and finds the file and line of what fails in it.
pub(crate) async fn run_message(
    connection: &mut PgConnection,
    site: Site<'_>,
    message: &Message,
) -> Result<()> {
    let mut completed = 0;
    let mut results = sqlx::raw_sql(AssertSqlSafe(message.text())).fetch_many(connection);
    loop {
        match results.try_next().await {
            Ok(None) => return Ok(()),
            Ok(Some(Either::Left(_))) => completed += 1,
            Ok(Some(Either::Right(_))) => {}
            Err(error) => return Err(located(error, site, message, completed)),
        }
    }
}

/// Commits what was sent with [`run_message`]. Deferred constraints fail here, in no file's line.
pub(crate) async fn commit(tx: Transaction<'_, Postgres>, site: Site<'_>) -> Result<()> {
    tx.commit().await.map_err(|error| located(error, site, &Message::new(), 0))
}

/// Says what failed where, as PostgreSQL would if it knew of files.
fn located(error: sqlx::Error, site: Site<'_>, message: &Message, completed: usize) -> Error {
    let refusal = error.as_database_error().and_then(|refusal| refusal.try_downcast_ref::<PgDatabaseError>());
    let Some(refusal) = refusal else {
        let message = format!("the connection was lost while {} was migrated", site.whose());
        return site.error(ErrorKind::DatabaseUnavailable, message).with_source(error);
    };
    let place = match refusal.position() {
        Some(PgErrorPosition::Original(position)) => message.locate_position(position),
        _ => message.locate_statement(completed),
    };
    let place = place.unwrap_or(Origin::Own);
    let text = match &place {
        Origin::File { statement, .. } => {
            format!("{place}: {} ({}, in `{statement}`)", refusal.message(), site.whose())
        }
        Origin::Own => format!("{} ({})", refusal.message(), site.whose()),
    };
    let hint = refusal.hint().or_else(|| refusal.detail()).map(str::to_owned);
    // A backend that was terminated is no fault of the file.
    let kind = if breaks_connection(&error) { ErrorKind::DatabaseUnavailable } else { ErrorKind::Migration };
    let located = site.error(kind, text).with_source(error);
    match hint {
        Some(hint) => located.with_hint(hint),
        None => located,
    }
}
