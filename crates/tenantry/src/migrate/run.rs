//! Brings the master schema and every tenant where it is to be, in waves, several tenants at a time.

use std::collections::{BTreeSet, HashSet};
use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::OnceCell;

use super::apply::{Site, apply_at_once, bring_to, bring_up_to_date, was_taken_over};
use super::blockers::blockers;
use super::fleet::tenants;
use super::groups::Groups;
use super::ledger;
use super::lock::{SchemaLock, jittered};
use super::options::{MigrateOptions, Terms};
use super::plan::{Changed, Goal};
use super::record::Record;
use super::set::MigrationSet;
use super::source::Migrations;
use super::wave::Canaries;
use super::workers::{Worker, Workers};
use crate::database::Layout;
use crate::error::{Error, ErrorKind, Result, sqlstate};
use crate::observe::{Observer, Outcome, Wave};
use crate::pool::Databases;
use crate::registry::{RunEntry, RunState, runs, store};
use crate::tenant::{Alias, Tenant, TenantId};

/// How long a tenant rests after its first attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What a migration of the fleet came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// The number it was recorded under; `None` where there was nothing to do.
    pub run: Option<i64>,
    /// Schemas that were changed.
    pub migrated: usize,
    /// Schemas that were where they were to be.
    pub up_to_date: usize,
    /// Schemas where a file failed; they are as they were before that file.
    pub failed: usize,
    /// Why it ended before all tenants were tried, if it did.
    pub stopped: Option<Stopped>,
}

/// Why a run ended before all tenants were tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// A canary failed.
    #[error("a canary failed")]
    Canary,
    /// More tenants failed than may.
    #[error("too many tenants failed")]
    TooManyFailures,
    /// The observer said so.
    #[error("it was cancelled")]
    Cancelled,
}

/// What all schemas of a run have in common.
struct FleetRun<'a> {
    databases: &'a Databases,
    layout: &'a Layout,
    migrations: &'a Migrations,
    options: &'a MigrateOptions,
    target: Goal<'a>,
    observer: &'a dyn Observer,
    workers: Workers<'a>,
    groups: Groups<'a>,
    /// There once there is something to do, so that a run without work costs nothing.
    record: OnceCell<Record>,
    /// No further tenant is begun.
    is_stopping: AtomicBool,
}

/// What has become of the schemas so far.
struct Progress {
    wave: Wave,
    summary: Summary,
    /// How many tenants the wave has.
    tenants: u64,
    canaries: HashSet<TenantId>,
    /// The databases where something was committed in this wave.
    changed: BTreeSet<Alias>,
}

/// Migrates the master schema first, since tenants may refer to it; then the tenants. A tenant that
/// fails does not stop the others, a failing master schema stops everything.
///
/// What was committed is on disk when this returns. Dropping the future stops the tenants that are
/// being migrated, each at the end of a file or before it.
pub(crate) async fn migrate(
    databases: &Databases,
    layout: &Layout,
    migrations: &Migrations,
    options: &MigrateOptions,
    observer: &dyn Observer,
) -> Result<Summary> {
    let target = options.target(migrations)?;
    let run = FleetRun {
        databases,
        layout,
        migrations,
        options,
        target,
        observer,
        workers: Workers::of(databases),
        groups: Groups::of(target),
        record: OnceCell::new(),
        is_stopping: AtomicBool::new(false),
    };
    let mut progress = Progress::begin(options);
    let result = run.migrate_all(&mut progress).await;
    let settled = run.settle(&mut progress).await;
    let ended = run.end(&mut progress, result.as_ref().err()).await;
    // Where several fail, what ended the run says most.
    result.and(settled).and(ended).map(|()| progress.summary)
}

impl FleetRun<'_> {
    async fn migrate_all(&self, progress: &mut Progress) -> Result<()> {
        if self.options.resumes.is_some() {
            self.check_resumed().await?;
            self.record(progress.wave).await?;
        }
        if self.options.has_master() {
            self.migrate_master(progress).await?;
        }
        if progress.wave == Wave::Canaries {
            self.migrate_canaries(progress).await?;
            self.settle(progress).await?;
            if progress.summary.stopped.is_some() {
                return Ok(());
            }
            progress.wave = Wave::Fleet;
            if let Some(record) = self.record.get() {
                record.enter_wave(Wave::Fleet).await?;
            }
        }
        self.migrate_others(progress).await
    }

    /// The files must be those that the run was begun with.
    async fn check_resumed(&self) -> Result<()> {
        let Some(resumed) = self.options.resumes else { return Ok(()) };
        let mut worker = self.workers.take(&Alias::default()).await?;
        let run = runs::find(&mut worker.connection, resumed.id).await?;
        self.workers.put_back(worker);
        if run.is_some_and(|run| run.digest == self.target.digest()) {
            return Ok(());
        }
        let message = format!("run {} was begun with other migrations than there are now", resumed.id);
        Err(Error::new(ErrorKind::InvalidInput, message)
            .with_hint("restore the files, or begin a new run: it leaves nothing out"))
    }

    /// The run's place in the registry, which is made when it is first asked for.
    async fn record(&self, wave: Wave) -> Result<&Record> {
        let begin = || Record::begin(self.databases, self.options, self.target, wave);
        self.record.get_or_try_init(begin).await
    }

    async fn migrate_master(&self, progress: &mut Progress) -> Result<()> {
        let started = Instant::now();
        let files = self.migrations.master();
        let mut worker = self.workers.take(&Alias::default()).await?;
        let schema = &self.layout.master_schema;
        let applied = store::applied(&mut worker.connection, &[schema.as_str()]).await?;
        let digest = applied.get(schema).map(|(digest, _)| *digest);
        // Where there are no files, there may never have been any.
        let is_current = files.digest() == digest.unwrap_or_else(|| MigrationSet::empty().digest());
        let result = if is_current {
            Ok(Changed::default())
        } else {
            let record = self.record(progress.wave).await?;
            record.claim(&Alias::default(), &mut worker.connection).await?;
            let site = Site {
                schema,
                extensions: &self.layout.extension_schemas,
                tenant: None,
                terms: Some(self.terms(record)),
            };
            bring_up_to_date(&mut worker.connection, site, files).await
        };
        let elapsed = started.elapsed();
        let done =
            Done { tenant: None, from: digest.and_then(|digest| files.version_of(&digest)), result, elapsed };
        self.note(progress, &done).await?;
        done.result?;
        if !is_current {
            self.hide_ledger(&mut worker.connection).await?;
        }
        self.workers.put_back(worker);
        Ok(())
    }

    /// Default privileges gave the application this ledger when it was made.
    async fn hide_ledger(&self, connection: &mut PgConnection) -> Result<()> {
        let schema = &self.layout.master_schema;
        let application = self.databases.config(&Alias::default())?.application_role();
        let lock = SchemaLock::of(schema);
        lock.take(connection, schema).await?;
        let hidden = ledger::hide(connection, schema, application).await;
        let released = lock.release(connection).await;
        hidden.and(released)
    }

    /// The tenants that are tried first. One that fails is enough to stop.
    async fn migrate_canaries(&self, progress: &mut Progress) -> Result<()> {
        let Some(canaries) = self.options.canaries else { return Ok(()) };
        let most = match canaries {
            Canaries::First(count) => usize::try_from(count.get()).unwrap_or(usize::MAX),
            Canaries::Tagged => usize::MAX,
        };
        let most = most.saturating_sub(self.canaries_done().await?);
        let is_canary = |tenant: &Tenant| match canaries {
            Canaries::First(_) => tenant.digest() != Some(&self.target.digest()),
            Canaries::Tagged => Canaries::is_tagged(tenant),
        };
        let size = self.count(canaries == Canaries::Tagged).await?.min(most as u64);
        self.begin_wave(progress, size);
        self.migrate_tenants(progress, most, is_canary).await?;
        if progress.summary.failed > 0 {
            progress.summary.stopped.get_or_insert(Stopped::Canary);
        }
        Ok(())
    }

    /// Of a run that goes on, the canaries that an earlier part of it has migrated.
    async fn canaries_done(&self) -> Result<usize> {
        let Some(resumed) = self.options.resumes else { return Ok(0) };
        let mut worker = self.workers.take(&Alias::default()).await?;
        let done = runs::canaries(&mut worker.connection, resumed.id).await?;
        self.workers.put_back(worker);
        Ok(usize::try_from(done).unwrap_or_default())
    }

    async fn migrate_others(&self, progress: &mut Progress) -> Result<()> {
        let canaries = std::mem::take(&mut progress.canaries);
        let size = self.count(false).await?.saturating_sub(canaries.len() as u64);
        self.begin_wave(progress, size);
        self.migrate_tenants(progress, usize::MAX, |tenant| !canaries.contains(&tenant.id())).await
    }

    async fn count(&self, tagged: bool) -> Result<u64> {
        let mut worker = self.workers.take(&Alias::default()).await?;
        let count = self.options.fleet.count(&mut worker.connection, tagged).await?;
        self.workers.put_back(worker);
        Ok(count)
    }

    fn begin_wave(&self, progress: &mut Progress, tenants: u64) {
        progress.tenants = tenants;
        self.observer.wave_started(progress.wave, tenants);
    }

    /// Tenants that were begun are finished, whatever ends the wave.
    async fn migrate_tenants(
        &self,
        progress: &mut Progress,
        most: usize,
        is_meant: impl Fn(&Tenant) -> bool + Send + Sync,
    ) -> Result<()> {
        let wave = progress.wave;
        let work = tenants(self.databases, &self.workers, &self.options.fleet)
            .try_filter(|tenant| ready(is_meant(tenant)))
            .take(most)
            .take_while(|_| ready(!self.is_stopping.load(Ordering::Relaxed) && !self.observer.is_cancelled()))
            .map(|tenant| async move { self.migrate_tenant(tenant?, wave).await })
            .buffer_unordered(self.options.jobs.get() as usize);
        let mut work = std::pin::pin!(work);
        let mut result = Ok(());
        while let Some(done) = work.next().await {
            let noted = match done {
                Ok(done) => self.note(progress, &done).await,
                Err(error) => Err(error),
            };
            if noted.is_err() {
                self.is_stopping.store(true, Ordering::Relaxed);
                result = result.and(noted);
            }
        }
        if self.observer.is_cancelled() {
            progress.summary.stopped.get_or_insert(Stopped::Cancelled);
        }
        result
    }

    /// An error here ends the run: what went wrong with one tenant is in its row and its outcome.
    async fn migrate_tenant(&self, tenant: Tenant, wave: Wave) -> Result<Done> {
        let started = Instant::now();
        let result = if tenant.digest() == Some(&self.target.digest()) {
            Ok(Changed::default())
        } else {
            let record = self.record(wave).await?;
            match self.apply_patiently(record, &tenant).await {
                Err(error) if was_taken_over(&error) => return Err(error),
                result => result,
            }
        };
        let last_error = result.as_ref().err().map(ToString::to_string);
        if last_error.as_deref() != tenant.last_error() {
            let mut worker = self.workers.take(&Alias::default()).await?;
            store::set_last_error(&mut worker.connection, &tenant, last_error.as_deref()).await?;
            self.workers.put_back(worker);
        }
        let from = tenant.digest().and_then(|digest| self.migrations.tenant().version_of(digest));
        Ok(Done { tenant: Some(tenant), from, result, elapsed: started.elapsed() })
    }

    /// Tries again while others are in the way.
    async fn apply_patiently(&self, record: &Record, tenant: &Tenant) -> Result<Changed> {
        let mut pause = FIRST_PAUSE;
        let mut seen = Vec::new();
        let mut result = self.apply_once(record, tenant).await;
        for attempt in 1..self.options.attempts.get() {
            match &result {
                Err(error) if is_in_the_way(error) => {
                    tracing::info!(tenant = %tenant.slug(), %error, attempt, "Migrates tenant {} later", tenant.slug());
                }
                _ => return result,
            }
            tokio::time::sleep(jittered(pause)).await;
            pause *= 2;
            result = self.apply_watched(record, tenant, &mut seen).await;
        }
        match result {
            Err(error) if is_in_the_way(&error) && !seen.is_empty() => {
                Err(error.with_hint(format!("it waited for {}", seen.join("; "))))
            }
            result => result,
        }
    }

    async fn apply_once(&self, record: &Record, tenant: &Tenant) -> Result<Changed> {
        let mut worker = self.workers.take(tenant.database()).await?;
        let result = self.apply(record, &mut worker.connection, tenant).await;
        self.put_back(worker, &result);
        result
    }

    /// Looks, while it works, for who makes it wait. Two connections of one tenant, so not for all of them.
    async fn apply_watched(
        &self,
        record: &Record,
        tenant: &Tenant,
        seen: &mut Vec<String>,
    ) -> Result<Changed> {
        let mut worker = self.workers.take(tenant.database()).await?;
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut worker.connection).await?;
        let result = {
            let work = self.apply(record, &mut worker.connection, tenant);
            let watch = stream::once(async {
                tokio::time::sleep(self.options.limits.lock_timeout / 2).await;
                let mut watcher = self.databases.owner_connection(tenant.database()).await?;
                blockers(&mut watcher, pid).await
            });
            let (mut work, mut watch) = (std::pin::pin!(work), std::pin::pin!(watch.fuse()));
            loop {
                tokio::select! {
                    result = &mut work => break result,
                    // Where nobody can be asked, the report names nobody.
                    Some(Ok(found)) = watch.next() => *seen = found,
                }
            }
        };
        self.put_back(worker, &result);
        result
    }

    /// A connection that was lost is not kept, and neither are those that idled while it was lost.
    fn put_back(&self, worker: Worker, result: &Result<Changed>) {
        match result {
            Err(error) if error.kind() == ErrorKind::DatabaseUnavailable => self.workers.discard(worker),
            _ => self.workers.put_back(worker),
        }
    }

    async fn apply(
        &self,
        record: &Record,
        connection: &mut PgConnection,
        tenant: &Tenant,
    ) -> Result<Changed> {
        record.claim(tenant.database(), connection).await?;
        let site = Site {
            schema: tenant.schema(),
            extensions: &self.layout.extension_schemas,
            tenant: Some(tenant.slug()),
            terms: Some(self.terms(record)),
        };
        if let Some(group) = self.groups.find(connection, tenant).await?
            && apply_at_once(connection, site, &group.rows, &group.batch).await?
        {
            return Ok(group.batch.iter().copied().collect());
        }
        bring_to(connection, site, self.migrations.tenant(), self.target).await
    }

    fn terms(&self, record: &Record) -> Terms {
        Terms { limits: self.options.limits, token: record.token() }
    }

    /// Counts a schema, tells the observer, writes it down, and stops where too much has gone wrong.
    async fn note(&self, progress: &mut Progress, done: &Done) -> Result<()> {
        progress.count(done);
        self.observer.finished(&done.outcome(progress.wave));
        if self.options.max_failures.is_some_and(|most| {
            let failed = progress.summary.failed as u64;
            most.is_exceeded(failed, progress.tenants)
        }) {
            progress.summary.stopped = Some(Stopped::TooManyFailures);
            self.is_stopping.store(true, Ordering::Relaxed);
        }
        match self.record.get() {
            Some(record) if done.is_worth_an_entry() => record.enter(done.entry(progress.wave)).await,
            _ => Ok(()),
        }
    }

    /// Makes what was committed permanent, and tells every cache of it.
    async fn settle(&self, progress: &mut Progress) -> Result<()> {
        let changed = std::mem::take(&mut progress.changed);
        for alias in &changed {
            let mut connection = self.databases.owner_connection(alias).await?;
            store::commit_to_disk(&mut connection).await?;
        }
        if !changed.is_empty() {
            let mut registry = self.databases.owner_connection(&Alias::default()).await?;
            store::announce_applied(&mut registry).await?;
        }
        Ok(())
    }

    async fn end(&self, progress: &mut Progress, error: Option<&Error>) -> Result<()> {
        let Some(record) = self.record.get() else { return Ok(()) };
        let Summary { failed, up_to_date, stopped, .. } = progress.summary;
        progress.summary.run = Some(record.id());
        let error = error.map(ToString::to_string).or(stopped.map(|stopped| stopped.to_string()));
        let state = match failed {
            _ if error.is_some() => RunState::Stopped,
            0 => RunState::Done,
            _ => RunState::Failed,
        };
        record.end(state, up_to_date, error.as_deref()).await
    }
}

/// What became of a schema.
struct Done {
    /// `None` for the master schema.
    tenant: Option<Tenant>,
    /// The version it was at, where that is known.
    from: Option<i64>,
    result: Result<Changed>,
    elapsed: Duration,
}

impl Done {
    fn changed(&self) -> (&[i64], &[i64]) {
        self.result.as_ref().map_or((&[], &[]), |changed| (&changed.applied, &changed.undone))
    }

    fn outcome(&self, wave: Wave) -> Outcome<'_> {
        let (applied, undone) = self.changed();
        Outcome {
            tenant: self.tenant.as_ref(),
            wave,
            applied,
            undone,
            error: self.result.as_ref().err(),
            elapsed: self.elapsed,
        }
    }

    fn is_worth_an_entry(&self) -> bool {
        !matches!(&self.result, Ok(changed) if changed.is_empty())
    }

    fn entry(&self, wave: Wave) -> RunEntry {
        let (applied, undone) = self.changed();
        RunEntry {
            slug: self.tenant.as_ref().map(|tenant| tenant.slug().to_string()),
            wave: wave.number(),
            from_version: self.from,
            applied: applied.to_vec(),
            undone: undone.to_vec(),
            error: self.result.as_ref().err().map(ToString::to_string),
            elapsed: self.elapsed,
            finished_at: OffsetDateTime::now_utc(),
        }
    }
}

impl Progress {
    fn begin(options: &MigrateOptions) -> Self {
        let is_past_canaries = options.resumes.is_some_and(|run| run.wave > Wave::Canaries.number());
        let wave = if options.canaries.is_none() || is_past_canaries { Wave::Fleet } else { Wave::Canaries };
        Self {
            wave,
            summary: Summary::default(),
            tenants: 0,
            canaries: HashSet::new(),
            changed: BTreeSet::new(),
        }
    }

    fn count(&mut self, done: &Done) {
        match &done.result {
            Err(_) => self.summary.failed += 1,
            Ok(changed) if changed.is_empty() => self.summary.up_to_date += 1,
            Ok(_) => self.summary.migrated += 1,
        }
        if let Some(tenant) = &done.tenant
            && self.wave == Wave::Canaries
        {
            self.canaries.insert(tenant.id());
        }
        // Of what failed, earlier files may have been committed. Where the server went away they may be
        // lost, and nobody was told of them.
        let has_committed = match &done.result {
            Ok(changed) => !changed.is_empty(),
            Err(error) => error.kind() != ErrorKind::DatabaseUnavailable,
        };
        if has_committed {
            let alias = done.tenant.as_ref().map(|tenant| tenant.database().clone());
            self.changed.insert(alias.unwrap_or_default());
        }
    }
}

/// `lock_timeout`, a deadlock, or a serialization failure: it may go well a moment later.
fn is_in_the_way(error: &Error) -> bool {
    error.database_code().is_some_and(|code| sqlstate::is_in_the_way(&code))
}
