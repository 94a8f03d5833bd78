//! Gives a half-made tenant up.

use sqlx::{Connection as _, PgConnection};

use super::create::lock_schema;
use super::removal::remove_schema;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::migrate::{Dependents, Patience};
use crate::registry::{AuditState, audit, store};
use crate::tenant::{Alias, Slug, Status, Tenant, Verb};

/// Removes the schema and the row of a tenant that never became active. Safe to repeat.
pub(crate) async fn abort(context: &Context, slug: &Slug) -> Result<Tenant> {
    let mut registry = context.databases.owner_connection(&Alias::default()).await?;
    let tenant = store::tenant_by_slug(&mut registry, slug).await?.ok_or_else(|| {
        Error::new(ErrorKind::UnknownTenant, format!("no tenant goes by `{slug}`")).with_tenant(slug)
    })?;
    let mut workplace = match tenant.status() {
        Status::Provisioning => {
            let workplace = lock_schema(context, &tenant).await?;
            give_up(&mut registry, &tenant).await?;
            workplace
        }
        // An earlier abort was interrupted.
        Status::Purging => lock_schema(context, &tenant).await?,
        status => return Err(not_half_made(&tenant, status)),
    };
    remove_schema(context, &mut workplace, &tenant, Dependents::Refuse, &()).await?;
    let mut patience = Patience::of_creation();
    loop {
        match forget(&mut registry, &tenant).await {
            Err(error) if patience.rest(&error, tenant.slug()).await => {}
            result => return result.map(|()| tenant),
        }
    }
}

/// Has nobody finish it from here on.
async fn give_up(registry: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let mut patience = Patience::of_creation();
    loop {
        match store::set_status(registry, tenant, Status::Purging).await {
            Err(error) if patience.rest(&error, tenant.slug()).await => {}
            result => return result,
        }
    }
}

async fn forget(registry: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let mut tx = registry.begin().await?;
    store::delete_tenant(&mut tx, tenant.id()).await?;
    audit::end(&mut tx, tenant.id(), Verb::Purge, AuditState::Done).await?;
    // Whichever verb was to make it.
    audit::end_all(&mut tx, tenant.id()).await?;
    Ok(tx.commit().await?)
}

fn not_half_made(tenant: &Tenant, status: Status) -> Error {
    let message = format!("tenant `{}` is {status}, not half-made", tenant.slug());
    Error::new(ErrorKind::TenantUnavailable, message)
        .with_tenant(tenant.slug())
        .with_hint("only a tenant that is still `provisioning` can be aborted")
}
