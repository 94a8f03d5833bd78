//! Extractors: the arguments that a handler of axum can ask for.

use axum::extract::FromRequestParts;
use axum::middleware::{FromExtractorLayer, from_extractor};
use http::request::Parts;

use super::layer::Resolved;
use super::rejection::{Rejection, RejectionKind};
use crate::pool::{MasterDb, TenantDb};
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

fn resolved(parts: &Parts) -> Result<&Resolved, Rejection> {
    parts.extensions.get().ok_or_else(|| Rejection::new(RejectionKind::NoLayer, &parts.headers))
}

async fn tenant_of(parts: &Parts) -> Result<Tenant, Rejection> {
    let resolved = resolved(parts)?;
    match resolved.tenant().await {
        Ok(Some(tenant)) => Ok(tenant),
        Ok(None) => Err(Rejection::new(not_for(resolved, RejectionKind::NoTenant), &parts.headers)),
        Err(error) => Err(Rejection::of(&error, &parts.headers)),
    }
}

/// The reason why a request is not for what the handler asked for.
fn not_for(resolved: &Resolved, otherwise: RejectionKind) -> RejectionKind {
    match resolved.resolution() {
        Resolution::Invalid(_) => RejectionKind::InvalidHost,
        Resolution::Tenant { .. } | Resolution::Master | Resolution::None => otherwise,
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tenancy {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        Ok(resolved(parts)?.tenancy().clone())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        tenant_of(parts).await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TenantDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        let tenant = tenant_of(parts).await?;
        resolved(parts)?.tenancy().db(&tenant).map_err(|error| Rejection::of(&error, &parts.headers))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MasterDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        let resolved = resolved(parts)?;
        match resolved.resolution() {
            Resolution::Master => Ok(resolved.tenancy().master()),
            _ => Err(Rejection::new(not_for(resolved, RejectionKind::NotMaster), &parts.headers)),
        }
    }
}
