//! Finds the tenant that something is done to.

use sqlx::PgConnection;

use crate::error::{Error, ErrorKind, Result};
use crate::registry::store;
use crate::tenant::{Tenant, TenantId};

/// Reads a tenant as it is now, in whatever status.
pub(super) async fn find(registry: &mut PgConnection, id: TenantId) -> Result<Tenant> {
    let tenant = store::tenant_by_id(registry, id).await?;
    tenant.ok_or_else(|| Error::new(ErrorKind::UnknownTenant, format!("no tenant goes by `{id}`")))
}
