//! The side of a run that others see: its lock, its token, and its diary.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::catch_up::catch_up;
use super::goals::Goals;
use super::lock::jittered;
use super::options::MigrateOptions;
use super::workers::Workers;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::observe::Wave;
use crate::registry::runs::{self, NewRun};
use crate::registry::{Run, RunEntry, RunState};
use crate::tenant::Alias;

/// Entries that are written at once, at the latest after [`PATIENCE`].
const BATCH: usize = 200;
/// The longest that an entry waits for others.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two looks at a lock that somebody else has.
const POLL: Duration = Duration::from_millis(500);

/// A run that was begun: nobody else migrates the fleet while this is there.
///
/// The lock is the session's. If that is lost, somebody else may begin; this one finds out when it
/// writes its diary, or by its token, at its next tenant.
pub(super) struct Record {
    id: i64,
    token: Uuid,
    /// In the default database. Only the diary is written on it.
    session: tokio::sync::Mutex<PgConnection>,
    databases: Mutex<HashMap<Alias, Arc<OnceCell<()>>>>,
    diary: Mutex<Diary>,
}

struct Diary {
    entries: Vec<RunEntry>,
    written: Instant,
}

impl Record {
    /// Takes the lock, completes the diary of whoever was interrupted, and enters the run or continues it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if somebody else migrates the fleet, unless the options say to wait.
    pub(super) async fn begin(
        context: &Context,
        workers: &Workers<'_>,
        options: &MigrateOptions,
        goals: &Goals<'_>,
        wave: Wave,
    ) -> Result<Self> {
        let mut session = context.databases.owner_connection(&Alias::default()).await?;
        while !runs::try_lock(&mut session).await? {
            if !options.wait {
                return Err(under_way(&mut session).await);
            }
            tokio::time::sleep(jittered(POLL)).await;
        }
        fail_point::reached(FailPoint::BeforeRun);
        catch_up(context, workers, &mut session, options.resumes.map(|run| run.id)).await?;
        let id = if let Some(resumed) = options.resumes {
            runs::reopen(&mut session, resumed.id).await?;
            resumed.id
        } else {
            let run = NewRun {
                operator: &options.operator,
                version: goals.newest(),
                digest: goals.digest(),
                options: options.to_keep(),
                wave: wave.number(),
            };
            runs::end_interrupted(&mut session).await?;
            runs::insert(&mut session, run).await?
        };
        fail_point::reached(FailPoint::AfterRun);
        Ok(Self {
            id,
            token: Uuid::new_v4(),
            session: session.into(),
            databases: Mutex::default(),
            diary: Mutex::new(Diary { entries: Vec::new(), written: Instant::now() }),
        })
    }

    pub(super) fn id(&self) -> i64 {
        self.id
    }

    pub(super) fn token(&self) -> Uuid {
        self.token
    }

    /// Takes a database over from whoever changed schemas there before.
    pub(super) async fn claim(&self, alias: &Alias, connection: &mut PgConnection) -> Result<()> {
        let claimed = {
            let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(databases.entry(alias.clone()).or_default())
        };
        claimed.get_or_try_init(|| runs::set_token(connection, self.token)).await.copied()
    }

    /// Notes what became of a schema. It is written with others, soon; what was undone at once, since no ledger tells
    /// of it.
    pub(super) async fn enter(&self, entry: RunEntry) -> Result<()> {
        let is_due = {
            let mut diary = self.diary();
            let is_untold = !entry.undone.is_empty();
            diary.entries.push(entry);
            is_untold || diary.entries.len() >= BATCH || diary.written.elapsed() > PATIENCE
        };
        if is_due { self.write().await } else { Ok(()) }
    }

    pub(super) async fn enter_wave(&self, wave: Wave) -> Result<()> {
        self.write().await?;
        let mut session = self.session.lock().await;
        runs::set_wave(&mut session, self.id, wave.number()).await.map_err(|error| self.lost(error))
    }

    /// Notes how the run ended, and lets others begin.
    pub(super) async fn end(&self, state: RunState, up_to_date: usize, error: Option<&str>) -> Result<()> {
        self.write().await?;
        let mut session = self.session.lock().await;
        let ended = runs::end(&mut session, self.id, state, up_to_date, error).await;
        let unlocked = runs::unlock(&mut session).await;
        ended.and(unlocked).map_err(|error| self.lost(error))
    }

    /// Writes down what waits for others.
    pub(super) async fn write(&self) -> Result<()> {
        let mut session = self.session.lock().await;
        let entries = {
            let mut diary = self.diary();
            diary.written = Instant::now();
            std::mem::take(&mut diary.entries)
        };
        if entries.is_empty() {
            return Ok(());
        }
        runs::insert_entries(&mut session, self.id, &entries).await.map_err(|error| self.lost(error))
    }

    fn diary(&self) -> std::sync::MutexGuard<'_, Diary> {
        self.diary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without its session, the run has no lock any more.
    fn lost(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::DatabaseUnavailable {
            return error;
        }
        Error::new(
            ErrorKind::DatabaseUnavailable,
            format!("run {} lost the session that holds its lock", self.id),
        )
        .with_hint("`tenantry migrate --resume` continues it")
        .with_source(error)
    }
}

/// Completes the diary of each run that was interrupted, unless somebody migrates the fleet, who has done that.
pub(super) async fn complete_diaries(context: &Context, workers: &Workers<'_>) -> Result<()> {
    let complete = async |registry: &mut PgConnection| {
        if runs::with_gaps(registry, None).await?.is_empty() || !runs::try_lock(registry).await? {
            return Ok(());
        }
        catch_up(context, workers, registry, None).await?;
        runs::end_interrupted(registry).await?;
        runs::unlock(registry).await
    };
    workers.in_registry(complete).await
}

/// Names who has the lock.
async fn under_way(connection: &mut PgConnection) -> Error {
    let newest = runs::newest(connection, 1).await.ok().and_then(|mut runs| runs.pop());
    let message = match newest.filter(|run| run.state == RunState::Running) {
        Some(Run { id, operator, started_at, .. }) => {
            let since = started_at.replace_nanosecond(0).unwrap_or(started_at);
            format!("the fleet is being migrated: run {id}, since {since}, by {operator}")
        }
        None => "the fleet is being migrated by somebody else".to_owned(),
    };
    Error::new(ErrorKind::Conflict, message)
        .with_hint("`tenantry runs` shows how it goes; `tenantry migrate --wait` waits for its end")
}
