//! Migrates a fleet in waves: the master schema, the canaries, the others; several tenants at a time.

use std::future::ready;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures_util::stream::{self, Stream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::PgConnection;

use super::caution::Canaries;
use super::fleet::tenants;
use super::ledger;
use super::lock::SchemaLock;
use super::options::MigrateOptions;
use super::patience::Patience;
use super::plan::{Changed, Goal};
use super::progress::{Done, Progress, Stopped, Summary};
use super::record::{PATIENCE, complete_diaries};
use super::run::FleetRun;
use super::schema::migrate_schema;
use super::site::Site;
use super::survey::survey;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::migration::MigrationSet;
use crate::observe::{Observer, Wave};
use crate::registry::{RunState, runs, store};
use crate::tenant::{Alias, Status, Tenant};

/// Migrates the master schema first, since tenants may refer to it; then the tenants. A tenant that
/// fails does not stop the others, a failing master schema stops everything. What is wrong with a file for
/// whoever is to apply it, or has applied it, is found before any of them is touched.
///
/// What was committed is on disk when this returns. Dropping the future stops the tenants that are
/// being migrated, each at the end of a file or before it.
pub(crate) async fn migrate_fleet(
    context: &Context,
    options: &MigrateOptions,
    observer: &dyn Observer,
) -> Result<Summary> {
    survey(context, options).await?.check()?;
    let run = FleetRun::new(context, options, observer)?;
    let mut progress = Progress::begin(options);
    let result = run.migrate_waves(&mut progress).await;
    let settled = run.settle(&mut progress).await;
    let ended = run.end(&mut progress, result.as_ref().err()).await;
    // Where several fail, what ended the run says most.
    result.and(settled).and(ended).map(|()| progress.summary)
}

impl FleetRun<'_> {
    async fn migrate_waves(&self, progress: &mut Progress) -> Result<()> {
        if self.options.resumes.is_some() {
            self.check_resumed().await?;
            self.record(progress.wave).await?;
        }
        if self.options.has_master() {
            self.migrate_master(progress).await?;
        }
        if progress.wave == Wave::Canaries {
            self.migrate_canary_wave(progress).await?;
            self.settle(progress).await?;
            if progress.summary.stopped.is_some() {
                return Ok(());
            }
            progress.wave = Wave::Fleet;
            if let Some(record) = self.record.get() {
                record.enter_wave(Wave::Fleet).await?;
            }
        }
        self.migrate_fleet_wave(progress).await
    }

    /// The files must be those that the run was begun with.
    async fn check_resumed(&self) -> Result<()> {
        let Some(resumed) = self.options.resumes else { return Ok(()) };
        let find = async |registry: &mut PgConnection| runs::find(registry, resumed.id).await;
        let run = self.workers.in_registry(find).await?;
        if run.is_some_and(|run| run.digest == self.goals.digest()) {
            return Ok(());
        }
        let message = format!("run {} was begun with other migrations than there are now", resumed.id);
        Err(Error::new(ErrorKind::InvalidInput, message)
            .with_hint("restore the files, or begin a new run: it leaves nothing out"))
    }

    async fn migrate_master(&self, progress: &mut Progress) -> Result<()> {
        let migrate =
            async |connection: &mut PgConnection| self.migrate_master_on(connection, progress).await;
        self.workers.in_registry(migrate).await
    }

    async fn migrate_master_on(&self, connection: &mut PgConnection, progress: &mut Progress) -> Result<()> {
        let started = Instant::now();
        let files = self.context.migrations.master();
        let schema = &self.context.layout.master_schema;
        let applied = store::applied(&mut *connection, &[schema.as_str()]).await?;
        let digest = applied.get(schema).map(|(digest, _)| *digest);
        // Where there are no files, there may never have been any.
        let is_current = files.digest() == digest.unwrap_or_else(|| MigrationSet::empty().digest());
        let result = if is_current {
            Ok(Changed::default())
        } else {
            let record = self.record(progress.wave).await?;
            record.claim(&Alias::default(), connection).await?;
            let site = Site::master(&self.context.layout).on(self.terms(record));
            let goal = self.options.in_order(Goal::latest(files));
            let mut patience = Patience::of_run(self.options.attempts);
            loop {
                match migrate_schema(connection, site, goal).await {
                    Err(error) if patience.rest(&error, &"the master schema").await => {}
                    result => break result,
                }
            }
        };
        let from = digest.and_then(|digest| files.version_of(&digest));
        let done = Done { tenant: None, from, result, elapsed: started.elapsed() };
        self.note(progress, &done).await?;
        done.result?;
        if is_current { Ok(()) } else { self.hide_ledger(connection).await }
    }

    /// Default privileges gave the application this ledger when it was made.
    async fn hide_ledger(&self, connection: &mut PgConnection) -> Result<()> {
        let schema = &self.context.layout.master_schema;
        let application = self.context.databases.config(&Alias::default())?.application_role();
        let hide = async |connection: &mut PgConnection| ledger::hide(connection, schema, application).await;
        SchemaLock::of(schema).hold(connection, schema, hide).await
    }

    /// The tenants that are tried first. One that fails is enough to stop.
    async fn migrate_canary_wave(&self, progress: &mut Progress) -> Result<()> {
        let Some(canaries) = self.options.canaries else { return Ok(()) };
        let most = match canaries {
            Canaries::First(count) => usize::try_from(count.get()).unwrap_or(usize::MAX),
            Canaries::Tagged => usize::MAX,
        };
        let most = most.saturating_sub(self.canaries_done().await?);
        let is_canary = |tenant: &Tenant| match canaries {
            Canaries::First(_) => !self.goals.are_reached_by(tenant),
            Canaries::Tagged => Canaries::is_tagged(tenant),
        };
        let size = self.count(canaries == Canaries::Tagged).await?.min(most as u64);
        self.begin_wave(progress, size);
        self.migrate_wave(progress, most, is_canary).await?;
        if progress.summary.failed > 0 {
            progress.summary.stopped.get_or_insert(Stopped::Canary);
        }
        Ok(())
    }

    /// Of a run that goes on, the canaries that an earlier part of it has migrated.
    async fn canaries_done(&self) -> Result<usize> {
        let Some(resumed) = self.options.resumes else { return Ok(0) };
        let count = async |registry: &mut PgConnection| runs::canaries(registry, resumed.id).await;
        let done = self.workers.in_registry(count).await?;
        Ok(usize::try_from(done).unwrap_or_default())
    }

    async fn migrate_fleet_wave(&self, progress: &mut Progress) -> Result<()> {
        let canaries = std::mem::take(&mut progress.canaries);
        let size = self.count(false).await?.saturating_sub(canaries.len() as u64);
        self.begin_wave(progress, size);
        self.migrate_wave(progress, usize::MAX, |tenant| !canaries.contains(&tenant.id())).await
    }

    async fn count(&self, tagged: bool) -> Result<u64> {
        let count = async |registry: &mut PgConnection| self.options.fleet.count(registry, tagged).await;
        self.workers.in_registry(count).await
    }

    fn begin_wave(&self, progress: &mut Progress, tenants: u64) {
        progress.tenants = tenants;
        self.observer.wave_started(progress.wave, tenants);
    }

    /// Tenants that were begun are finished, whatever ends the wave.
    async fn migrate_wave(
        &self,
        progress: &mut Progress,
        most: usize,
        is_meant: impl Fn(&Tenant) -> bool + Send + Sync,
    ) -> Result<()> {
        let wave = progress.wave;
        let tenants = tenants(&self.context.databases, &self.workers, &self.options.fleet)
            .try_filter(|tenant| ready(is_meant(tenant)))
            .take(most)
            .take_while(|_| ready(!self.is_over()));
        let work = self
            .alike(tenants)
            .map(async |tenants| match tenants {
                Ok(tenants) => self.migrate_tenants(tenants, wave).await,
                Err(error) => vec![Err(error)],
            })
            .buffer_unordered(self.options.jobs.get() as usize)
            .flat_map(stream::iter);
        let mut work = std::pin::pin!(work);
        let mut result = Ok(());
        while let Some(done) = self.next_done(&mut work).await {
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

    /// Puts tenants together, as many as one transaction may change, that follow each other and are alike: of one
    /// database, and with the same files applied.
    fn alike(&self, tenants: impl Stream<Item = Result<Tenant>>) -> impl Stream<Item = Result<Vec<Tenant>>> {
        stream::unfold(Box::pin(tenants.peekable()), async |mut tenants| {
            let mut alike = match tenants.next().await? {
                Ok(tenant) => vec![tenant],
                Err(error) => return Some((Err(error), tenants)),
            };
            let most = self.groups.together(&alike[0]);
            while alike.len() < most
                && let Some(Ok(tenant)) =
                    tenants.as_mut().next_if(|next| is_like(&alike[0], next.as_ref().ok())).await
            {
                alike.push(tenant);
            }
            Some((Ok(alike), tenants))
        })
    }

    /// Waits for the next schema. Where that takes long, what is known of others is written down meanwhile.
    async fn next_done(&self, work: &mut (impl Stream<Item = Result<Done>> + Unpin)) -> Option<Result<Done>> {
        loop {
            if let Ok(next) = tokio::time::timeout(PATIENCE, work.next()).await {
                return next;
            }
            if let Some(record) = self.record.get()
                && let Err(error) = record.write().await
            {
                return Some(Err(error));
            }
        }
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
        let mut settled = Ok(());
        for alias in &changed {
            // One that went away meanwhile does not keep the others from being told of.
            settled = settled.and(self.settle_in(alias).await);
        }
        if !changed.is_empty() {
            let mut registry = self.context.databases.owner_connection(&Alias::default()).await?;
            store::announce_applied(&mut registry).await?;
        }
        settled
    }

    async fn settle_in(&self, alias: &Alias) -> Result<()> {
        let mut connection = self.context.databases.owner_connection(alias).await?;
        store::commit_to_disk(&mut connection).await
    }

    async fn end(&self, progress: &mut Progress, error: Option<&Error>) -> Result<()> {
        let Some(record) = self.record.get() else {
            return complete_diaries(self.context, &self.workers).await;
        };
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

fn is_like(tenant: &Tenant, next: Option<&Tenant>) -> bool {
    let is_well = |tenant: &Tenant| tenant.last_error().is_none() && tenant.status() != Status::Moving;
    next.is_some_and(|next| {
        (tenant.database(), tenant.type_name(), tenant.digest())
            == (next.database(), next.type_name(), next.digest())
            && is_well(tenant)
            && is_well(next)
    })
}
