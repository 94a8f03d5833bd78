//! Lets a tenant go, with its schema.

use sqlx::Connection as _;

use super::find::find;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::provision::lock_schema;
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, applied, store};
use crate::tenant::{Alias, Status, Tenant, TenantId, Verb};

/// Takes a tenant out of the registry, with its domains. Its schema stays as it is, its ledger included,
/// and what is kept of types that it was of.
pub(crate) async fn release(context: &Context, id: TenantId) -> Result<Tenant> {
    let mut registry = context.databases.owner_connection(&Alias::default()).await?;
    let tenant = find(&mut registry, id).await?;
    check_status(&tenant)?;
    // Nobody migrates or purges it meanwhile.
    let mut workplace = lock_schema(context, &tenant).await?;
    let tenant = find(&mut registry, id).await?;
    check_status(&tenant)?;
    if *tenant.database() != Alias::default() {
        // Before the row, so that the same command finishes it. Undo: the next run notes it again.
        applied::release(&mut workplace, tenant.schema()).await?;
    }
    let options = serde_json::json!({ "schema": tenant.schema(), "database": tenant.database() });
    let action = Action { options, ..Action::new(Verb::Release, &context.operator) };
    let mut tx = registry.begin().await?;
    if *tenant.database() == Alias::default() {
        applied::release(&mut tx, tenant.schema()).await?;
    }
    // Undo: adopt the schema.
    store::delete_tenant(&mut tx, tenant.id()).await?;
    audit::end_all(&mut tx, tenant.id()).await?;
    audit::enter(&mut tx, &tenant, &action, AuditState::Done).await?;
    fail_point::reached(FailPoint::BeforeRelease);
    tx.commit().await?;
    fail_point::reached(FailPoint::AfterRelease);
    Ok(tenant)
}

fn check_status(tenant: &Tenant) -> Result<()> {
    if matches!(tenant.status(), Status::Active | Status::Suspended | Status::Deleted) {
        return Ok(());
    }
    let message = format!("tenant `{}` is {} and cannot be released", tenant.slug(), tenant.status());
    Err(Error::new(ErrorKind::TenantUnavailable, message).with_tenant(tenant.slug()))
}
