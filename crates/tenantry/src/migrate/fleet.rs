//! Brings the master schema and every tenant up to date, one after the other.

use std::time::Instant;

use sqlx::PgConnection;

use super::apply::{Site, bring_up_to_date};
use super::ledger;
use super::lock::SchemaLock;
use super::set::MigrationSet;
use super::source::Migrations;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Observer, Outcome};
use crate::pool::{Databases, Layout};
use crate::registry::{store, with_applied};
use crate::tenant::{Alias, Slug, Status, Tenant};

/// Tenants read from the registry at a time.
pub(super) const PAGE: i64 = 500;

/// Which tenants are meant.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    pub(super) only: Option<Vec<Slug>>,
}

impl Fleet {
    /// The master schema and every tenant that is served or suspended.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only these tenants, and not the master schema.
    pub fn only(slugs: impl IntoIterator<Item = Slug>) -> Self {
        Self { only: Some(slugs.into_iter().collect()) }
    }
}

/// Whether a tenant keeps up with the fleet.
pub(super) fn is_migrated(tenant: &Tenant) -> bool {
    matches!(tenant.status(), Status::Active | Status::Suspended)
}

/// The tenants that were asked for by name. All of them are checked before any is migrated.
pub(super) async fn named(registry: &mut PgConnection, slugs: &[Slug]) -> Result<Vec<Tenant>> {
    let mut tenants = Vec::new();
    for slug in slugs {
        let found = store::tenant_by_slug(&mut *registry, slug).await?;
        let tenant = found.ok_or_else(|| {
            Error::new(ErrorKind::UnknownTenant, format!("no tenant goes by `{slug}`")).with_tenant(slug)
        })?;
        if !is_migrated(&tenant) {
            let message = format!("tenant `{slug}` is {} and is not migrated", tenant.status());
            return Err(Error::new(ErrorKind::TenantUnavailable, message).with_tenant(slug));
        }
        tenants.push(tenant);
    }
    Ok(tenants)
}

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
    observer: &'a dyn Observer,
    summary: Summary,
}

/// Migrates the master schema first, since tenants may refer to it; then the tenants. A tenant that
/// fails does not stop the others, a failing master schema stops everything.
pub(crate) async fn migrate(
    databases: &Databases,
    layout: &Layout,
    migrations: &Migrations,
    fleet: &Fleet,
    observer: &dyn Observer,
) -> Result<Summary> {
    let mut run = Run { databases, layout, observer, summary: Summary::default() };
    let mut registry = databases.owner_connection(&Alias::default()).await?;
    let result = async {
        if fleet.only.is_none() {
            run.migrate_master(&mut registry, migrations.master()).await?;
        }
        run.migrate_tenants(&mut registry, migrations.tenant(), fleet).await
    }
    .await;
    let announced = match run.summary.migrated {
        0 => Ok(()),
        _ => store::announce_applied(&mut registry).await,
    };
    // Where both fail, what ended the run says more.
    result.and(announced).map(|()| run.summary)
}

impl Run<'_> {
    async fn migrate_master(&mut self, connection: &mut PgConnection, files: &MigrationSet) -> Result<()> {
        let layout = self.layout;
        let site =
            Site { schema: &layout.master_schema, extensions: &layout.extension_schemas, tenant: None };
        let started = Instant::now();
        let result = bring_up_to_date(connection, site, files).await;
        self.note(None, &result, started);
        result?;
        self.hide_ledger(connection).await
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

    async fn migrate_tenants(
        &mut self,
        registry: &mut PgConnection,
        files: &MigrationSet,
        fleet: &Fleet,
    ) -> Result<()> {
        if let Some(slugs) = &fleet.only {
            let tenants = named(registry, slugs).await?;
            return self.migrate_page(registry, tenants, files).await;
        }
        let mut after = String::new();
        loop {
            let mut page = store::tenants_after(&mut *registry, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.slug().as_str().to_owned();
            page.retain(is_migrated);
            self.migrate_page(registry, page, files).await?;
        }
    }

    async fn migrate_page(
        &mut self,
        registry: &mut PgConnection,
        tenants: Vec<Tenant>,
        files: &MigrationSet,
    ) -> Result<()> {
        // Where a database is away, each of its tenants says so itself.
        let tenants = with_applied(self.databases, tenants.clone()).await.unwrap_or(tenants);
        for tenant in tenants {
            self.migrate_tenant(registry, &tenant, files).await?;
        }
        Ok(())
    }

    /// An error here ends the run: what went wrong with one tenant is in its row and its outcome.
    async fn migrate_tenant(
        &mut self,
        registry: &mut PgConnection,
        tenant: &Tenant,
        files: &MigrationSet,
    ) -> Result<()> {
        let started = Instant::now();
        let result = if tenant.digest() == Some(&files.digest()) {
            Ok(Vec::new())
        } else {
            self.apply(registry, tenant, files).await
        };
        let is_lost = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::DatabaseUnavailable);
        if is_lost && *tenant.database() == Alias::default() {
            // It was the registry's own connection, which the next tenants need.
            *registry = self.databases.owner_connection(&Alias::default()).await?;
        }
        let last_error = result.as_ref().err().map(ToString::to_string);
        if last_error.as_deref() != tenant.last_error() {
            store::set_last_error(registry, tenant, last_error.as_deref()).await?;
        }
        self.note(Some(tenant), &result, started);
        Ok(())
    }

    async fn apply(
        &self,
        registry: &mut PgConnection,
        tenant: &Tenant,
        files: &MigrationSet,
    ) -> Result<Vec<i64>> {
        let site = Site {
            schema: tenant.schema(),
            extensions: &self.layout.extension_schemas,
            tenant: Some(tenant.slug()),
        };
        if *tenant.database() == Alias::default() {
            return bring_up_to_date(registry, site, files).await;
        }
        let mut connection = self.databases.owner_connection(tenant.database()).await?;
        bring_up_to_date(&mut connection, site, files).await
    }

    fn note(&mut self, tenant: Option<&Tenant>, result: &Result<Vec<i64>>, started: Instant) {
        let applied = result.as_deref().unwrap_or_default();
        match result {
            Err(_) => self.summary.failed += 1,
            Ok(applied) if applied.is_empty() => self.summary.up_to_date += 1,
            Ok(_) => self.summary.migrated += 1,
        }
        let error = result.as_ref().err();
        self.observer.finished(&Outcome { tenant, applied, error, elapsed: started.elapsed() });
    }
}
