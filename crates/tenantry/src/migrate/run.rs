//! Brings the master schema and every tenant up to date, several at a time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::PgConnection;

use super::apply::{Site, apply_at_once, bring_up_to_date};
use super::blockers::blockers;
use super::fleet::tenants;
use super::groups::Groups;
use super::ledger;
use super::lock::{SchemaLock, jittered};
use super::options::MigrateOptions;
use super::source::Migrations;
use super::workers::{Worker, Workers};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Observer, Outcome};
use crate::pool::{Databases, Layout};
use crate::registry::store;
use crate::tenant::{Alias, Tenant};

/// How long a tenant rests after its first attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What a migration of the fleet came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Schemas to which something was applied.
    pub migrated: usize,
    /// Schemas that had everything already.
    pub up_to_date: usize,
    /// Schemas where a file failed; they are as they were before that file.
    pub failed: usize,
}

/// What all schemas of a run have in common.
struct Run<'a> {
    databases: &'a Databases,
    layout: &'a Layout,
    migrations: &'a Migrations,
    options: &'a MigrateOptions,
    workers: Workers<'a>,
    groups: Groups<'a>,
}

/// What has become of the schemas so far.
struct Progress<'a> {
    observer: &'a dyn Observer,
    summary: Summary,
    /// The databases where something was committed.
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
    let workers = Workers::of(databases);
    let groups = Groups::of(migrations.tenant());
    let run = Run { databases, layout, migrations, options, workers, groups };
    let mut progress = Progress { observer, summary: Summary::default(), changed: BTreeSet::new() };
    let result = run.migrate_all(&mut progress).await;
    let ended = run.end(&progress).await;
    // Where both fail, what ended the run says more.
    result.and(ended).map(|()| progress.summary)
}

impl Run<'_> {
    async fn migrate_all(&self, progress: &mut Progress<'_>) -> Result<()> {
        if self.options.fleet.only.is_none() {
            self.migrate_master(progress).await?;
        }
        let work = tenants(self.databases, &self.workers, &self.options.fleet)
            .map_ok(|tenant| self.migrate_tenant(tenant))
            .try_buffer_unordered(self.options.jobs.get() as usize);
        let mut work = std::pin::pin!(work);
        while let Some(done) = work.try_next().await? {
            progress.note(Some(&done.tenant), &done.result, done.elapsed);
        }
        Ok(())
    }

    async fn migrate_master(&self, progress: &mut Progress<'_>) -> Result<()> {
        let started = Instant::now();
        let mut worker = self.workers.take(&Alias::default()).await?;
        let site = Site {
            schema: &self.layout.master_schema,
            extensions: &self.layout.extension_schemas,
            tenant: None,
            limits: Some(self.options.limits),
        };
        let files = self.migrations.master();
        let applied = store::applied(&mut worker.connection, &[site.schema.as_str()]).await?;
        let is_current = applied.get(site.schema).is_some_and(|(digest, _)| *digest == files.digest());
        let result = if is_current {
            Ok(Vec::new())
        } else {
            bring_up_to_date(&mut worker.connection, site, files).await
        };
        progress.note(None, &result, started.elapsed());
        result?;
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

    /// An error here ends the run: what went wrong with one tenant is in its row and its outcome.
    async fn migrate_tenant(&self, tenant: Tenant) -> Result<Done> {
        let started = Instant::now();
        let result = if tenant.digest() == Some(&self.migrations.tenant().digest()) {
            Ok(Vec::new())
        } else {
            self.apply_patiently(&tenant).await
        };
        let last_error = result.as_ref().err().map(ToString::to_string);
        if last_error.as_deref() != tenant.last_error() {
            let mut worker = self.workers.take(&Alias::default()).await?;
            store::set_last_error(&mut worker.connection, &tenant, last_error.as_deref()).await?;
            self.workers.put_back(worker);
        }
        Ok(Done { tenant, result, elapsed: started.elapsed() })
    }

    /// Tries again while others are in the way.
    async fn apply_patiently(&self, tenant: &Tenant) -> Result<Vec<i64>> {
        let mut pause = FIRST_PAUSE;
        let mut seen = Vec::new();
        for attempt in 1.. {
            let mut worker = self.workers.take(tenant.database()).await?;
            let result = if attempt == 1 {
                self.apply(&mut worker.connection, tenant).await
            } else {
                self.apply_watched(&mut worker, tenant, &mut seen).await
            };
            self.put_back(worker, &result);
            match result {
                Err(error) if is_in_the_way(&error) && attempt < self.options.attempts.get() => {
                    tracing::info!(tenant = %tenant.slug(), %error, attempt, "Migrates tenant {} later", tenant.slug());
                    tokio::time::sleep(jittered(pause)).await;
                    pause *= 2;
                }
                Err(error) if is_in_the_way(&error) && !seen.is_empty() => {
                    return Err(error.with_hint(format!("it waited for {}", seen.join("; "))));
                }
                result => return result,
            }
        }
        unreachable!("the last attempt returns")
    }

    /// A connection that was lost is not kept, and neither are those that idled while it was lost.
    fn put_back(&self, worker: Worker, result: &Result<Vec<i64>>) {
        match result {
            Err(error) if error.kind() == ErrorKind::DatabaseUnavailable => self.workers.discard(worker),
            _ => self.workers.put_back(worker),
        }
    }

    async fn apply(&self, connection: &mut PgConnection, tenant: &Tenant) -> Result<Vec<i64>> {
        let site = Site {
            schema: tenant.schema(),
            extensions: &self.layout.extension_schemas,
            tenant: Some(tenant.slug()),
            limits: Some(self.options.limits),
        };
        if let Some(group) = self.groups.find(connection, tenant).await?
            && apply_at_once(connection, site, &group.rows, &group.batch).await?
        {
            return Ok(group.batch.iter().map(|migration| migration.version()).collect());
        }
        bring_up_to_date(connection, site, self.migrations.tenant()).await
    }

    /// Looks, while it works, for who makes it wait. Two connections of one tenant, so not for all of them.
    async fn apply_watched(
        &self,
        worker: &mut Worker,
        tenant: &Tenant,
        seen: &mut Vec<String>,
    ) -> Result<Vec<i64>> {
        let pid = worker.pid;
        let work = self.apply(&mut worker.connection, tenant);
        let watch = stream::once(async {
            tokio::time::sleep(self.options.limits.lock_timeout / 2).await;
            let mut watcher = self.databases.owner_connection(tenant.database()).await?;
            blockers(&mut watcher, pid).await
        });
        let (mut work, mut watch) = (std::pin::pin!(work), std::pin::pin!(watch.fuse()));
        loop {
            tokio::select! {
                result = &mut work => return result,
                // Where nobody can be asked, the report names nobody.
                Some(Ok(found)) = watch.next() => *seen = found,
            }
        }
    }

    /// Makes what was committed permanent, and tells every cache of it.
    async fn end(&self, progress: &Progress<'_>) -> Result<()> {
        for alias in &progress.changed {
            let mut connection = self.databases.owner_connection(alias).await?;
            store::commit_to_disk(&mut connection).await?;
        }
        if !progress.changed.is_empty() {
            let mut registry = self.databases.owner_connection(&Alias::default()).await?;
            store::announce_applied(&mut registry).await?;
        }
        Ok(())
    }
}

/// What became of a tenant.
struct Done {
    tenant: Tenant,
    result: Result<Vec<i64>>,
    elapsed: Duration,
}

impl Progress<'_> {
    fn note(&mut self, tenant: Option<&Tenant>, result: &Result<Vec<i64>>, elapsed: Duration) {
        let applied = result.as_deref().unwrap_or_default();
        match result {
            Err(_) => self.summary.failed += 1,
            Ok(applied) if applied.is_empty() => self.summary.up_to_date += 1,
            Ok(_) => self.summary.migrated += 1,
        }
        // Of what failed, earlier files may have been committed. Where the server went away they may be
        // lost, and nobody was told of them.
        let has_committed = match result {
            Ok(applied) => !applied.is_empty(),
            Err(error) => error.kind() != ErrorKind::DatabaseUnavailable,
        };
        if has_committed {
            self.changed.insert(tenant.map_or_else(Alias::default, |tenant| tenant.database().clone()));
        }
        let error = result.as_ref().err();
        self.observer.finished(&Outcome { tenant, applied, error, elapsed });
    }
}

/// `lock_timeout`, a deadlock, or a serialization failure: it may go well a moment later.
fn is_in_the_way(error: &Error) -> bool {
    error.database_code().is_some_and(|code| matches!(&*code, "55P03" | "40P01" | "40001"))
}
