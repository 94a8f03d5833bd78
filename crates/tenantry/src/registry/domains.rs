//! The domains of tenants, written and read.

use sqlx::PgConnection;

use super::{Registry, store};
use crate::error::Result;
use crate::resolve::TenantKey;
use crate::tenant::{DomainName, Tenant};

impl Registry {
    /// Gives a domain to a tenant, unless somebody has it already.
    pub(crate) async fn add_domain(&self, tenant: &Tenant, domain: &DomainName) -> Result<()> {
        domain.check_registrable()?;
        let insert =
            async |connection: &mut PgConnection| store::insert_domain(connection, tenant, domain).await;
        self.with_connection(insert).await?;
        self.forget(&TenantKey::Domain(domain.clone()));
        Ok(())
    }

    /// Takes a domain from a tenant, and returns true if it had it.
    pub(crate) async fn remove_domain(&self, tenant: &Tenant, domain: &DomainName) -> Result<bool> {
        let delete =
            async |connection: &mut PgConnection| store::delete_domain(connection, tenant, domain).await;
        let had_it = self.with_connection(delete).await?;
        self.forget(&TenantKey::Domain(domain.clone()));
        Ok(had_it)
    }

    /// The domains of a tenant, in alphabetical order.
    pub(crate) async fn domains(&self, tenant: &Tenant) -> Result<Vec<DomainName>> {
        let names = store::domains_of(&self.master(), tenant.id()).await?;
        names.iter().map(|name| Ok(DomainName::parse(name)?)).collect()
    }
}
