//! Types of tenants.

use tracing::Instrument as _;

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::lifecycle::{self, FormerFiles, TypeChange};
use crate::observe::verb_span;
use crate::tenant::{Tenant, TypeName, Verb};

impl Tenancy {
    /// Gives a tenant another type, or none, and applies the files that its schema lacks then. It is served meanwhile.
    ///
    /// What the files of the former type made stays, or is undone by their `.down.sql` files, as `former` says. Files
    /// whose work stays leave the ledger: runs know nothing of them any more, and when the tenant is of that type
    /// again they count as applied.
    ///
    /// Everything that stands in the way is an error before anything is changed. After an interruption the same call
    /// goes on, and a call with another type goes there instead. Until then no run touches the schema once its ledger
    /// has gone over.
    ///
    /// ```no_run
    /// use tenantry::lifecycle::FormerFiles;
    /// use tenantry::tenant::TypeName;
    ///
    /// # async fn example(tenancy: tenantry::Tenancy) -> Result<(), Box<dyn std::error::Error>> {
    /// let (acme, pro) = (tenancy.tenant("acme").await?, TypeName::parse("pro")?);
    /// let change = tenancy.set_type(&acme, Some(&pro), FormerFiles::Keep).await?;
    /// assert_eq!(change.tenant.type_name(), Some(&pro));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if this program knows no such type; [`ErrorKind::Migration`] if a file was changed
    /// since it was applied, comes late, cannot be undone, or fails; [`ErrorKind::TenantUnavailable`] if the tenant is
    /// neither active nor suspended; [`ErrorKind::Conflict`] if another process works on it.
    pub async fn set_type(
        &self,
        tenant: &Tenant,
        type_name: Option<&TypeName>,
        former: FormerFiles,
    ) -> Result<TypeChange> {
        let set_type = lifecycle::set_type(&self.inner.context, tenant.id(), type_name, former);
        let changed = set_type.instrument(verb_span(Verb::SetType, tenant)).await;
        // It may be half-way, which others are to know as well.
        self.inner.registry.forget_tenant(tenant).await;
        let change = changed?;
        Ok(TypeChange { tenant: self.changed(change.tenant).await?, ..change })
    }
}
