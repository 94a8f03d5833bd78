//! Gives a tenant another slug.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::find::find;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::provision::checked_slug;
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, former_slugs};
use crate::tenant::{Status, Tenant, TenantId, Verb};

/// Renames a tenant, in one transaction of the registry: its schema keeps its name, and whoever is connected goes on.
/// The slug that it had stays its own for this long.
pub(crate) async fn rename(context: &Context, id: TenantId, slug: &str, keep: Duration) -> Result<Tenant> {
    let slug = checked_slug(context, slug)?;
    let rename = async |registry: &mut PgConnection| {
        let tenant = find(registry, id).await?;
        if *tenant.slug() == slug {
            return Ok(tenant);
        }
        if matches!(tenant.status(), Status::Provisioning | Status::Purging) {
            let message = format!("tenant `{}` is {} and cannot be renamed", tenant.slug(), tenant.status());
            return Err(Error::new(ErrorKind::TenantUnavailable, message).with_tenant(tenant.slug()));
        }
        let options = serde_json::json!({ "to": slug, "redirect_seconds": keep.as_secs() });
        let action = Action { options, ..Action::new(Verb::Rename, &context.operator) };
        let mut tx = registry.begin().await?;
        // Undo: rename it back.
        former_slugs::rename(&mut tx, &tenant, &slug, keep).await?;
        audit::enter(&mut tx, &tenant, &action, AuditState::Done).await?;
        fail_point::reached(FailPoint::BeforeRename);
        tx.commit().await?;
        fail_point::reached(FailPoint::AfterRename);
        find(registry, id).await
    };
    context.databases.with_registry(rename).await
}
