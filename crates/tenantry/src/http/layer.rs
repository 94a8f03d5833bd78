//! The middleware: says who each request is for.

use std::fmt;
use std::task::{Context, Poll};

use http::{Request, Uri};
use tower_layer::Layer;
use tower_service::Service;

use super::peer;
use crate::error::Result;
use crate::resolve::{Head, Resolution};
use crate::tenancy::Tenancy;
use crate::tenant::Tenant;

/// The extension that the middleware puts into a request, for those who work without axum's
/// extractors.
///
/// ```no_run
/// use tenantry::http::Resolved;
///
/// # async fn example(request: http::Request<()>) -> tenantry::Result<()> {
/// if let Some(resolved) = request.extensions().get::<Resolved>() {
///     if let Some(tenant) = resolved.tenant().await? {
///         let db = resolved.tenancy().db(&tenant)?;
/// #       let _ = db;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Resolved {
    tenancy: Tenancy,
    resolution: Resolution,
}

impl Resolved {
    /// All tenants.
    pub fn tenancy(&self) -> &Tenancy {
        &self.tenancy
    }

    /// The tenant that the request is for, as its head says.
    pub fn resolution(&self) -> &Resolution {
        &self.resolution
    }

    /// The tenant the request is for; `None` if it is for no tenant.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTenant`](crate::ErrorKind::UnknownTenant) if it is for one that does not exist.
    pub async fn tenant(&self) -> Result<Option<Tenant>> {
        match &self.resolution {
            Resolution::Tenant { key, .. } => self.tenancy.find(key).await.map(Some),
            Resolution::Master | Resolution::None | Resolution::Invalid(_) => Ok(None),
        }
    }
}

/// Makes a [`TenancyService`] of a service. Given by [`Tenancy::layer`].
///
/// A resolver that reads the path, [`PathSegment`](crate::resolve::PathSegment), must see the request
/// before the router does; axum's `Router::layer` is too late for that. Wrap the router instead:
///
/// ```no_run
/// # fn example(tenancy: tenantry::Tenancy, router: axum::Router) {
/// use tower_layer::Layer;
///
/// let app = tenancy.layer().layer(router);
/// # let _ = app;
/// # }
/// ```
#[derive(Clone)]
pub struct TenancyLayer {
    tenancy: Tenancy,
}

impl Tenancy {
    /// The middleware that finds out which tenant a request is for. It rejects nothing: what
    /// a handler asks for decides.
    pub fn layer(&self) -> TenancyLayer {
        TenancyLayer { tenancy: self.clone() }
    }
}

impl<S> Layer<S> for TenancyLayer {
    type Service = TenancyService<S>;

    fn layer(&self, inner: S) -> TenancyService<S> {
        TenancyService { inner, tenancy: self.tenancy.clone() }
    }
}

/// Resolves every request and passes it on.
#[derive(Clone)]
pub struct TenancyService<S> {
    inner: S,
    tenancy: Tenancy,
}

impl<S, B> Service<Request<B>> for TenancyService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        peer::note(request.extensions_mut());
        let resolution = self.tenancy.resolver().resolve(&Head::of(&request));
        if let Resolution::Tenant { path: Some(path), .. } = &resolution {
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = Some(path.clone());
            // Only the path changed, and it is one already.
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
        request.extensions_mut().insert(Resolved { tenancy: self.tenancy.clone(), resolution });
        self.inner.call(request)
    }
}

impl fmt::Debug for TenancyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenancyLayer").finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for TenancyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenancyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
