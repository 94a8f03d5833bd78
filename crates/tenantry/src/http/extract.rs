//! Extractors: the arguments that a handler of axum can ask for.

use std::sync::Once;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::middleware::{FromExtractorLayer, from_extractor};
use http::request::Parts;

use super::layer::Resolved;
use super::rejection::Rejection;
use super::rejection_kind::RejectionKind;
use super::renamed;
use crate::error::ErrorKind;
use crate::pool::{MasterDb, TenantDb, TenantReadDb};
use crate::resolve::Resolution;
use crate::tenancy::Tenancy;
use crate::tenant::Tenant;

/// A layer that answers requests which are for no tenant, before any handler runs.
///
/// ```
/// use axum::{Router, routing::get};
///
/// let tenants_only: Router = Router::new()
///     .route("/notes", get(|| async { "notes" }))
///     .route_layer(tenantry::http::require_tenant());
/// # let _ = tenants_only;
/// ```
pub fn require_tenant() -> FromExtractorLayer<Tenant, ()> {
    from_extractor::<Tenant>()
}

impl<S: Send + Sync> FromRequestParts<S> for Resolved {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        resolved::<Self>(parts).cloned()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tenancy {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        Ok(resolved::<Self>(parts)?.tenancy().clone())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        let tenant = tenant_of(parts, resolved::<Self>(parts)?).await?;
        tenant.ok_or_else(|| Rejection::new(RejectionKind::NoTenant, parts))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Tenant {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Rejection> {
        tenant_of(parts, resolved::<Self>(parts)?).await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TenantDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        let db = db_of(parts, resolved::<Self>(parts)?).await?;
        db.ok_or_else(|| Rejection::new(RejectionKind::NoTenant, parts))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for TenantDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Rejection> {
        db_of(parts, resolved::<Self>(parts)?).await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TenantReadDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        let db = replica_of(parts, resolved::<Self>(parts)?).await?;
        db.ok_or_else(|| Rejection::new(RejectionKind::NoTenant, parts))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for TenantReadDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Rejection> {
        replica_of(parts, resolved::<Self>(parts)?).await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MasterDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        let master = master_of(parts, resolved::<Self>(parts)?)?;
        master.ok_or_else(|| Rejection::new(RejectionKind::NotMaster, parts))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for MasterDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Rejection> {
        master_of(parts, resolved::<Self>(parts)?)
    }
}

/// The tenant of a request, or nothing if it is for none. One that nobody knows is not nothing.
pub(super) async fn tenant_of(parts: &Parts, resolved: &Resolved) -> Result<Option<Tenant>, Rejection> {
    match resolved.resolution() {
        Resolution::Invalid(reason) => Err(Rejection::invalid(reason, parts)),
        _ => match resolved.tenant().await {
            Err(error) if error.kind() == ErrorKind::UnknownTenant => {
                Err(renamed::redirect(parts, resolved).await.unwrap_or_else(|| Rejection::of(error, parts)))
            }
            answer => answer.map_err(|error| Rejection::of(error, parts)),
        },
    }
}

async fn db_of(parts: &Parts, resolved: &Resolved) -> Result<Option<TenantDb>, Rejection> {
    let Some(tenant) = tenant_of(parts, resolved).await? else { return Ok(None) };
    resolved.db(&tenant).map(Some).map_err(|error| Rejection::of(error, parts))
}

async fn replica_of(parts: &Parts, resolved: &Resolved) -> Result<Option<TenantReadDb>, Rejection> {
    let Some(tenant) = tenant_of(parts, resolved).await? else { return Ok(None) };
    resolved.replica(&tenant).map(Some).map_err(|error| Rejection::of(error, parts))
}

fn master_of(parts: &Parts, resolved: &Resolved) -> Result<Option<MasterDb>, Rejection> {
    match resolved.resolution() {
        Resolution::Invalid(reason) => Err(Rejection::invalid(reason, parts)),
        Resolution::Master => Ok(Some(resolved.tenancy().master())),
        Resolution::Tenant { .. } | Resolution::None => Ok(None),
    }
}

/// Finds what the layer has attached, for an argument of the type `T`.
pub(super) fn resolved<T>(parts: &Parts) -> Result<&Resolved, Rejection> {
    parts.extensions.get().ok_or_else(|| {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            let argument = std::any::type_name::<T>();
            let path = parts.uri.path();
            tracing::error!(
                "A handler at `{path}` takes a `{argument}`, but `.layer(tenancy.layer())` is not around its \
                 route: add the layer after the route, or wrap the whole router"
            );
        });
        Rejection::new(RejectionKind::NoLayer, parts)
    })
}
