//! What a handler of axum can ask for.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::middleware::{FromExtractorLayer, from_extractor};
use http::Extensions;
use http::request::Parts;

use super::layer::Resolved;
use super::rejection::{Rejection, RejectionKind};
use crate::pool::{MasterDb, TenantDb};
use crate::resolve::{Peer, Resolution};
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

/// Notes the other end of the connection as axum knows it, so that resolvers can judge whom to trust.
pub(super) fn note_peer(extensions: &mut Extensions) {
    let address = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    if let (Some(address), None) = (address, extensions.get::<Peer>()) {
        extensions.insert(Peer(address));
    }
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

/// Why a request is not for what the handler asked for.
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
