//! Sends a message, and says which line of which file failed in it.

use std::borrow::Cow;

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};

use super::message::{Message, Origin};
use super::site::Site;
use crate::error::{Error, ErrorKind, Result, breaks_connection, sqlstate};
use crate::guard::{Guard, stands};
use crate::registry::runs;

/// Sends a message in a transaction of the caller's, or one without any. To Citus statement by statement: a worker
/// takes one at a time.
pub(crate) async fn send(connection: &mut PgConnection, site: Site<'_>, message: &Message) -> Result<()> {
    let mut progress = Advance::default();
    if !site.is_on_citus() || !stands(Guard::CitusStatements) {
        let sent = send_part(connection, message.text(), &mut progress).await;
        return sent.map_err(|error| located(error, site, message, progress));
    }
    for statement in message.statements() {
        progress.start = statement.start;
        let sent = send_part(connection, &message.text()[statement], &mut progress).await;
        sent.map_err(|error| located(error, site, message, progress))?;
    }
    Ok(())
}

/// The part of a message that was carried out.
#[derive(Clone, Copy, Default)]
struct Advance {
    /// The place in the message where the part begins that was sent last.
    start: usize,
    /// The number of statements that were carried out.
    completed: usize,
}

async fn send_part(
    connection: &mut PgConnection,
    text: &str,
    progress: &mut Advance,
) -> Result<(), sqlx::Error> {
    let mut results = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(connection);
    while let Some(result) = results.try_next().await? {
        progress.completed += usize::from(result.is_left());
    }
    Ok(())
}

/// Sends statements of our own, and answers with the number of rows that they changed.
pub(crate) async fn send_own(connection: &mut PgConnection, site: Site<'_>, sql: &str) -> Result<u64> {
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await {
        Ok(done) => Ok(done.rows_affected()),
        Err(error) => Err(located(error, site, &Message::new(), Advance::default())),
    }
}

/// Commits what was sent with [`send`]. Deferred constraints fail here, in no file's line.
pub(crate) async fn commit(tx: Transaction<'_, Postgres>, site: Site<'_>) -> Result<()> {
    tx.commit().await.map_err(|error| located(error, site, &Message::new(), Advance::default()))
}

/// Sends a message that begins and ends its own transaction. Leaves the session without one, and as it was
/// opened, if it fails.
pub(super) async fn send_whole(
    connection: &mut PgConnection,
    site: Site<'_>,
    message: &Message,
) -> Result<()> {
    let result = send(connection, site, message).await;
    if result.is_err() {
        // The message may have begun a transaction; without one this is a warning.
        let _ = sqlx::raw_sql("ROLLBACK; RESET ALL").execute(connection).await;
    }
    result
}

/// Does what [`send_whole`] does, for a message that begins with the condition that the run was not taken over.
pub(super) async fn send_in_turn(
    connection: &mut PgConnection,
    site: Site<'_>,
    message: &Message,
) -> Result<()> {
    let result = send_whole(connection, site, message).await;
    match &result {
        Err(error) if is_unmet(error) => {}
        _ => return result,
    }
    check_turn(connection, site).await.and(result)
}

/// Asks whether the run was taken over, where there is a run.
pub(super) async fn check_turn(connection: &mut PgConnection, site: Site<'_>) -> Result<()> {
    match site.terms {
        Some(terms) if !runs::has_token(connection, terms.token).await? => Err(taken_over()),
        _ => Ok(()),
    }
}

/// Returns true if a condition of [`Message::push_condition`] did not hold, or a file divides by zero.
pub(super) fn is_unmet(error: &Error) -> bool {
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

/// Returns true if the run has to end, because it may not change schemas any more.
pub(super) fn was_taken_over(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<TakenOver>)
}

/// Says what failed where, as PostgreSQL would if it knew of files.
fn located(error: sqlx::Error, site: Site<'_>, message: &Message, sent: Advance) -> Error {
    let refusal = error.as_database_error().and_then(|refusal| refusal.try_downcast_ref::<PgDatabaseError>());
    let Some(refusal) = refusal else {
        let message = format!("the connection was lost while {} was migrated", site.whose());
        return site.error(ErrorKind::DatabaseUnavailable, message).with_source(error);
    };
    let origin = match refusal.position() {
        Some(PgErrorPosition::Original(position)) => message.locate_position_after(sent.start, position),
        _ => message.locate_statement(sent.completed),
    };
    let origin = origin.unwrap_or(Origin::Own);
    let text = match &origin {
        Origin::File { statement, .. } => {
            format!("{origin}: {} ({}, in `{statement}`)", abridged(refusal.message()), site.whose())
        }
        Origin::About { file } => about(file, refusal, site),
        Origin::Own => format!("{} ({})", abridged(refusal.message()), site.whose()),
    };
    let hint = hint_of(refusal).or_else(|| refusal.hint()).or_else(|| refusal.detail()).map(str::to_owned);
    // A backend that was terminated is no fault of the file.
    let kind = if breaks_connection(&error) { ErrorKind::DatabaseUnavailable } else { ErrorKind::Migration };
    let located = site.error(kind, text).with_source(error);
    match hint {
        Some(hint) => located.with_hint(abridged(&hint)),
        None => located,
    }
}

/// The first 500 characters. PostgreSQL repeats values, of whatever length, and what it says is recorded per tenant.
fn abridged(text: &str) -> Cow<'_, str> {
    const LENGTH: usize = 500;
    match text.char_indices().nth(LENGTH) {
        Some((cut, _)) => format!("{}…", &text[..cut]).into(),
        None => text.into(),
    }
}

/// Says what a file did that it may not.
fn about(file: &str, refusal: &PgDatabaseError, site: Site<'_>) -> String {
    let (what, whose) = (abridged(refusal.message()), site.whose());
    match refusal.code() {
        sqlstate::CHANGED_OUTSIDE => {
            format!("{file}: the file changes what is outside of its schema: {what} ({whose})")
        }
        _ => format!("{file}: {what} ({whose})"),
    }
}

/// The advice on what is refused because of the transaction around each file, which PostgreSQL does not know of.
fn hint_of(refusal: &PgDatabaseError) -> Option<&'static str> {
    match refusal.code() {
        sqlstate::TRANSACTION_ENDED => Some(
            "what it did before that is committed, and the file counts as interrupted: undo that or finish it by hand",
        ),
        sqlstate::SESSION_CHANGED => {
            Some("leave that out: schema and role are chosen by the runner. Nothing has changed")
        }
        sqlstate::CHANGED_OUTSIDE => Some(
            "it was undone. What is shared belongs to the master migrations; if each tenant is to do this, write \
             `-- lint: allow outside-name` in front of the statement",
        ),
        sqlstate::ACTIVE_SQL_TRANSACTION => Some(
            "put `-- no-transaction` on the first line of the file, and leave this statement alone in it",
        ),
        sqlstate::INVALID_TRANSACTION_TERMINATION => Some(
            "to end transactions of its own, it needs a file of its own that begins with `-- no-transaction`",
        ),
        sqlstate::UNSAFE_NEW_ENUM_VALUE_USAGE => {
            Some("put `ALTER TYPE … ADD VALUE` into a file of its own, before this one")
        }
        _ => None,
    }
}
