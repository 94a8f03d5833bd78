//! Migrates one tenant of a run, again and again while others are in the way; or several that are alike.

use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use sqlx::PgConnection;
use tracing::Instrument as _;

use super::blockers::blockers;
use super::file::{apply_at_once, apply_together};
use super::patience::{Patience, is_in_the_way};
use super::plan::Changed;
use super::progress::Done;
use super::record::Record;
use super::run::FleetRun;
use super::schema::migrate_schema;
use super::send::was_taken_over;
use super::site::Site;
use crate::error::Result;
use crate::observe::Wave;
use crate::registry::store;
use crate::tenant::Tenant;

/// The end of an attempt at several tenants.
enum Together {
    /// This was done to each of them.
    Done(Changed),
    /// Nothing was done: they are not several, or not quick, or something is in the way of one of them.
    Apart,
    /// The connection was lost. This was done to all of them or to none.
    Unheard(Changed),
}

impl FleetRun<'_> {
    /// Migrates tenants that are alike: in one transaction, or else one after the other.
    ///
    /// An error is the last of the answers: it ends the run.
    pub(super) async fn migrate_tenants(&self, tenants: Vec<Tenant>, wave: Wave) -> Vec<Result<Done>> {
        let started = Instant::now();
        let changed = match self.migrate_together(&tenants, wave).await {
            Ok(Together::Done(changed)) => changed,
            Ok(Together::Apart) => return self.migrate_each(tenants, wave, &Changed::default()).await,
            Ok(Together::Unheard(changed)) => return self.migrate_each(tenants, wave, &changed).await,
            Err(error) => return vec![Err(error)],
        };
        let elapsed = started.elapsed() / u32::try_from(tenants.len()).unwrap_or(u32::MAX);
        let done = |tenant: Tenant| Done {
            from: self.version_of(&tenant),
            tenant: Some(tenant),
            result: Ok(changed.clone()),
            elapsed,
        };
        tenants.into_iter().map(|tenant| Ok(done(tenant))).collect()
    }

    /// Migrates one after the other. A tenant that turns out to have everything got it by what was sent before and not
    /// answered.
    async fn migrate_each(&self, tenants: Vec<Tenant>, wave: Wave, unheard: &Changed) -> Vec<Result<Done>> {
        let mut answers = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            // What one of them has shown may be enough.
            if !answers.is_empty() && self.is_over() {
                break;
            }
            let mut done = self.migrate_tenant(tenant, wave).await;
            if let Ok(Done { result: Ok(changed), .. }) = &mut done
                && changed.is_empty()
            {
                changed.clone_from(unheard);
            }
            answers.push(done);
            if answers.last().is_some_and(Result::is_err) {
                break;
            }
        }
        answers
    }

    async fn migrate_together(&self, tenants: &[Tenant], wave: Wave) -> Result<Together> {
        let [first, _, ..] = tenants else { return Ok(Together::Apart) };
        // Their tables may be on several workers.
        if self.context.databases.dialect(first.database()).is_citus() {
            return Ok(Together::Apart);
        }
        let record = self.record(wave).await?;
        let mut sent = None;
        let work = async |connection: &mut PgConnection| {
            record.claim(first.database(), connection).await?;
            let Some(group) = self.groups.find(connection, first).await? else { return Ok(Together::Apart) };
            let changed: Changed = group.batch.iter().copied().collect();
            sent = Some(changed.clone());
            let terms = self.terms(record);
            let sites = tenants.iter().map(|tenant| Site::of_tenant(&self.context.layout, tenant).on(terms));
            let started = Instant::now();
            let is_done =
                apply_together(connection, &sites.collect::<Vec<_>>(), &group.rows, &group.batch).await?;
            group.note_pace(started.elapsed(), tenants.len());
            Ok(if is_done { Together::Done(changed) } else { Together::Apart })
        };
        // Where the connection was lost, each finds out for itself.
        let done = self.workers.with(first.database(), work).await;
        Ok(done.unwrap_or_else(|_| sent.map_or(Together::Apart, Together::Unheard)))
    }

    fn version_of(&self, tenant: &Tenant) -> Option<i64> {
        let files = self.context.migrations.of_type(tenant.type_name())?;
        files.version_of(tenant.digest()?)
    }

    /// An error here ends the run: what went wrong with one tenant is in its row and its outcome.
    pub(super) async fn migrate_tenant(&self, tenant: Tenant, wave: Wave) -> Result<Done> {
        let started = Instant::now();
        let result = if self.goals.are_reached_by(&tenant) {
            Ok(Changed::default())
        } else {
            let record = self.record(wave).await?;
            let span = tracing::info_span!(
                "migrate",
                verb = %"migrate",
                tenant = %tenant.slug(),
                tenant.id = %tenant.id(),
                database = %tenant.database(),
            );
            match self.migrate_where_it_is(record, &tenant).instrument(span).await {
                Err(error) if was_taken_over(&error) => return Err(error),
                result => result,
            }
        };
        let last_error = result.as_ref().err().map(ToString::to_string);
        if last_error.as_deref() != tenant.last_error() {
            let note = async |registry: &mut PgConnection| {
                store::set_last_error(registry, &tenant, last_error.as_deref()).await
            };
            self.workers.in_registry(note).await?;
        }
        let from = self.version_of(&tenant);
        Ok(Done { tenant: Some(tenant), from, result, elapsed: started.elapsed() })
    }

    /// Tries again while others are in the way.
    pub(super) async fn migrate_patiently(&self, record: &Record, tenant: &Tenant) -> Result<Changed> {
        let mut seen = Vec::new();
        let mut patience = Patience::of_run(self.options.attempts);
        let name = format!("tenant {}", tenant.slug());
        let mut result = self.migrate_once(record, tenant).await;
        while let Err(error) = &result
            && patience.rest(error, &name).await
        {
            result = self.migrate_watched(record, tenant, &mut seen).await;
        }
        match result {
            Err(error) if is_in_the_way(&error) && !seen.is_empty() => {
                Err(error.with_hint(format!("it waited for {}", seen.join("; "))))
            }
            result => result,
        }
    }

    async fn migrate_once(&self, record: &Record, tenant: &Tenant) -> Result<Changed> {
        let work = async |connection: &mut PgConnection| self.migrate_on(record, connection, tenant).await;
        self.work_on(tenant, work).await
    }

    /// Looks, while it works, for the sessions that make it wait. Two connections of one tenant, so not for
    /// all of them.
    async fn migrate_watched(
        &self,
        record: &Record,
        tenant: &Tenant,
        seen: &mut Vec<String>,
    ) -> Result<Changed> {
        let work = async |connection: &mut PgConnection| {
            let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *connection).await?;
            let work = self.migrate_on(record, connection, tenant);
            let watch = stream::once(async {
                tokio::time::sleep(self.options.limits.lock_timeout / 2).await;
                let mut watcher = self.context.databases.owner_connection(tenant.database()).await?;
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
        self.work_on(tenant, work).await
    }

    async fn migrate_on(
        &self,
        record: &Record,
        connection: &mut PgConnection,
        tenant: &Tenant,
    ) -> Result<Changed> {
        let goal = self.goals.of_tenant(tenant)?;
        record.claim(tenant.database(), connection).await?;
        let site = Site::of_tenant(&self.context.layout, tenant).on(self.terms(record));
        // The conditions of a message that finds out for itself cannot all be asked in one place there.
        if !site.is_on_citus()
            && let Some(group) = self.groups.find(connection, tenant).await?
        {
            let started = Instant::now();
            if apply_at_once(connection, site, &group.rows, &group.batch).await? {
                group.note_pace(started.elapsed(), 1);
                return Ok(group.batch.iter().copied().collect());
            }
        }
        migrate_schema(connection, site, goal).await
    }
}
