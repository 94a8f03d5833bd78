//! The life of a tenant: to rename it, to delete it, to bring it back, to remove it for good.

use std::time::Duration;

use time::OffsetDateTime;
use tracing::Instrument as _;

use super::Tenancy;
use crate::database::Period;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::lifecycle::{self, PurgeOptions};
use crate::observe::{Steps, verb_span};
use crate::registry::{FormerSlug, deletion, former_slugs};
use crate::resolve::Head;
use crate::tenant::{Slug, Tenant, Verb};

impl Tenancy {
    /// Takes a tenant out of the registry, with its domains. Its schema stays as it is, its ledger and its role
    /// included, and can be adopted again.
    ///
    /// # Errors
    /// [`ErrorKind::TenantUnavailable`] if it is neither active, suspended nor deleted; [`ErrorKind::Conflict`] if
    /// another process works on it.
    pub async fn release(&self, tenant: &Tenant) -> Result<()> {
        let release = lifecycle::release(&self.inner.context, tenant.id());
        let released = release.instrument(verb_span(Verb::Release, tenant)).await?;
        self.inner.registry.forget_tenant(tenant).await;
        self.inner.registry.forget_tenant(&released).await;
        Ok(())
    }

    /// Gives a tenant another slug. Answers with the tenant as it is now.
    ///
    /// Its schema keeps its name, so connections, transactions and handles that are kept go on. For 30 days nobody else
    /// gets the slug it had, and requests for that may be
    /// [redirected](crate::http::TenancyLayer::redirect_renamed). To undo it, rename the tenant back.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// let acme = tenancy.tenant("acme").await?;
    /// let apex = tenancy.rename(&acme, "apex").await?;
    /// assert_eq!(apex.id(), acme.id());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a bad or reserved slug, [`ErrorKind::AlreadyExists`] if it is another tenant's,
    /// or was until recently; [`ErrorKind::UnknownTenant`] if the tenant is gone.
    pub async fn rename(&self, tenant: &Tenant, slug: &str) -> Result<Tenant> {
        self.rename_for(tenant, slug, Period::days(30)).await
    }

    /// Does what [`rename`](Self::rename) does, and keeps the slug it had for this long. With a period of nothing, it
    /// is free at once.
    ///
    /// # Errors
    /// Like [`rename`](Self::rename).
    pub async fn rename_for(&self, tenant: &Tenant, slug: &str, keep: Period) -> Result<Tenant> {
        let rename = lifecycle::rename(&self.inner.context, tenant.id(), slug, keep.duration());
        let renamed = rename.instrument(verb_span(Verb::Rename, tenant)).await?;
        self.inner.registry.forget_tenant(tenant).await;
        self.changed(renamed).await
    }

    /// The slugs that a tenant had before and that are still its own, the newest first.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn former_slugs(&self, tenant: &Tenant) -> Result<Vec<FormerSlug>> {
        former_slugs::of_tenant(&self.master(), tenant.id()).await
    }

    /// The tenant that had this slug before it was renamed, mostly from memory. Nobody else has it meanwhile.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn formerly(&self, slug: &Slug) -> Result<Option<Tenant>> {
        self.inner.registry.formerly(slug).await
    }

    /// The address of the same page for a tenant of another slug, where the resolver knows it: see
    /// [`Resolve::address`](crate::resolve::Resolve::address).
    pub fn address(&self, head: &Head<'_>, slug: &Slug) -> Option<String> {
        self.inner.resolver.address(head, slug)
    }

    /// Deletes a tenant: hides it, and dates its purge. Nothing of it is touched, its slug and domains stay taken, and
    /// [`undelete`](Self::undelete) brings it back. Answers with the tenant as it is now.
    ///
    /// Requests are answered as if there were no such tenant, and checkouts fail with
    /// [`ErrorKind::UnknownTenant`], those of kept handles from their next one on. It is kept for
    /// [`Builder::keep_deleted`](crate::Builder::keep_deleted). One that is deleted already stays as it is.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// let acme = tenancy.tenant("acme").await?;
    /// tenancy.delete(&acme).await?;
    /// let acme = tenancy.undelete(&acme).await?;
    /// assert!(tenancy.db(&acme).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::TenantUnavailable`] if it is neither active nor suspended, [`ErrorKind::UnknownTenant`] if it is
    /// gone.
    pub async fn delete(&self, tenant: &Tenant) -> Result<Tenant> {
        self.delete_within(tenant, self.inner.context.keep_deleted).await
    }

    /// Does what [`delete`](Self::delete) does, and keeps the tenant for this long.
    ///
    /// # Errors
    /// Like [`delete`](Self::delete).
    pub async fn delete_for(&self, tenant: &Tenant, keep: Period) -> Result<Tenant> {
        self.delete_within(tenant, keep.duration()).await
    }

    async fn delete_within(&self, tenant: &Tenant, keep: Duration) -> Result<Tenant> {
        let delete = lifecycle::delete(&self.inner.context, tenant.id(), keep);
        let deleted = delete.instrument(verb_span(Verb::Delete, tenant)).await?;
        self.changed(deleted).await
    }

    /// Brings a deleted tenant back, with all its domains, as what it was: active or suspended. Answers with the
    /// tenant as it is now, which may be behind the fleet: runs leave deleted tenants alone.
    ///
    /// # Errors
    /// [`ErrorKind::TenantUnavailable`] if it is being purged, [`ErrorKind::UnknownTenant`] if it is gone.
    pub async fn undelete(&self, tenant: &Tenant) -> Result<Tenant> {
        let undelete = lifecycle::undelete(&self.inner.context, tenant.id());
        let back = undelete.instrument(verb_span(Verb::Undelete, tenant)).await?;
        self.changed(back).await
    }

    /// Drops the schema of a deleted tenant, and forgets the tenant. There is no undo.
    ///
    /// It is dropped in transactions of limited size, since PostgreSQL has room for a limited number of locks. After
    /// an interruption the tenant is `purging`, and the same call goes on. The [audit](Self::audit) of the tenant
    /// stays.
    ///
    /// # Errors
    /// [`ErrorKind::TenantUnavailable`] if it is not deleted, or its time has not come;
    /// [`ErrorKind::Dependents`] if objects of other schemas depend on it, before anything is dropped;
    /// [`ErrorKind::InvalidInput`] or [`ErrorKind::Registry`] if its schema is shared; [`ErrorKind::Conflict`] if
    /// another process works on it.
    pub async fn purge(&self, tenant: &Tenant, options: PurgeOptions) -> Result<()> {
        self.purge_observed(tenant, options, ()).await
    }

    /// Does what [`purge`](Self::purge) does, and tells how much was dropped.
    ///
    /// # Errors
    /// Like [`purge`](Self::purge).
    pub async fn purge_observed(
        &self,
        tenant: &Tenant,
        options: PurgeOptions,
        steps: impl Steps,
    ) -> Result<()> {
        let purge = lifecycle::purge(&self.inner.context, tenant.id(), options, &steps);
        let purged = purge.instrument(verb_span(Verb::Purge, tenant)).await;
        // It may be half-way, which others are to know as well.
        self.inner.registry.forget_tenant(tenant).await;
        purged.map(drop)
    }

    /// Up to `limit` tenants to purge now, whose slugs come after `after`, in the order of their slugs: deleted ones
    /// whose time has come, and those whose purge was interrupted.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn due_for_purge(&self, after: &str, limit: u32) -> Result<Vec<Tenant>> {
        deletion::due_after(&self.master(), after, i64::from(limit)).await
    }

    /// The date from which on a deleted tenant is purged. `None` for any other tenant, and for one that was deleted by
    /// hand.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn purge_after(&self, tenant: &Tenant) -> Result<Option<OffsetDateTime>> {
        let date = deletion::purge_after(&self.master(), tenant.id()).await?;
        Ok(date.map(|(date, _)| date))
    }
}
