//! The audit of tenants: what was done to them, when and by whom.

use sqlx::PgConnection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Tenancy;
use crate::error::Result;
use crate::registry::audit::{self, Action};
use crate::registry::{AuditEntry, AuditState};
use crate::tenant::{Tenant, TenantId, Verb};

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

    /// Enters that a bypass is signed, which changes nothing but that.
    pub(crate) async fn enter_bypass(&self, tenant: &Tenant, until: OffsetDateTime) -> Result<()> {
        let context = &self.inner.context;
        let until = until.format(&Rfc3339).unwrap_or_default();
        let options = serde_json::json!({ "until": until });
        let action = Action { options, ..Action::new(Verb::Bypass, &context.operator) };
        let enter = async |registry: &mut PgConnection| {
            audit::enter(registry, tenant, &action, AuditState::Done).await
        };
        context.databases.with_registry(enter).await
    }
}
