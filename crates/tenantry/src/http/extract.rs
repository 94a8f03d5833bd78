//! What a handler of axum can ask for.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::middleware::{FromExtractorLayer, from_extractor};
use http::Extensions;
use http::request::Parts;

use super::layer::Attached;
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

fn attached(parts: &Parts) -> Result<Attached, Rejection> {
    parts.extensions.get().cloned().ok_or_else(|| Rejection::new(RejectionKind::NoLayer, &parts.headers))
}

async fn tenant_of(parts: &Parts) -> Result<(Tenancy, Tenant), Rejection> {
    let Attached { tenancy, resolution } = attached(parts)?;
    let kind = match resolution {
        Resolution::Tenant { key, .. } => match tenancy.find(&key).await {
            Ok(tenant) => return Ok((tenancy, tenant)),
            Err(error) => return Err(Rejection::of(&error, &parts.headers)),
        },
        Resolution::Master | Resolution::None => RejectionKind::NoTenant,
        Resolution::Invalid(_) => RejectionKind::InvalidHost,
    };
    Err(Rejection::new(kind, &parts.headers))
}

impl<S: Send + Sync> FromRequestParts<S> for Tenancy {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        Ok(attached(parts)?.tenancy)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        Ok(tenant_of(parts).await?.1)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TenantDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        let (tenancy, tenant) = tenant_of(parts).await?;
        tenancy.db(&tenant).map_err(|error| Rejection::of(&error, &parts.headers))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MasterDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        let Attached { tenancy, resolution } = attached(parts)?;
        let kind = match resolution {
            Resolution::Master => return Ok(tenancy.master()),
            Resolution::Tenant { .. } | Resolution::None => RejectionKind::NotMaster,
            Resolution::Invalid(_) => RejectionKind::InvalidHost,
        };
        Err(Rejection::new(kind, &parts.headers))
    }
}
