//! Brings one schema up to date.

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, Either, PgConnection, Postgres, Transaction};

use super::baseline::{is_scratch, push_baseline};
use super::concurrent_index::{self, Remains};
use super::ledger::{self, Ledger};
use super::lock::SchemaLock;
use super::message::{Message, Place};
use super::options::Limits;
use super::plan::{Applied, Conflict, Step, plan};
use super::set::{Migration, MigrationSet};
use super::source::Migrations;
use crate::error::{Error, ErrorKind, Result, breaks_connection};
use crate::guard::{Guard, is_left_out};
use crate::sql::{Identifier, Literal, SearchPath};
use crate::tenant::{SchemaName, Slug};

/// The schema that is worked on, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) schema: &'a SchemaName,
    pub(crate) extensions: &'a [SchemaName],
    /// `None` for the master schema, and for a scratch schema.
    pub(crate) tenant: Option<&'a Slug>,
    /// In a run over the fleet: `None` where a schema is made that nobody uses yet.
    pub(crate) limits: Option<Limits>,
}

impl Site<'_> {
    fn search_path(&self) -> SearchPath<'_> {
        SearchPath { schema: self.schema, extensions: self.extensions }
    }

    /// Points the session at the schema, and fails if the schema is not there.
    pub(super) fn enter(&self, set: &str) -> String {
        format!(
            "{set} search_path TO {}; SELECT {}::pg_catalog.regnamespace",
            self.search_path(),
            Literal(&Identifier(self.schema.as_str()).to_string())
        )
    }

    /// Points a transaction at the schema, within the limits of the run.
    fn enter_transaction(&self) -> String {
        let enter = self.enter("SET LOCAL");
        match self.limits {
            Some(limits) => format!("{}; {enter}", limits.render()),
            None => enter,
        }
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

/// Applies what is pending and answers with the versions that were applied.
///
/// Repeating it after any interruption goes on where it stopped. Dropping the future leaves the
/// schema at the end of some file, or a `-- no-transaction` file marked as interrupted.
pub(crate) async fn bring_up_to_date(
    connection: &mut PgConnection,
    site: Site<'_>,
    files: &MigrationSet,
) -> Result<Vec<i64>> {
    let lock = SchemaLock::of(site.schema);
    lock.take(connection, site.schema).await?;
    let result = apply_pending(connection, site, files).await;
    let released = lock.release(connection).await;
    // Where both fail, the file that lost the connection says more.
    let applied = result?;
    released?;
    Ok(applied)
}

async fn apply_pending(
    connection: &mut PgConnection,
    site: Site<'_>,
    files: &MigrationSet,
) -> Result<Vec<i64>> {
    let mut rows = ledger::read(connection, site.schema).await?;
    settle_interrupted(connection, site, files, &mut rows).await?;
    let plan = plan(files, &rows).map_err(|conflicts| conflict_error(site, &conflicts))?;
    let mut ledger = Ledger::of(site.schema, &rows);
    if plan.is_empty() {
        // A schema that was migrated by sqlx itself, or restored, has no summary yet.
        let mut message = Message::new();
        message.push_own(&ledger.summarise());
        run(connection, site, &message).await?;
        return Ok(Vec::new());
    }
    for step in &plan.steps {
        match step {
            Step::Batch(migrations) => run_batch(connection, site, &mut ledger, migrations).await?,
            Step::Alone(migration) => run_alone(connection, site, &mut ledger, migration).await?,
        }
    }
    Ok(plan.migrations().map(Migration::version).collect())
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
/// Nothing has changed then, and [`bring_up_to_date`] finds out what to do.
pub(super) async fn apply_at_once(
    connection: &mut PgConnection,
    site: Site<'_>,
    rows: &[Applied],
    migrations: &[&Migration],
) -> Result<bool> {
    let mut ledger = Ledger::of(site.schema, rows);
    let is_free = SchemaLock::of(site.schema).try_in_transaction();
    let mut message = Message::new();
    message.push_own("BEGIN");
    // A condition that does not hold divides by zero, which ends the transaction.
    message.push_own(&format!("SELECT 1 / ({is_free} AND {})::int", ledger.is_as_expected()));
    push_migrations(&mut message, site, &mut ledger, migrations);
    message.push_own("COMMIT");
    match run(connection, site, &message).await {
        Err(error) if is_unexpected(&error) || needs_own_transaction(&error) => Ok(false),
        result => result.map(|()| true),
    }
}

/// The condition does not hold, or the ledger or its schema is not there. A file that fails in this way
/// fails once more.
fn is_unexpected(error: &Error) -> bool {
    error.database_code().is_some_and(|code| matches!(&*code, "22012" | "42P01" | "3F000"))
}

/// Runs several files in one transaction, or each in its own where PostgreSQL insists.
async fn run_batch(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    migrations: &[&Migration],
) -> Result<()> {
    let mut after = ledger.clone();
    match run_transaction(connection, site, &mut after, migrations).await {
        Ok(()) => *ledger = after,
        Err(error) if migrations.len() > 1 && needs_own_transaction(&error) => {
            for migration in migrations {
                run_transaction(connection, site, ledger, &[migration]).await?;
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A new enum value must be committed before it is used, and a table with pending trigger events
/// cannot be altered: 55P04 and 55006.
pub(crate) fn needs_own_transaction(error: &Error) -> bool {
    error.database_code().is_some_and(|code| code == "55P04" || code == "55006")
}

async fn run_transaction(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    migrations: &[&Migration],
) -> Result<()> {
    let mut message = Message::new();
    message.push_own("BEGIN");
    message.push_own(&ledger.create());
    push_migrations(&mut message, site, ledger, migrations);
    message.push_own("COMMIT");
    run(connection, site, &message).await
}

fn push_migrations(message: &mut Message, site: Site<'_>, ledger: &mut Ledger, migrations: &[&Migration]) {
    for migration in migrations {
        message.push_own(&site.enter_transaction());
        if is_left_out(Guard::LedgerFirst) {
            message.push_file(migration.up());
            message.push_own(&ledger.insert(migration, true));
        } else {
            message.push_own(&ledger.insert(migration, true));
            message.push_file(migration.up());
        }
        // What the file has set, be it a timeout or, in a function, the path, is for itself alone.
        message.push_own("RESET ALL");
        message.push_own(&ledger.finish(migration.version()));
        ledger.add(migration);
    }
    // Once more, for the triggers that are deferred to the commit.
    message.push_own(&site.enter_transaction());
    message.push_own(&ledger.summarise());
}

/// Makes a schema and everything in it, for a transaction that is already open.
///
/// # Errors
/// If the baseline cannot be put under the name of the schema.
pub(crate) fn creation_message(site: Site<'_>, migrations: &Migrations, grants: &str) -> Result<Message> {
    let mut ledger = Ledger::empty(site.schema);
    let mut message = schema_message(site, grants);
    push_baseline(&mut message, site, &mut ledger, migrations)?;
    let newer: Vec<_> = migrations.beyond_baseline().collect();
    push_migrations(&mut message, site, &mut ledger, &newer);
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

/// Runs a file that must not be in a transaction. The ledger is told before and after.
async fn run_alone(
    connection: &mut PgConnection,
    site: Site<'_>,
    ledger: &mut Ledger,
    migration: &Migration,
) -> Result<()> {
    let mut mark = Message::new();
    mark.push_own(&site.enter("SET"));
    mark.push_own(&ledger.create());
    mark.push_own(&ledger.insert(migration, false));
    run(connection, site, &mark).await?;

    let mut message = Message::new();
    message.push_file(migration.up());
    if let Err(error) = run(connection, site, &message).await {
        if did_nothing(&error) {
            send(connection, &ledger.delete(migration.version())).await?;
        }
        return Err(error);
    }
    ledger.add(migration);
    let mut done = Message::new();
    done.push_own("RESET ALL");
    done.push_own(&ledger.finish(migration.version()));
    done.push_own(&ledger.summarise());
    run(connection, site, &done).await
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
    let place = place.unwrap_or(Place::Own);
    let text = match &place {
        Place::File { statement, .. } => {
            format!("{place}: {} ({}, in `{statement}`)", refusal.message(), site.whose())
        }
        Place::Own => format!("{} ({})", refusal.message(), site.whose()),
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
