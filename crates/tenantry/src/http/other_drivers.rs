//! Extractors for code that is written against other drivers than sqlx: the same as those for sqlx.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use super::extract::{resolved, tenant_of};
use super::rejection::Rejection;
use super::rejection_kind::RejectionKind;
use crate::pool::{MasterClient, TenantClient};
#[cfg(feature = "diesel-async")]
use crate::pool::{MasterDiesel, TenantDiesel};
use crate::resolve::Resolution;

macro_rules! extractors {
    ($tenant:ident by $of_tenant:ident, $master:ident by $of_master:ident) => {
        impl<S: Send + Sync> FromRequestParts<S> for $tenant {
            type Rejection = Rejection;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
                let db = <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
                db.ok_or_else(|| Rejection::new(RejectionKind::NoTenant, parts))
            }
        }

        impl<S: Send + Sync> OptionalFromRequestParts<S> for $tenant {
            type Rejection = Rejection;

            async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Rejection> {
                let resolved = resolved::<Self>(parts)?;
                let Some(tenant) = tenant_of(parts, resolved).await? else { return Ok(None) };
                let db = resolved.tenancy().$of_tenant(&tenant);
                db.map(Some).map_err(|error| Rejection::of(error, parts))
            }
        }

        impl<S: Send + Sync> FromRequestParts<S> for $master {
            type Rejection = Rejection;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
                let db = <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
                db.ok_or_else(|| Rejection::new(RejectionKind::NotMaster, parts))
            }
        }

        impl<S: Send + Sync> OptionalFromRequestParts<S> for $master {
            type Rejection = Rejection;

            async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Rejection> {
                let resolved = resolved::<Self>(parts)?;
                match resolved.resolution() {
                    Resolution::Invalid(reason) => Err(Rejection::invalid(reason, parts)),
                    Resolution::Master => Ok(Some(resolved.tenancy().$of_master())),
                    Resolution::Tenant { .. } | Resolution::None => Ok(None),
                }
            }
        }
    };
}

extractors!(TenantClient by client, MasterClient by master_client);
#[cfg(feature = "diesel-async")]
extractors!(TenantDiesel by diesel, MasterDiesel by master_diesel);
