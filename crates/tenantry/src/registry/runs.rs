//! The statements about recorded runs, one function each.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Executor, FromRow, PgConnection, Postgres, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::sql::Literal;
use crate::tenant::Digest;

/// The key of the advisory lock of whoever migrates the fleet: "tenantru" in ASCII.
pub(crate) const RUN_LOCK: i64 = 0x7465_6e61_6e74_7275;

/// A migration of the fleet that was recorded, because there was something to do.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Run {
    /// Counts up from 1.
    #[serde(rename = "run")]
    pub id: i64,
    /// The end it came to, or that it has not ended.
    pub state: RunState,
    /// The operator who began it, in the words of
    /// [`MigrateOptions::operator`](crate::migrate::MigrateOptions::operator).
    pub operator: String,
    /// The version the tenants were to be brought to; `None` for none at all.
    pub version: Option<i64>,
    /// The digest of the files up to that version.
    pub digest: Digest,
    /// The wave it has come to: 1 for the canaries.
    pub wave: i32,
    /// Schemas that were changed.
    pub migrated: i64,
    /// Schemas that had everything already. Known when it has ended.
    pub up_to_date: i64,
    /// Schemas where a file failed.
    pub failed: i64,
    /// The reason why it ended before its time.
    pub error: Option<String>,
    /// The time at which it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// The time at which it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    #[serde(skip)]
    pub(crate) options: serde_json::Value,
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It is under way.
    Running,
    /// The process that ran it is gone, and it has not ended.
    Interrupted,
    /// Every schema of it is where it was to be.
    Done,
    /// Every schema was tried, and some failed.
    Failed,
    /// It stopped before every schema was tried.
    Stopped,
}

impl RunState {
    /// The name as it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl FromRow<'_, PgRow> for Run {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let state = match (row.try_get("state")?, row.try_get("is_held")?) {
            ("running", true) => RunState::Running,
            ("running", false) => RunState::Interrupted,
            ("done", _) => RunState::Done,
            ("failed", _) => RunState::Failed,
            _ => RunState::Stopped,
        };
        let digest: [u8; 32] = row.try_get("digest")?;
        Ok(Self {
            id: row.try_get("id")?,
            state,
            operator: row.try_get("operator")?,
            version: row.try_get("version")?,
            digest: Digest::from_bytes(digest),
            wave: row.try_get("wave")?,
            migrated: row.try_get("migrated")?,
            up_to_date: row.try_get("up_to_date")?,
            failed: row.try_get("failed")?,
            error: row.try_get("error")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
            options: row.try_get("options")?,
        })
    }
}

/// The work of a run on one schema.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RunEntry {
    /// The slug it had then; `None` for the master schema.
    pub slug: Option<String>,
    /// The wave it was in: 1 for the canaries.
    pub wave: i32,
    /// The version it was at before; `None` where it had applied nothing, or not exactly the files up to one.
    pub from_version: Option<i64>,
    /// The versions that were applied.
    pub applied: Vec<i64>,
    /// The versions that were undone.
    pub undone: Vec<i64>,
    /// The error, if there was one.
    pub error: Option<String>,
    /// The time it took.
    #[serde(rename = "elapsed_ms", serialize_with = "as_milliseconds")]
    pub elapsed: Duration,
    /// The time at which it was done.
    #[serde(with = "time::serde::rfc3339")]
    pub finished_at: OffsetDateTime,
}

fn as_milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(milliseconds(*duration))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl FromRow<'_, PgRow> for RunEntry {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let slug: String = row.try_get("slug")?;
        let elapsed_ms: i64 = row.try_get("elapsed_ms")?;
        Ok(Self {
            slug: Some(slug).filter(|slug| !slug.is_empty()),
            wave: row.try_get("wave")?,
            from_version: row.try_get("from_version")?,
            applied: row.try_get("applied")?,
            undone: row.try_get("undone")?,
            error: row.try_get("error")?,
            elapsed: Duration::from_millis(elapsed_ms.unsigned_abs()),
            finished_at: row.try_get("finished_at")?,
        })
    }
}

/// Takes the lock of whoever migrates the fleet, for as long as the session lasts, if nobody has it.
pub(crate) async fn try_lock(connection: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(RUN_LOCK).fetch_one(connection).await?)
}

/// Gives the lock back.
pub(crate) async fn unlock(connection: &mut PgConnection) -> Result<()> {
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(RUN_LOCK).execute(connection).await?;
    Ok(())
}

/// The entry of a run that begins.
pub(crate) struct NewRun<'a> {
    pub(crate) operator: &'a str,
    pub(crate) version: Option<i64>,
    pub(crate) digest: Digest,
    pub(crate) options: serde_json::Value,
    pub(crate) wave: i32,
}

/// Enters a run.
pub(crate) async fn insert(connection: &mut PgConnection, run: NewRun<'_>) -> Result<i64> {
    let insert = "INSERT INTO tenantry.run (state, operator, version, digest, options, wave)
                  VALUES ('running', $1, $2, $3, $4, $5) RETURNING id";
    let id = sqlx::query_scalar(insert)
        .bind(run.operator)
        .bind(run.version)
        .bind(run.digest.as_bytes().as_slice())
        .bind(run.options)
        .bind(run.wave)
        .fetch_one(connection)
        .await?;
    Ok(id)
}

/// Notes that whoever is said to run was interrupted: the caller has the lock.
pub(crate) async fn end_interrupted(connection: &mut PgConnection) -> Result<()> {
    let end = "UPDATE tenantry.run SET state = 'stopped', error = 'it was interrupted', ended_at = now()
               WHERE state = 'running'";
    sqlx::query(end).execute(connection).await?;
    Ok(())
}

/// Notes that a run that was recorded goes on.
pub(crate) async fn reopen(connection: &mut PgConnection, id: i64) -> Result<()> {
    sqlx::query("UPDATE tenantry.run SET state = 'running', error = NULL, ended_at = NULL WHERE id = $1")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes which wave a run has come to.
pub(crate) async fn set_wave(connection: &mut PgConnection, id: i64, wave: i32) -> Result<()> {
    sqlx::query("UPDATE tenantry.run SET wave = $2 WHERE id = $1")
        .bind(id)
        .bind(wave)
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes how a run ended.
pub(crate) async fn end(
    connection: &mut PgConnection,
    id: i64,
    state: RunState,
    up_to_date: usize,
    error: Option<&str>,
) -> Result<()> {
    sqlx::query(
        "UPDATE tenantry.run SET state = $2, up_to_date = $3, error = $4, ended_at = now() WHERE id = $1",
    )
    .bind(id)
    .bind(state.as_str())
    .bind(i64::try_from(up_to_date).unwrap_or(i64::MAX))
    .bind(error)
    .execute(connection)
    .await?;
    Ok(())
}

/// Enters what became of some schemas. What an earlier part of the same run did to one is kept beside it.
pub(crate) async fn insert_entries(
    connection: &mut PgConnection,
    run: i64,
    entries: &[RunEntry],
) -> Result<()> {
    // Arrays of arrays must be rectangular, so the versions travel as text.
    let list = |versions: &[i64]| format!("{{{}}}", join(versions));
    let of = |f: fn(&RunEntry) -> Option<&str>| entries.iter().map(f).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO tenantry.run_schema
             (run_id, slug, wave, state, from_version, applied, undone, error, elapsed_ms, finished_at)
         SELECT $1, slug, wave, CASE WHEN error IS NULL THEN 'migrated' ELSE 'failed' END, from_version,
                applied::bigint[], undone::bigint[], error, elapsed_ms, finished_at
         FROM unnest($2::text[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[],
                     $9::timestamptz[])
              AS entry (slug, wave, from_version, applied, undone, error, elapsed_ms, finished_at)
         ON CONFLICT (run_id, slug) DO UPDATE SET wave = excluded.wave, state = excluded.state,
             applied = run_schema.applied || ARRAY(
                 SELECT unnest(excluded.applied) EXCEPT SELECT unnest(run_schema.applied) ORDER BY 1),
             undone = run_schema.undone || ARRAY(
                 SELECT unnest(excluded.undone) EXCEPT SELECT unnest(run_schema.undone) ORDER BY 1 DESC),
             error = excluded.error, elapsed_ms = run_schema.elapsed_ms + excluded.elapsed_ms,
             finished_at = excluded.finished_at",
    )
    .bind(run)
    .bind(of(|entry| Some(entry.slug.as_deref().unwrap_or_default())))
    .bind(entries.iter().map(|entry| entry.wave).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.from_version).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| list(&entry.applied)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| list(&entry.undone)).collect::<Vec<_>>())
    .bind(of(|entry| entry.error.as_deref()))
    .bind(entries.iter().map(|entry| milliseconds(entry.elapsed)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.finished_at).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

fn join(versions: &[i64]) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The columns of a run, and whether somebody holds the lock: `pg_locks` shows its key in two halves.
macro_rules! select_run {
    ($rest:literal) => {
        concat!(
            "SELECT run.*,
                    (SELECT count(*) FROM tenantry.run_schema WHERE run_id = id AND state = 'migrated') AS migrated,
                    (SELECT count(*) FROM tenantry.run_schema WHERE run_id = id AND state = 'failed') AS failed,
                    EXISTS (SELECT FROM pg_catalog.pg_locks
                            JOIN pg_catalog.pg_database ON pg_database.oid = pg_locks.database
                            WHERE locktype = 'advisory' AND objsubid = 1
                              AND datname = pg_catalog.current_database()
                              AND (classid::bigint << 32) | objid::bigint = $1) AS is_held
             FROM tenantry.run ",
            $rest
        )
    };
}

/// The newest runs, the newest first.
pub(crate) async fn newest(executor: impl Executor<'_, Database = Postgres>, limit: i64) -> Result<Vec<Run>> {
    let select = select_run!("ORDER BY id DESC LIMIT $2");
    Ok(sqlx::query_as(select).bind(RUN_LOCK).bind(limit).fetch_all(executor).await?)
}

/// The runs whose diary may have gaps: those that were interrupted, since the caller has the lock, and the one that
/// goes on.
pub(crate) async fn with_gaps(connection: &mut PgConnection, resumed: Option<i64>) -> Result<Vec<Run>> {
    let select = select_run!("WHERE state = 'running' OR id = $2 ORDER BY id");
    Ok(sqlx::query_as(select).bind(RUN_LOCK).bind(resumed).fetch_all(connection).await?)
}

/// The newest run that has something left to do, or is under way.
pub(crate) async fn newest_unfinished(
    executor: impl Executor<'_, Database = Postgres>,
) -> Result<Option<Run>> {
    let select = select_run!("WHERE state <> 'done' ORDER BY id DESC LIMIT $2");
    Ok(sqlx::query_as(select).bind(RUN_LOCK).bind(1_i64).fetch_optional(executor).await?)
}

pub(crate) async fn find(executor: impl Executor<'_, Database = Postgres>, id: i64) -> Result<Option<Run>> {
    let select = select_run!("WHERE id = $2");
    Ok(sqlx::query_as(select).bind(RUN_LOCK).bind(id).fetch_optional(executor).await?)
}

/// Reads what a run did to the schemas after this one, in the order of their slugs. The master schema is first.
pub(crate) async fn entries_after(
    executor: impl Executor<'_, Database = Postgres>,
    run: i64,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<RunEntry>> {
    let select = "SELECT * FROM tenantry.run_schema WHERE run_id = $1 AND ($2::text IS NULL OR slug > $2)
                  ORDER BY slug LIMIT $3";
    Ok(sqlx::query_as(select).bind(run).bind(after).bind(limit).fetch_all(executor).await?)
}

/// The number of canaries of a run that are where they were to be.
pub(crate) async fn canaries(connection: &mut PgConnection, run: i64) -> Result<i64> {
    let count = "SELECT count(*) FROM tenantry.run_schema
                 WHERE run_id = $1 AND wave = 1 AND state = 'migrated' AND slug <> ''";
    Ok(sqlx::query_scalar(count).bind(run).fetch_one(connection).await?)
}

/// Lets whoever holds this token change schemas in this database, and nobody else.
pub(crate) async fn set_token(connection: &mut PgConnection, token: Uuid) -> Result<()> {
    let set = "INSERT INTO tenantry.run_token (token) VALUES ($1)
               ON CONFLICT (is_only) DO UPDATE SET token = excluded.token";
    sqlx::query(set).bind(token).execute(connection).await?;
    Ok(())
}

/// The condition that this token may still change schemas, for a message without parameters.
pub(crate) fn token_condition(token: Uuid) -> String {
    format!("EXISTS (SELECT FROM tenantry.run_token WHERE token = {})", Literal(&token.to_string()))
}

/// Returns true if this token may still change schemas.
pub(crate) async fn has_token(connection: &mut PgConnection, token: Uuid) -> Result<bool> {
    let has = "SELECT EXISTS (SELECT FROM tenantry.run_token WHERE token = $1)";
    Ok(sqlx::query_scalar(has).bind(token).fetch_one(connection).await?)
}
