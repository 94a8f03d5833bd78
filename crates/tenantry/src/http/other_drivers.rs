//! The things that a handler can ask for where code is written against other drivers than sqlx: the same as for sqlx.

use http::request::Parts;

use super::extract::{Extract, resolved, tenant_of};
use super::rejection::Rejection;
use super::rejection_kind::RejectionKind;
use super::resolved::Resolved;
use crate::error::Result;
use crate::pool::{MasterClient, TenantClient};
#[cfg(feature = "diesel-async")]
use crate::pool::{MasterDiesel, TenantDiesel};
use crate::resolve::Resolution;
use crate::tenancy::Tenancy;
use crate::tenant::Tenant;

impl Resolved {
    /// The tables of a tenant through tokio-postgres, for this request: as [`Tenancy::client`], and with a bypass as
    /// [`db`](Self::db).
    ///
    /// # Errors
    /// Like [`Tenancy::client`].
    pub fn client(&self, tenant: &Tenant) -> Result<TenantClient> {
        self.or_bypass(tenant, Tenancy::client, Tenancy::client_until)
    }

    /// The tables of a tenant through Diesel, for this request: as [`Tenancy::diesel`], and with a bypass as
    /// [`db`](Self::db).
    ///
    /// # Errors
    /// Like [`Tenancy::diesel`].
    #[cfg(feature = "diesel-async")]
    pub fn diesel(&self, tenant: &Tenant) -> Result<TenantDiesel> {
        self.or_bypass(tenant, Tenancy::diesel, Tenancy::diesel_until)
    }
}

macro_rules! extract {
    ($tenant:ident by $of_tenant:ident, $master:ident by $of_master:ident) => {
        impl Extract for $tenant {
            async fn extract(head: &Parts) -> Result<Self, Rejection> {
                let handle = <Option<Self> as Extract>::extract(head).await?;
                handle.ok_or_else(|| Rejection::new(RejectionKind::NoTenant, head))
            }
        }

        impl Extract for Option<$tenant> {
            async fn extract(head: &Parts) -> Result<Self, Rejection> {
                let resolved = resolved::<$tenant>(head)?;
                let Some(tenant) = tenant_of(head, resolved).await? else { return Ok(None) };
                resolved.$of_tenant(&tenant).map(Some).map_err(|error| Rejection::of(error, head))
            }
        }

        impl Extract for $master {
            async fn extract(head: &Parts) -> Result<Self, Rejection> {
                let handle = <Option<Self> as Extract>::extract(head).await?;
                handle.ok_or_else(|| Rejection::new(RejectionKind::NotMaster, head))
            }
        }

        impl Extract for Option<$master> {
            async fn extract(head: &Parts) -> Result<Self, Rejection> {
                let resolved = resolved::<$master>(head)?;
                match resolved.resolution() {
                    Resolution::Invalid(reason) => Err(Rejection::invalid(reason, head)),
                    Resolution::Master => Ok(Some(resolved.tenancy().$of_master())),
                    Resolution::Tenant { .. } | Resolution::None => Ok(None),
                }
            }
        }
    };
}

extract!(TenantClient by client, MasterClient by master_client);
#[cfg(feature = "diesel-async")]
extract!(TenantDiesel by diesel, MasterDiesel by master_diesel);
