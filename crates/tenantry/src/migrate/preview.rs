//! What a run would do.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use super::apply::{Site, conflict_error};
use super::fleet::{Fleet, tenants};
use super::ledger;
use super::plan::plan;
use super::set::{Migration, MigrationSet};
use super::source::Migrations;
use super::workers::Workers;
use crate::error::Result;
use crate::pool::{Databases, Layout};
use crate::tenant::{Alias, Digest, Tenant};

/// What a run would do with one schema.
#[derive(Debug)]
pub struct Preview<'a> {
    /// `None` for the master schema.
    pub tenant: Option<&'a Tenant>,
    /// The files it would apply, in their order, or why it would fail before the first; it may fail in any
    /// of them all the same.
    pub pending: Result<Vec<&'a Migration>>,
}

/// Tells of each schema what a run would do. Schemas that have applied the same are asked once.
pub(crate) async fn preview(
    databases: &Databases,
    layout: &Layout,
    migrations: &Migrations,
    fleet: &Fleet,
    mut each: impl FnMut(Preview<'_>),
) -> Result<()> {
    let workers = Workers::of(databases);
    if fleet.only.is_none() {
        let mut worker = workers.take(&Alias::default()).await?;
        let site = Site {
            schema: &layout.master_schema,
            extensions: &layout.extension_schemas,
            tenant: None,
            limits: None,
        };
        let pending = pending(&mut worker.connection, site, migrations.master()).await;
        workers.put_back(worker);
        each(Preview { tenant: None, pending });
    }
    let mut tenants = std::pin::pin!(tenants(databases, &workers, fleet));
    let mut known = Known::of(migrations.tenant());
    while let Some(tenant) = tenants.try_next().await? {
        let pending = known.pending(&workers, layout, &tenant).await;
        each(Preview { tenant: Some(&tenant), pending });
    }
    Ok(())
}

/// What is pending where a digest is applied.
struct Known<'a> {
    files: &'a MigrationSet,
    by_digest: HashMap<Digest, Vec<&'a Migration>>,
}

impl<'a> Known<'a> {
    fn of(files: &'a MigrationSet) -> Self {
        Self { files, by_digest: HashMap::from([(files.digest(), Vec::new())]) }
    }

    async fn pending(
        &mut self,
        workers: &Workers<'_>,
        layout: &Layout,
        tenant: &Tenant,
    ) -> Result<Vec<&'a Migration>> {
        if let Some(known) = tenant.digest().and_then(|digest| self.by_digest.get(digest)) {
            return Ok(known.clone());
        }
        let mut worker = workers.take(tenant.database()).await?;
        let site = Site {
            schema: tenant.schema(),
            extensions: &layout.extension_schemas,
            tenant: Some(tenant.slug()),
            limits: None,
        };
        let pending = pending(&mut worker.connection, site, self.files).await?;
        workers.put_back(worker);
        if let Some(digest) = tenant.digest() {
            self.by_digest.insert(*digest, pending.clone());
        }
        Ok(pending)
    }
}

async fn pending<'a>(
    connection: &mut PgConnection,
    site: Site<'_>,
    files: &'a MigrationSet,
) -> Result<Vec<&'a Migration>> {
    let rows = ledger::read(connection, site.schema).await?;
    let plan = plan(files, &rows).map_err(|conflicts| conflict_error(site, &conflicts))?;
    Ok(plan.migrations().collect())
}
