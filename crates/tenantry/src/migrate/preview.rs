//! What a run would do.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use super::apply::{Site, conflict_error};
use super::fleet::tenants;
use super::ledger;
use super::options::MigrateOptions;
use super::plan::{Change, Goal, plan};
use super::source::Migrations;
use super::workers::Workers;
use crate::database::Layout;
use crate::error::Result;
use crate::pool::Databases;
use crate::tenant::{Alias, Digest, Tenant};

/// What a run would do with one schema.
#[derive(Debug)]
pub struct Preview<'a> {
    /// `None` for the master schema.
    pub tenant: Option<&'a Tenant>,
    /// What it would do, in that order, or why it would fail before the first file; it may fail
    /// in any of them all the same.
    pub changes: Result<Vec<Change<'a>>>,
}

/// Tells of each schema what a run would do. Schemas that have applied the same are asked once.
pub(crate) async fn preview(
    databases: &Databases,
    layout: &Layout,
    migrations: &Migrations,
    options: &MigrateOptions,
    mut each: impl FnMut(Preview<'_>),
) -> Result<()> {
    let workers = Workers::of(databases);
    let target = options.target(migrations)?;
    if options.has_master() {
        let mut worker = workers.take(&Alias::default()).await?;
        let site = Site {
            schema: &layout.master_schema,
            extensions: &layout.extension_schemas,
            tenant: None,
            terms: None,
        };
        let files = Goal::latest(migrations.master());
        let changes = changes(&mut worker.connection, site, files).await;
        workers.put_back(worker);
        each(Preview { tenant: None, changes });
    }
    let mut tenants = std::pin::pin!(tenants(databases, &workers, &options.fleet));
    let mut known = Known::of(target);
    while let Some(tenant) = tenants.try_next().await? {
        let changes = known.changes(&workers, layout, &tenant).await;
        each(Preview { tenant: Some(&tenant), changes });
    }
    Ok(())
}

/// What is to be done where a digest is applied.
struct Known<'a> {
    target: Goal<'a>,
    by_digest: HashMap<Digest, Vec<Change<'a>>>,
}

impl<'a> Known<'a> {
    fn of(target: Goal<'a>) -> Self {
        Self { target, by_digest: HashMap::from([(target.digest(), Vec::new())]) }
    }

    async fn changes(
        &mut self,
        workers: &Workers<'_>,
        layout: &Layout,
        tenant: &Tenant,
    ) -> Result<Vec<Change<'a>>> {
        if let Some(known) = tenant.digest().and_then(|digest| self.by_digest.get(digest)) {
            return Ok(known.clone());
        }
        let mut worker = workers.take(tenant.database()).await?;
        let site = Site {
            schema: tenant.schema(),
            extensions: &layout.extension_schemas,
            tenant: Some(tenant.slug()),
            terms: None,
        };
        let changes = changes(&mut worker.connection, site, self.target).await?;
        workers.put_back(worker);
        if let Some(digest) = tenant.digest() {
            self.by_digest.insert(*digest, changes.clone());
        }
        Ok(changes)
    }
}

async fn changes<'a>(
    connection: &mut PgConnection,
    site: Site<'_>,
    target: Goal<'a>,
) -> Result<Vec<Change<'a>>> {
    let rows = ledger::read(connection, site.schema).await?;
    let plan = plan(target, &rows).map_err(|conflicts| conflict_error(site, &conflicts))?;
    Ok(plan.changes().collect())
}
