//! Hides a tenant until its purge, and brings it back.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::find::find;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, deletion};
use crate::tenant::{Status, Tenant, TenantId, Verb};

/// Deletes a tenant, in one transaction of the registry: nothing of it is touched. One that is deleted stays so.
pub(crate) async fn delete(context: &Context, id: TenantId, keep: Duration) -> Result<Tenant> {
    let delete = async |registry: &mut PgConnection| {
        let tenant = find(registry, id).await?;
        if tenant.status() == Status::Deleted {
            return Ok(tenant);
        }
        if !tenant.status().can_become(Status::Deleted) {
            return Err(not_deletable(&tenant));
        }
        let options = serde_json::json!({ "keep_seconds": keep.as_secs() });
        let action = Action { options, ..Action::new(Verb::Delete, &context.operator) };
        let mut tx = registry.begin().await?;
        // Undo: undelete.
        deletion::delete(&mut tx, &tenant, keep).await?;
        audit::enter(&mut tx, &tenant, &action, AuditState::Done).await?;
        fail_point::reached(FailPoint::BeforeDelete);
        tx.commit().await?;
        fail_point::reached(FailPoint::AfterDelete);
        find(registry, id).await
    };
    context.databases.with_registry(delete).await
}

/// Brings a deleted tenant back as what it was, in one transaction of the registry.
pub(crate) async fn undelete(context: &Context, id: TenantId) -> Result<Tenant> {
    let undelete = async |registry: &mut PgConnection| {
        let tenant = find(registry, id).await?;
        match tenant.status() {
            Status::Deleted => {}
            Status::Purging => return Err(too_late(&tenant)),
            _ => return Ok(tenant),
        }
        let mut tx = registry.begin().await?;
        // Undo: delete.
        deletion::undelete(&mut tx, &tenant).await?;
        let action = Action::new(Verb::Undelete, &context.operator);
        audit::enter(&mut tx, &tenant, &action, AuditState::Done).await?;
        fail_point::reached(FailPoint::BeforeUndelete);
        tx.commit().await?;
        fail_point::reached(FailPoint::AfterUndelete);
        find(registry, id).await
    };
    context.databases.with_registry(undelete).await
}

fn not_deletable(tenant: &Tenant) -> Error {
    let message = format!("tenant `{}` is {} and cannot be deleted", tenant.slug(), tenant.status());
    let error = Error::new(ErrorKind::TenantUnavailable, message).with_tenant(tenant.slug());
    match tenant.status() {
        Status::Provisioning => error.with_hint("remove what there is of it with `tenantry create --abort`"),
        _ => error,
    }
}

fn too_late(tenant: &Tenant) -> Error {
    let message = format!("tenant `{}` is being purged, and cannot come back", tenant.slug());
    Error::new(ErrorKind::TenantUnavailable, message).with_tenant(tenant.slug())
}
