//! Looks whether a tenant that is to be made can have what it asks for.

use sqlx::PgConnection;

use crate::error::{Error, ErrorKind, Result};
use crate::provision::{NewTenant, already_exists};
use crate::registry::store;
use crate::tenant::Tenant;

/// Looks before the work whether somebody has the slug or a domain. The registry will say so again.
pub(super) async fn check_free(
    connection: &mut PgConnection,
    new: &NewTenant,
    tenant: &Tenant,
) -> Result<()> {
    if let Some(known) = store::tenant_by_slug(&mut *connection, tenant.slug()).await? {
        return Err(already_exists(&known));
    }
    for domain in new.domains() {
        if store::tenant_by_domain(&mut *connection, domain).await?.is_some() {
            let message = format!("domain `{domain}` already belongs to a tenant");
            return Err(Error::new(ErrorKind::AlreadyExists, message).with_tenant(tenant.slug()));
        }
    }
    Ok(())
}
