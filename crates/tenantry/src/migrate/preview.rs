//! A preview of a run.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use super::fleet::tenants;
use super::goals::Goals;
use super::ledger;
use super::limits::Limits;
use super::options::MigrateOptions;
use super::plan::{Change, Goal, plan};
use super::review;
use super::site::Site;
use super::survey::survey;
use super::workers::Workers;
use crate::context::Context;
use crate::database::Layout;
use crate::error::Result;
use crate::tenant::{Digest, Tenant, TypeName};

/// The changes that a run would make to one schema.
#[derive(Debug)]
pub struct Preview<'a> {
    /// `None` for the master schema.
    pub tenant: Option<&'a Tenant>,
    /// The changes, in their order, or the error before the first file; it may fail
    /// in any of them all the same.
    pub changes: Result<Vec<Change<'a>>>,
    site: Site<'a>,
    limits: Limits,
}

impl Preview<'_> {
    /// The SQL that a run would send to this schema, for people to read: the files in their transactions, with the
    /// settings that they begin with, and without what Tenantry itself asks and notes around them. `None` where nothing
    /// would be done.
    pub fn sql(&self) -> Option<String> {
        let changes = self.changes.as_ref().ok().filter(|changes| !changes.is_empty())?;
        Some(review::sql_of(self.site, self.limits, changes))
    }
}

/// Tells of each schema what a run would do. Schemas that have applied the same are asked once.
///
/// # Errors
/// Those of the run before it touches anything.
pub(crate) async fn preview(
    context: &Context,
    options: &MigrateOptions,
    mut each: impl FnMut(Preview<'_>),
) -> Result<()> {
    let Context { databases, layout, migrations, .. } = context;
    survey(context, options).await?.check()?;
    let workers = Workers::of(databases);
    let goals = options.goals(migrations)?;
    if options.has_master() {
        let (site, goal) = (Site::master(layout), options.in_order(Goal::latest(migrations.master())));
        let look = async |connection: &mut PgConnection| Ok(changes(connection, site, goal).await);
        let changes = workers.in_registry(look).await?;
        each(Preview { tenant: None, changes, site, limits: options.limits });
    }
    let mut tenants = std::pin::pin!(tenants(databases, &workers, &options.fleet));
    let mut known = Known { goals, by_digest: HashMap::new() };
    while let Some(tenant) = tenants.try_next().await? {
        let changes = known.changes(&workers, layout, &tenant).await;
        let site = Site::of_tenant(layout, &tenant);
        each(Preview { tenant: Some(&tenant), changes, site, limits: options.limits });
    }
    Ok(())
}

/// The changes for schemas of each type at each digest.
struct Known<'a> {
    goals: Goals<'a>,
    by_digest: HashMap<(Option<TypeName>, Digest), Vec<Change<'a>>>,
}

impl<'a> Known<'a> {
    async fn changes(
        &mut self,
        workers: &Workers<'_>,
        layout: &Layout,
        tenant: &Tenant,
    ) -> Result<Vec<Change<'a>>> {
        let goal = self.goals.of_tenant(tenant)?;
        if tenant.digest() == Some(&goal.digest()) {
            return Ok(Vec::new());
        }
        let key = tenant.digest().map(|digest| (tenant.type_name().cloned(), *digest));
        if let Some(known) = key.as_ref().and_then(|key| self.by_digest.get(key)) {
            return Ok(known.clone());
        }
        let site = Site::of_tenant(layout, tenant);
        let look = async |connection: &mut PgConnection| changes(connection, site, goal).await;
        let changes = workers.with(tenant.database(), look).await?;
        if let Some(key) = key {
            self.by_digest.insert(key, changes.clone());
        }
        Ok(changes)
    }
}

async fn changes<'a>(
    connection: &mut PgConnection,
    site: Site<'_>,
    goal: Goal<'a>,
) -> Result<Vec<Change<'a>>> {
    let rows = ledger::read(connection, site.schema).await?;
    let plan = plan(goal, &rows).map_err(|conflicts| site.conflict(&conflicts))?;
    Ok(plan.changes().collect())
}
