//! Repeats in the target what is done in the source, from the moment of the copy on.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Either, PgConnection};

use super::decode::{self, LogMessage, Relations};
use super::moment::Moment;
use super::repeat::{Repeated, repeated};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::lifecycle::contents::SourceTable;
use crate::lifecycle::relocate::work::Relocation;
use crate::lifecycle::transfer::AS_TEXT;

/// Changes that one look asks for; a transaction is always whole.
const MOST_CHANGES: i32 = 20_000;
/// Statements that are sent as one message, and bytes of them.
const MESSAGE: (usize, usize) = (500, 250_000);
/// A look that takes less has nearly caught up.
const SHORT: Duration = Duration::from_millis(50);
/// After this time, one may take as much again: the server reads its log from where the oldest transaction began.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest time in which to catch up.
const LIMIT: Duration = Duration::from_hours(1);
/// The longest that the last changes may take, while checkouts wait.
const LAST: Duration = Duration::from_secs(5);
/// The name under which a mark is written to the log.
const MARK: &str = "tenantry";

/// The changes that a look is after.
#[derive(Clone, Copy)]
enum WantedChanges<'m> {
    /// Some of those that there are.
    Next,
    /// All up to the mark, but for those that this moment has not seen.
    SeenBy(&'m Moment),
    /// All up to the mark.
    Last,
}

/// The yield of one look.
#[derive(Default)]
struct Looked {
    messages: usize,
    has_mark: bool,
    /// The place in the log behind the last transaction.
    end: u64,
}

/// Two sessions, one of which reads the slot.
///
/// What was repeated is known to this process alone: a move that goes on copies anew.
pub(super) struct Follower<'a> {
    work: &'a Relocation<'a>,
    reader: PgConnection,
    writer: PgConnection,
    relations: Relations,
    /// The target has what these transactions did.
    copied: Moment,
    /// It has what was committed up to this place in the log.
    end: u64,
    /// Transactions that were repeated since that moment.
    repeated: Vec<u32>,
    /// The place that the slot has forgotten all before.
    forgotten: u64,
}

impl<'a> Follower<'a> {
    pub(super) async fn open(
        work: &'a Relocation<'a>,
        copied: Moment,
        tables: &[SourceTable],
    ) -> Result<Self> {
        let databases = &work.context.databases;
        let mut reader = databases.unlimited_owner_connection(&work.record.source).await?;
        let mut writer = databases.unlimited_owner_connection(&work.record.target).await?;
        let path = work.site().path();
        let settings = format!("SET search_path TO {path}; {}", AS_TEXT.replace("SET LOCAL", "SET"));
        for session in [&mut reader, &mut writer] {
            sqlx::raw_sql(AssertSqlSafe(settings.clone())).execute(session).await?;
        }
        // What ends the move commits to disk, and all before it.
        sqlx::raw_sql("SET synchronous_commit TO off").execute(&mut writer).await?;
        let roots = tables.iter().filter_map(|table| Some((table.name.clone(), table.root.clone()?)));
        let relations = Relations::of_parts(roots.collect());
        Ok(Self { work, reader, writer, relations, copied, end: 0, repeated: Vec::new(), forgotten: 0 })
    }

    /// Repeats until little is left.
    pub(super) async fn catch_up(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.work.step("repeating changes")?;
            let flushed = place(&mut self.reader).await?;
            let look = Instant::now();
            let looked = self.look(WantedChanges::Next).await?;
            let (took, since) = (look.elapsed(), begun.elapsed());
            let is_all = looked.messages < MOST_CHANGES.unsigned_abs() as usize;
            self.end = self.end.max(looked.end);
            self.forget(if is_all { flushed.max(looked.end) } else { looked.end }).await?;
            let patience = u32::try_from(since.as_secs() / PATIENCE.as_secs()).unwrap_or(u32::MAX);
            if is_all && took < SHORT.saturating_mul(patience.saturating_add(1)) {
                return Ok(());
            }
            if since > LIMIT {
                return Err(
                    self.too_slow(&format!("more is written than can be repeated, for {LIMIT:?} now"))
                );
            }
        }
    }

    /// Repeats what this moment of the source has seen, and nothing else, so that the target is as the source was then.
    /// Answers false if it is ahead of that moment: a commit can be read from the log before others see it.
    pub(super) async fn follow_to(&mut self, moment: &Moment, marker: &mut PgConnection) -> Result<bool> {
        if self.repeated.iter().any(|number| !moment.has_seen(*number)) {
            return Ok(false);
        }
        self.mark(marker).await?;
        while !self.look(WantedChanges::SeenBy(moment)).await?.has_mark {}
        self.copied = moment.clone();
        self.repeated.clear();
        Ok(true)
    }

    /// Repeats all that was committed until now: a mark is committed behind it, and waited for. An answer that says how
    /// far the log is would count what is not written yet.
    pub(super) async fn drain(&mut self, marker: &mut PgConnection) -> Result<()> {
        if !stands(Guard::MoveDrain) {
            return Ok(());
        }
        let begun = Instant::now();
        self.mark(marker).await?;
        loop {
            let looked = self.look(WantedChanges::Last).await?;
            self.end = self.end.max(looked.end);
            if looked.has_mark {
                return Ok(());
            }
            if begun.elapsed() > LAST {
                return Err(self.too_slow(&format!("the last changes did not arrive within {LAST:?}")));
            }
        }
    }

    async fn mark(&self, marker: &mut PgConnection) -> Result<()> {
        sqlx::query("SELECT pg_catalog.pg_logical_emit_message(true, $1, $2)")
            .bind(MARK)
            .bind(self.work.slot())
            .execute(marker)
            .await?;
        Ok(())
    }

    /// Has the slot forget what was repeated.
    async fn forget(&mut self, until: u64) -> Result<()> {
        if until > self.forgotten {
            sqlx::query("SELECT pg_catalog.pg_replication_slot_advance($1::name, $2::pg_lsn)")
                .bind(self.work.slot())
                .bind(format!("{:X}/{:X}", until >> 32, until & u64::from(u32::MAX)))
                .execute(&mut self.reader)
                .await?;
            self.forgotten = until;
        }
        Ok(())
    }

    /// Repeats what the slot has, in one transaction of the target.
    async fn look(&mut self, wanted: WantedChanges<'_>) -> Result<Looked> {
        let Self { work, reader, writer, relations, copied, end, repeated: done, .. } = self;
        let limit = matches!(wanted, WantedChanges::Next).then_some(MOST_CHANGES);
        let mut messages = sqlx::query_scalar::<_, Vec<u8>>(
            "SELECT data FROM pg_catalog.pg_logical_slot_peek_binary_changes($1::name, NULL, $2, \
                 'proto_version', '1', 'publication_names', $1::text, 'messages', 'true')",
        )
        .bind(work.slot())
        .bind(limit)
        .fetch(reader);
        let (mut looked, mut is_wanted) = (Looked::default(), false);
        let mut sender = Sender { work, writer, waiting: Vec::new(), bytes: 0, has_begun: false };
        while let Some(bytes) = messages.try_next().await? {
            looked.messages += 1;
            let message = decode::read(&bytes).map_err(|error| not_repeatable(work, error))?;
            match message {
                LogMessage::Begin { commits_at, number } => {
                    let is_there = commits_at < *end || (copied.has_seen(number) && stands(Guard::MoveOnce));
                    is_wanted = !is_there
                        && match wanted {
                            WantedChanges::SeenBy(moment) => moment.has_seen(number),
                            WantedChanges::Next | WantedChanges::Last => true,
                        };
                    if is_wanted {
                        done.push(number);
                    }
                }
                LogMessage::Commit(behind) => looked.end = looked.end.max(behind),
                LogMessage::Note { prefix, content } => {
                    looked.has_mark |= prefix == MARK && content == work.slot().as_bytes();
                }
                LogMessage::Relation(number, relation) => relations.learn(number, relation),
                change if is_wanted => {
                    let change = repeated(&change, relations).map_err(|error| not_repeatable(work, error))?;
                    if let Some(change) = change {
                        sender.add(change).await?;
                    }
                }
                _ => {}
            }
        }
        sender.commit().await?;
        Ok(looked)
    }

    fn too_slow(&self, reason: &str) -> Error {
        let slug = self.work.tenant.slug();
        let message = format!("tenant `{slug}` cannot be followed to its new place: {reason}");
        Error::new(ErrorKind::Conflict, message)
            .with_tenant(slug)
            .with_hint("the move was undone: try again when less is written, or move it with `--offline`")
    }
}

/// Sends statements to the target, some at a time, in one transaction that begins with the first of them.
struct Sender<'s> {
    work: &'s Relocation<'s>,
    writer: &'s mut PgConnection,
    waiting: Vec<Repeated>,
    bytes: usize,
    has_begun: bool,
}

impl Sender<'_> {
    async fn add(&mut self, statement: Repeated) -> Result<()> {
        self.bytes += statement.sql.len();
        self.waiting.push(statement);
        let (most, most_bytes) = MESSAGE;
        if self.waiting.len() >= most || self.bytes >= most_bytes { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if !self.has_begun {
            // Many transactions of the source are one here, and a constraint need not hold in between.
            let begin = "BEGIN; SET CONSTRAINTS ALL DEFERRED";
            sqlx::raw_sql(begin).execute(&mut *self.writer).await?;
            self.has_begun = true;
        }
        let message: String = self.waiting.iter().flat_map(|each| [each.sql.as_str(), ";\n"]).collect();
        let mut results = sqlx::raw_sql(AssertSqlSafe(message)).fetch_many(&mut *self.writer);
        let mut sent = self.waiting.iter();
        while let Some(result) = results.try_next().await.map_err(|error| refused(self.work, error))? {
            let Either::Left(result) = result else { continue };
            if sent.next().is_some_and(|each| each.of_one_row) && result.rows_affected() != 1 {
                return Err(differs(self.work));
            }
        }
        drop(results);
        self.waiting.clear();
        self.bytes = 0;
        Ok(())
    }

    async fn commit(mut self) -> Result<()> {
        self.send().await?;
        if self.has_begun {
            let commit = sqlx::raw_sql("COMMIT").execute(&mut *self.writer).await;
            commit.map_err(|error| refused(self.work, error))?;
        }
        Ok(())
    }
}

/// The place up to which the log is on disk.
async fn place(reader: &mut PgConnection) -> Result<u64> {
    let place = "SELECT (pg_catalog.pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint";
    let place: i64 = sqlx::query_scalar(place).fetch_one(reader).await?;
    Ok(place.unsigned_abs())
}

fn not_repeatable(work: &Relocation<'_>, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let (slug, database) = (work.tenant.slug(), &work.record.target);
    let message = format!("a change of tenant `{slug}` cannot be repeated in database `{database}`");
    Error::new(ErrorKind::Conflict, message)
        .with_tenant(slug)
        .with_source(error)
        .with_hint("the move was undone; `--offline` copies all rows at once")
}

/// Tells of a session that failed as that, and of all else as a change that cannot be repeated.
fn refused(work: &Relocation<'_>, error: sqlx::Error) -> Error {
    if error.as_database_error().is_some() { not_repeatable(work, error) } else { error.into() }
}

fn differs(work: &Relocation<'_>) -> Error {
    let (slug, database) = (work.tenant.slug(), &work.record.target);
    let message = format!("a change of tenant `{slug}` found another row in database `{database}`, or none");
    Error::new(ErrorKind::Conflict, message)
        .with_tenant(slug)
        .with_hint("the move was undone; `--offline` copies all rows at once")
}
