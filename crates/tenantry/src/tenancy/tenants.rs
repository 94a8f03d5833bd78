//! Tenants: to find one, to make one, its domains.

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::observe::make_in_span;
use crate::provision::{self, NewTenant};
use crate::resolve::{Head, Resolution, TenantKey};
use crate::tenant::{DomainName, SettingsChange, Slug, Tenant, TenantName, Verb};

impl Tenancy {
    /// The tenant with this slug.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if no tenant could have this slug, [`ErrorKind::UnknownTenant`]
    /// if none has.
    pub async fn tenant(&self, slug: &str) -> Result<Tenant> {
        self.find(&TenantKey::Slug(Slug::parse(slug)?)).await
    }

    /// The tenant that goes by this slug, domain or id, in whatever status. Answered from memory while
    /// the tenant does not change.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTenant`] if there is none.
    pub async fn find(&self, key: &TenantKey) -> Result<Tenant> {
        self.inner.registry.find(key).await
    }

    /// The headers by which the resolver tells tenants apart, besides `Host`.
    pub(crate) fn varies_by(&self) -> Vec<http::HeaderName> {
        self.inner.resolver.varies_by()
    }

    /// Asks the resolver which tenant a request is for, as the [layer](Self::layer) does: for a server that is not
    /// on tower, and for what is no request at all but has a head like one. The database is not asked.
    ///
    /// The reason why a request is invalid is logged at the level `DEBUG`, with a hint.
    ///
    /// ```no_run
    /// use tenantry::resolve::{Head, Resolution};
    ///
    /// # async fn example(tenancy: tenantry::Tenancy, request: http::Request<()>) -> tenantry::Result<()> {
    /// if let Resolution::Tenant { key, .. } = tenancy.resolve(&Head::of(&request)) {
    ///     let tenant = tenancy.find(&key).await?;
    ///     let db = tenancy.db(&tenant)?;
    /// #   let _ = db;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn resolve(&self, head: &Head<'_>) -> Resolution {
        let resolution = self.inner.resolver.resolve(head);
        if let Resolution::Invalid(reason) = &resolution {
            let cause = std::error::Error::source(reason).map(ToString::to_string);
            let (path, host) = (head.uri().path(), head.headers().get(http::header::HOST));
            tracing::debug!(path, ?host, cause, hint = reason.hint(), "Took a request for invalid: {reason}");
        }
        resolution
    }

    /// Up to `limit` tenants whose slugs come after `after`, in the order of their slugs: a
    /// page of all tenants. The first page comes after the empty text.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn tenants_after(&self, after: &str, limit: u32) -> Result<Vec<Tenant>> {
        self.inner.registry.tenants_after(after, limit).await
    }

    /// Does what [`tenants_after`](Self::tenants_after) does, for the tenants for which a condition holds: SQL over the
    /// columns of `tenantry.tenant`, such as `settings->>'plan' = 'pro'`.
    ///
    /// The condition is SQL, so it is the operator's and never a user's. It runs in a transaction that only reads.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] with what PostgreSQL says of the condition.
    pub async fn tenants_where(&self, condition: &str, after: &str, limit: u32) -> Result<Vec<Tenant>> {
        self.inner.registry.tenants_where(condition, after, limit).await
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
        let create = Box::pin(provision::create(&self.inner.context, &new));
        let created = make_in_span(Verb::Create, Some(new.slug()), |made| made, create).await;
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

    /// Changes the name to show people, and tells every process. Answers with the tenant as it is now.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a text that is not a [`TenantName`], [`ErrorKind::UnknownTenant`] if the
    /// tenant was removed.
    pub async fn set_name(&self, tenant: &Tenant, name: &str) -> Result<Tenant> {
        let change = SettingsChange::from(TenantName::parse(name)?);
        self.inner.registry.change_settings(tenant, &change).await
    }

    /// Changes settings, and tells every process. Answers with the tenant as it is now.
    ///
    /// `changes` is a JSON object. Each of its keys is set to its value as a whole, or removed where that is
    /// `null`; other settings stay, also those that somebody else changes at this moment.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// use serde_json::json;
    ///
    /// let acme = tenancy.tenant("acme").await?;
    /// let acme = tenancy.set_settings(&acme, json!({ "plan": "gold", "trial_ends": null })).await?;
    /// assert_eq!(acme.settings()["plan"], "gold");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for what is no object, holds a NUL, or has a text for `name` that is not a
    /// [`TenantName`]; [`ErrorKind::UnknownTenant`] if the tenant was removed.
    pub async fn set_settings(
        &self,
        tenant: &Tenant,
        changes: impl Into<serde_json::Value>,
    ) -> Result<Tenant> {
        let change = SettingsChange::parse(changes.into())?;
        self.inner.registry.change_settings(tenant, &change).await
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
