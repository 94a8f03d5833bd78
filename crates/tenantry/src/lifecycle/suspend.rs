//! Suspends a tenant, and resumes it.
//!
//! Both are one transaction on the registry. Its triggers announce the change, so caches hear of it within
//! milliseconds, and handles that are kept follow at their next checkout. Nothing is closed: a connection that was
//! prepared before is not warm for other terms.

use sqlx::{Connection as _, PgConnection};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, store, suspension as row};
use crate::tenant::{Status, Suspension, Tenant, Verb};

/// Suspends a tenant that is active, or suspends it on other terms. Undone by [`resume`].
pub(crate) async fn suspend(context: &Context, tenant: &Tenant, suspension: &Suspension) -> Result<Tenant> {
    suspension.check()?;
    let options = serde_json::to_value(suspension).unwrap_or_default();
    let action = Action { options, ..Action::new(Verb::Suspend, &context.operator) };
    let suspend = async |registry: &mut PgConnection| {
        let mut tx = registry.begin().await?;
        let now = locked(&mut tx, tenant).await?;
        if !matches!(now.recorded_status(), Status::Active | Status::Suspended) {
            return Err(not_suspendable(&now, "suspended"));
        }
        if now.status() == Status::Suspended && now.suspension() == Some(suspension) {
            return Ok(now);
        }
        row::suspend(&mut tx, now.id(), suspension).await?;
        audit::enter(&mut tx, &now, &action, AuditState::Done).await?;
        fail_point::reached(FailPoint::BeforeSuspend);
        let suspended = locked(&mut tx, tenant).await?;
        tx.commit().await?;
        fail_point::reached(FailPoint::AfterSuspend);
        Ok(suspended)
    };
    context.databases.with_registry(suspend).await
}

/// Has a suspended tenant served again. An active one stays as it is. Undone by [`suspend`].
pub(crate) async fn resume(context: &Context, tenant: &Tenant) -> Result<Tenant> {
    let resume = async |registry: &mut PgConnection| {
        let mut tx = registry.begin().await?;
        let now = locked(&mut tx, tenant).await?;
        match now.recorded_status() {
            Status::Suspended => {}
            Status::Active => return Ok(now),
            _ => return Err(not_suspendable(&now, "resumed")),
        }
        row::resume(&mut tx, now.id()).await?;
        let action = Action::new(Verb::Resume, &context.operator);
        audit::enter(&mut tx, &now, &action, AuditState::Done).await?;
        fail_point::reached(FailPoint::BeforeResume);
        let resumed = locked(&mut tx, tenant).await?;
        tx.commit().await?;
        fail_point::reached(FailPoint::AfterResume);
        Ok(resumed)
    };
    context.databases.with_registry(resume).await
}

/// The tenant as it is now. Nobody changes it before the transaction ends.
async fn locked(connection: &mut PgConnection, tenant: &Tenant) -> Result<Tenant> {
    let found = store::lock_tenant(connection, tenant.id()).await?;
    found.ok_or_else(|| {
        let message = format!("tenant `{}` is gone", tenant.slug());
        Error::new(ErrorKind::UnknownTenant, message).with_tenant(tenant.slug())
    })
}

fn not_suspendable(tenant: &Tenant, what: &str) -> Error {
    let message = format!("tenant `{}` is {} and cannot be {what}", tenant.slug(), tenant.status());
    Error::new(ErrorKind::TenantUnavailable, message).with_tenant(tenant.slug())
}
