use sqlx::PgConnection;

use crate::error::Result;
use crate::registry::store;
use crate::tenant::{DomainName, Tenant};

/// Enters a tenant and its domains in the registry, in a transaction of the caller's.
pub(super) async fn enter(
    connection: &mut PgConnection,
    tenant: &Tenant,
    domains: &[DomainName],
) -> Result<()> {
    store::insert_tenant(connection, tenant).await?;
    for domain in domains {
        store::insert_domain(connection, tenant, domain).await?;
    }
    Ok(())
}
