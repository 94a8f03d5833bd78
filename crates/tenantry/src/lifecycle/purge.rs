//! Removes a deleted tenant for good.

use sqlx::{Connection as _, PgConnection};

use super::find::find;
use super::relocate::purge_copies;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::migrate::{Dependents, SchemaLock, refuse_dependents};
use crate::observe::Steps;
use crate::provision::{lock_schema, refuse_shared, remove_schema};
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, deletion, store};
use crate::tenant::{Alias, Status, Tenant, TenantId, Verb};

/// Options of a purge. The default refuses whatever could be a mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgeOptions {
    /// Purges a deleted tenant before its time has come, if true.
    pub now: bool,
    /// Drops objects of other schemas that depend on those of the tenant too, such as a view in the master schema, if
    /// true. Otherwise they are an error, before anything is dropped.
    pub drop_dependents: bool,
}

impl PurgeOptions {
    fn dependents(self) -> Dependents {
        if self.drop_dependents { Dependents::Drop } else { Dependents::Refuse }
    }
}

/// Drops the schema of a deleted tenant in parts, and then its row. Repeating it after any interruption goes on; there
/// is no undo from the second step on.
pub(crate) async fn purge(
    context: &Context,
    id: TenantId,
    options: PurgeOptions,
    steps: &dyn Steps,
) -> Result<Tenant> {
    let mut registry = context.databases.owner_connection(&Alias::default()).await?;
    let tenant = find(&mut registry, id).await?;
    check_time(&mut registry, &tenant, options).await?;
    let mut workplace = lock_schema(context, &tenant).await?;
    // Under the lock, because somebody may have brought it back, or purged it, since it was read.
    let tenant = find(&mut registry, id).await?;
    check_time(&mut registry, &tenant, options).await?;
    check_schema(context, &mut registry, &tenant).await?;
    if options.dependents() == Dependents::Refuse {
        let mut tx = workplace.begin().await?;
        refuse_dependents(&mut tx, tenant.schema())
            .await
            .map_err(|error| error.with_tenant(tenant.slug()))?;
        tx.rollback().await?;
    }
    begin(context, &mut registry, &tenant).await?;
    let removed = remove_schema(context, &mut workplace, &tenant, options.dependents(), steps).await;
    if let Err(error) = removed {
        // What failed says more than that it could not be noted.
        let _ = store::set_last_error(&mut registry, &tenant, Some(&error.to_string())).await;
        return Err(error.with_tenant(tenant.slug()));
    }
    // What moves have left of it elsewhere goes with it.
    purge_copies(context, tenant.id(), steps).await.map_err(|error| error.with_tenant(tenant.slug()))?;
    forget(&mut registry, &tenant).await?;
    Ok(tenant)
}

/// From now on there may be less than all of the tenant. No undo.
async fn begin(context: &Context, registry: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    if tenant.status() == Status::Purging {
        return Ok(());
    }
    let mut tx = registry.begin().await?;
    deletion::begin_purge(&mut tx, tenant).await?;
    let action = Action::new(Verb::Purge, &context.operator);
    audit::enter(&mut tx, tenant, &action, AuditState::Begun).await?;
    fail_point::reached(FailPoint::BeforePurge);
    tx.commit().await?;
    fail_point::reached(FailPoint::AfterPurge);
    Ok(())
}

/// The row goes last, so that whatever is left of the tenant is somebody's.
async fn forget(registry: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let mut tx = registry.begin().await?;
    store::delete_tenant(&mut tx, tenant.id()).await?;
    audit::end(&mut tx, tenant.id(), Verb::Purge, AuditState::Done).await?;
    // Its making, where a half-made tenant was given up, or a change of its type.
    audit::end_all(&mut tx, tenant.id()).await?;
    fail_point::reached(FailPoint::BeforeForget);
    tx.commit().await?;
    fail_point::reached(FailPoint::AfterForget);
    Ok(())
}

async fn check_time(registry: &mut PgConnection, tenant: &Tenant, options: PurgeOptions) -> Result<()> {
    let slug = tenant.slug();
    let refused = |message: String, hint: String| {
        Err(Error::new(ErrorKind::TenantUnavailable, message).with_tenant(slug).with_hint(hint))
    };
    match tenant.status() {
        Status::Purging => return Ok(()),
        Status::Deleted => {}
        status => {
            let message = format!("tenant `{slug}` is {status}, not deleted");
            return refused(message, format!("delete it first: `tenantry delete {slug}`"));
        }
    }
    let hint = "`--now` purges it before that".to_owned();
    match deletion::purge_after(&mut *registry, tenant.id()).await? {
        _ if options.now => Ok(()),
        Some((_, true)) => Ok(()),
        Some((date, false)) => refused(format!("tenant `{slug}` is kept until {}", date.date()), hint),
        None => refused(format!("tenant `{slug}` has no date of its purge"), hint),
    }
}

/// Refuses a schema that is not this tenant's alone, whatever the options.
async fn check_schema(context: &Context, registry: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    refuse_shared(context, tenant.schema()).map_err(|error| error.with_tenant(tenant.slug()))?;
    let lock = SchemaLock::of(tenant.schema()).is_held();
    for alias in deletion::namesakes(registry, tenant).await? {
        let is_same = alias == *tenant.database() || {
            // Two aliases may lead to one database. There, the lock that this process holds is seen.
            let mut other = context.databases.owner_connection(&alias).await?;
            let is_held = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT {lock}")));
            is_held.fetch_one(&mut other).await?
        };
        if is_same {
            let message = format!("schema `{}` belongs to somebody else, too", tenant.schema());
            return Err(Error::new(ErrorKind::Registry, message)
                .with_tenant(tenant.slug())
                .with_hint("correct the rows of the registry that name it"));
        }
    }
    Ok(())
}
