//! The events of tenants' lives, for an application that subscribes.

use super::Tenancy;
use crate::error::Result;
use crate::registry::TenantEvent;

impl Tenancy {
    /// Calls a function whenever something was done to a tenant, by this process or another one: to send a mail, to
    /// warm a cache, to write to a log. What was done before this returns is not told.
    ///
    /// ```no_run
    /// use tenantry::tenant::Verb;
    ///
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// tenancy
    ///     .on_tenant_event(|event| match event.verb {
    ///         Verb::Create => println!("welcome, {}", event.entry.slug),
    ///         Verb::Suspend => println!("{} suspended {}", event.entry.operator, event.entry.slug),
    ///         _ => {}
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Each process that subscribes is told, so what is to happen once needs a lock or a queue of its own. The function
    /// is called in a task, one event after the other, and should be quick; where it panics, that is logged. It is
    /// called until the [`Tenancy`] is closed or dropped.
    ///
    /// # What may be missed
    ///
    /// The entries of the [audit](Self::audit) that are done are announced with their transaction, and heard on the
    /// connection that keeps the cache true. While it is lost, nothing is heard; when it is back, what was missed is
    /// told late, in the order of its beginning. Two things are not: what is done while this process does not run,
    /// and a thing that takes several transactions, if more than a thousand others were begun after it and it ended
    /// while the connection was lost. Behind a pooler without a `direct_url` nothing listens; there the audit is read
    /// every [`cache_ttl`](crate::registry::RegistryConfig::cache_ttl). Migrations are no events, and announce
    /// nothing in their transactions.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn on_tenant_event(&self, hear: impl Fn(&TenantEvent) + Send + Sync + 'static) -> Result<()> {
        self.inner.registry.subscribe(hear).await
    }
}
