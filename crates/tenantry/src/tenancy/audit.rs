//! The audit of tenants: what was done to them, when and by whom.

use super::Tenancy;
use crate::error::Result;
use crate::registry::{AuditEntry, audit};
use crate::tenant::TenantId;

impl Tenancy {
    /// The newest entries about a tenant, the newest first. What was done to a tenant that is gone is still known.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// let acme = tenancy.tenant("acme").await?;
    /// for entry in tenancy.audit(acme.id(), 10).await? {
    ///     println!("{}: {} by {}", entry.begun_at, entry.verb, entry.operator);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn audit(&self, tenant: TenantId, limit: u32) -> Result<Vec<AuditEntry>> {
        audit::entries_of(&self.master(), tenant, i64::from(limit)).await
    }
}
