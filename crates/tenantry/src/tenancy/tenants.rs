//! Tenants: to find one, to make one, its domains.

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::provision::{self, NewTenant};
use crate::resolve::TenantKey;
use crate::tenant::{DomainName, Slug, Tenant};

impl Tenancy {
    /// The tenant with this slug.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if no tenant could have this slug, [`ErrorKind::UnknownTenant`]
    /// if none has.
    pub async fn tenant(&self, slug: &str) -> Result<Tenant> {
        self.find(&TenantKey::Slug(Slug::parse(slug)?)).await
    }

    /// The tenant that goes by this slug or domain, in whatever status. Answered from memory while
    /// the tenant does not change.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTenant`] if there is none.
    pub async fn find(&self, key: &TenantKey) -> Result<Tenant> {
        self.inner.registry.find(key).await
    }

    /// Up to `limit` tenants whose slugs come after `after`, in the order of their slugs: a
    /// page of all tenants. The first page comes after the empty text.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn tenants_after(&self, after: &str, limit: u32) -> Result<Vec<Tenant>> {
        self.inner.registry.tenants_after(after, limit).await
    }

    /// Makes a tenant: its schema, all tenant migrations, its row in the registry. It can be served
    /// when this returns.
    ///
    /// Where every migration is transactional, all of it is one transaction. Otherwise an
    /// interrupted call leaves a `provisioning` tenant, and the same call continues it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a bad or reserved slug, [`ErrorKind::AlreadyExists`] if the
    /// slug, a domain or the schema is taken, [`ErrorKind::Migration`] if a file fails,
    /// [`ErrorKind::Conflict`] if another process is making the same tenant.
    pub async fn create(&self, new: NewTenant) -> Result<Tenant> {
        let created = provision::create(&self.inner.context, &new).await;
        // Somebody may have looked for it before it was there.
        if let Ok(tenant) = &created {
            self.inner.registry.forget_tenant(tenant).await;
        }
        created
    }

    /// Removes a tenant that is still `provisioning`, with whatever was made of it.
    ///
    /// # Errors
    /// [`ErrorKind::TenantUnavailable`] if it is past that, [`ErrorKind::UnknownTenant`] if there is
    /// none.
    pub async fn abort_creation(&self, slug: &str) -> Result<Tenant> {
        let tenant = provision::abort(&self.inner.context, &Slug::parse(slug)?).await?;
        self.inner.registry.forget_tenant(&tenant).await;
        Ok(tenant)
    }

    /// Gives a tenant a domain of its own.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an IP address, [`ErrorKind::AlreadyExists`] if the domain
    /// belongs to a tenant already.
    pub async fn add_domain(&self, tenant: &Tenant, domain: &DomainName) -> Result<()> {
        self.inner.registry.add_domain(tenant, domain).await
    }

    /// Takes a domain from a tenant; answers whether it had it.
    ///
    /// # Errors
    /// If the registry cannot be written.
    pub async fn remove_domain(&self, tenant: &Tenant, domain: &DomainName) -> Result<bool> {
        self.inner.registry.remove_domain(tenant, domain).await
    }

    /// The domains of a tenant, in alphabetical order.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn domains(&self, tenant: &Tenant) -> Result<Vec<DomainName>> {
        self.inner.registry.domains(tenant).await
    }
}
