//! axum: extractors, which are the arguments that a handler can ask for, and rejections and errors as responses.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::middleware::{FromExtractorLayer, from_extractor};
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use super::extract::Extract;
use super::layer::TenancyLayer;
use super::rejection::{OwnAnswer, Rejection};
use super::resolved::Resolved;
use crate::error::Error;
#[cfg(feature = "tokio-postgres")]
use crate::pool::{MasterClient, TenantClient};
use crate::pool::{MasterDb, TenantDb, TenantReadDb};
#[cfg(feature = "diesel-async")]
use crate::pool::{MasterDiesel, TenantDiesel};
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

impl TenancyLayer {
    /// Answers requests that get no further in the application's own words.
    ///
    /// In the closure, the rejection as a response is the usual one: a page or a problem document.
    ///
    /// ```no_run
    /// use axum::response::{Html, IntoResponse, Redirect, Response};
    /// use tenantry::http::{Rejection, RejectionKind};
    ///
    /// fn answer(rejection: Rejection) -> Response {
    ///     match rejection.kind() {
    ///         _ if rejection.wants_json() => rejection.into_response(),
    ///         RejectionKind::UnknownTenant => Redirect::to("https://example.com/signup").into_response(),
    ///         _ => (rejection.status(), Html("<h1>Sorry</h1>")).into_response(),
    ///     }
    /// }
    ///
    /// # fn example(tenancy: tenantry::Tenancy, router: axum::Router) {
    /// let app = router.layer(tenancy.layer().on_rejection(answer));
    /// # let _ = app;
    /// # }
    /// ```
    pub fn on_rejection<R: IntoResponse>(
        self,
        answer: impl Fn(Rejection) -> R + Send + Sync + 'static,
    ) -> Self {
        self.attach(OwnAnswer(Arc::new(move |rejection| answer(rejection).into_response())))
    }
}

impl IntoResponse for Rejection {
    fn into_response(mut self) -> Response {
        match self.take_own_answer() {
            Some(OwnAnswer(answer)) => answer(self),
            None => self.answer().map(Body::from),
        }
    }
}

/// Lets `?` work in a handler: a response with the error's [`status`](Error::status), which is its
/// [`answer`](Error::answer).
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.answer().map(Body::from)
    }
}

macro_rules! extractors {
    ($($argument:ty),*) => {$(
        impl<S: Send + Sync> FromRequestParts<S> for $argument {
            type Rejection = Rejection;

            async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
                Self::extract(parts).await
            }
        }
    )*};
}

macro_rules! optional_extractors {
    ($($argument:ty),*) => {$(
        impl<S: Send + Sync> OptionalFromRequestParts<S> for $argument {
            type Rejection = Rejection;

            async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Rejection> {
                Option::<Self>::extract(parts).await
            }
        }
    )*};
}

extractors!(Resolved, Tenancy, Tenant, TenantDb, TenantReadDb, MasterDb);
optional_extractors!(Tenant, TenantDb, TenantReadDb, MasterDb);
#[cfg(feature = "tokio-postgres")]
extractors!(TenantClient, MasterClient);
#[cfg(feature = "tokio-postgres")]
optional_extractors!(TenantClient, MasterClient);
#[cfg(feature = "diesel-async")]
extractors!(TenantDiesel, MasterDiesel);
#[cfg(feature = "diesel-async")]
optional_extractors!(TenantDiesel, MasterDiesel);
