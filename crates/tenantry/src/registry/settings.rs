//! Changes of what the application keeps with a tenant, while the tenant is served.

use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Registry, store};
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::{SettingsChange, Tenant, TenantId};

impl Registry {
    /// Changes settings of a tenant, and answers with the tenant as it is now.
    pub(crate) async fn change_settings(&self, tenant: &Tenant, change: &SettingsChange) -> Result<Tenant> {
        let change = async |connection: &mut PgConnection| {
            update(connection, tenant.id(), change).await?;
            store::tenant_by_id(connection, tenant.id()).await
        };
        let changed = self.with_connection(change).await?;
        self.forget_tenant(tenant).await;
        let changed = self.complete(changed.into_iter().collect()).await.pop();
        changed.ok_or_else(|| {
            let message = format!("tenant `{}` was removed", tenant.slug());
            Error::new(ErrorKind::UnknownTenant, message).with_tenant(tenant.slug())
        })
    }
}

/// Changes them in one statement, so that two who change different ones at a time both succeed.
async fn update(connection: &mut PgConnection, id: TenantId, change: &SettingsChange) -> Result<()> {
    sqlx::query("UPDATE tenantry.tenant SET settings = (settings - $3::text[]) || $2 WHERE id = $1")
        .bind(id.as_uuid())
        .bind(Json(change.set()))
        .bind(change.unset())
        .execute(connection)
        .await?;
    Ok(())
}
