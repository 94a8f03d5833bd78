//! Suspending a tenant, and resuming it.

use std::time::Duration;

use tracing::Instrument as _;

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::lifecycle;
use crate::observe::verb_span;
use crate::resolve::TenantKey;
use crate::tenant::{Suspension, Tenant, Verb};

impl Tenancy {
    /// Suspends a tenant: from its next checkout on, anywhere, it is not served, or may only be read. Answers with the
    /// tenant as it is now. One that is suspended already is suspended on these terms from now on.
    ///
    /// Requests get 503 with the message, and `Retry-After` where there is an end. Checkouts fail with
    /// [`ErrorKind::Suspended`], those of jobs and of handles that are kept too; what is under way goes on.
    /// Migrations still reach the tenant.
    ///
    /// ```no_run
    /// use time::{Duration, OffsetDateTime};
    /// use tenantry::tenant::Suspension;
    ///
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// let acme = tenancy.tenant("acme").await?;
    /// let terms = Suspension::new()
    ///     .because("moves to another plan")
    ///     .saying("We are upgrading your account. Back in an hour!")
    ///     .until(OffsetDateTime::now_utc() + Duration::HOUR);
    /// let acme = tenancy.suspend(&acme, terms).await?;
    /// assert!(tenancy.db(&acme).is_err());
    ///
    /// let acme = tenancy.resume(&acme).await?;
    /// assert!(tenancy.db(&acme).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Reads that go on
    ///
    /// With [`Suspension::read_only`] the tenant is served on sessions whose transactions are read-only, which is
    /// part of the switch: `default_transaction_read_only`, or behind a pooler `SET LOCAL transaction_read_only`. A
    /// statement that writes, takes a row lock or draws from a sequence fails with [`ErrorKind::Suspended`]. It keeps
    /// an application from writing by mistake, and is no defence against SQL that sets its transaction to `READ
    /// WRITE`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for terms that are over already or hold what cannot be shown,
    /// [`ErrorKind::TenantUnavailable`] for a tenant that is neither active nor suspended,
    /// [`ErrorKind::UnknownTenant`] if it was removed.
    pub async fn suspend(&self, tenant: &Tenant, terms: Suspension) -> Result<Tenant> {
        let suspend = lifecycle::suspend(&self.inner.context, tenant, &terms);
        let suspended = suspend.instrument(verb_span(Verb::Suspend, tenant)).await?;
        self.changed(suspended).await
    }

    /// Waits until nothing of a suspended tenant is under way, but no longer than this; where reads go on, until
    /// nothing writes.
    ///
    /// It sees connections of this process that are in use, and of all others the transactions that have touched a
    /// relation of the tenant's schema: the server is asked who holds locks there. So it covers pools of other
    /// processes, migrations, `psql` and `pg_dump`. It does not see a transaction elsewhere that was begun before and
    /// has touched nothing yet, nor a checkout in a process that has not heard of the suspension, which takes
    /// milliseconds, or [`cache_ttl`](crate::registry::RegistryConfig::cache_ttl) where nothing listens. Connections
    /// of [bypasses](crate::http::BypassKey) are waited for as well.
    ///
    /// # Errors
    /// [`ErrorKind::PoolTimeout`] that says what is still at work, [`ErrorKind::InvalidInput`] if the tenant is
    /// not suspended.
    pub async fn drain(&self, tenant: &Tenant, limit: Duration) -> Result<()> {
        let tenant = self.find(&TenantKey::Id(tenant.id())).await?;
        lifecycle::drain(&self.inner.context, &tenant, limit).await
    }

    /// Has a suspended tenant served again, and tells every process. An active one stays as it is.
    ///
    /// # Errors
    /// [`ErrorKind::TenantUnavailable`] for a tenant that is neither active nor suspended,
    /// [`ErrorKind::UnknownTenant`] if it was removed.
    pub async fn resume(&self, tenant: &Tenant) -> Result<Tenant> {
        let resume = lifecycle::resume(&self.inner.context, tenant);
        let resumed = resume.instrument(verb_span(Verb::Resume, tenant)).await?;
        self.changed(resumed).await
    }

    /// Forgets what was known of a tenant, and answers with all that is known now.
    pub(super) async fn changed(&self, tenant: Tenant) -> Result<Tenant> {
        let registry = &self.inner.registry;
        registry.forget_tenant(&tenant).await;
        Ok(registry.complete(vec![tenant.clone()]).await.pop().unwrap_or(tenant))
    }
}
