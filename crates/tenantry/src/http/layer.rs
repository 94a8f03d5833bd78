//! The middleware: says who each request is for.

use std::fmt;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Extensions, HeaderMap, Request, Response, Uri};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;
use tracing::field::Empty;

use super::bypass::BypassKey;
use super::future::TenancyFuture;
use super::resolved::Resolved;
use super::vary::Vary;
use super::{original_uri, peer};
use crate::resolve::{Head, Resolution};
use crate::tenancy::Tenancy;

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
///
/// The application then sees the path without the tenant. The one that was asked for is [`Resolved::uri`] and
/// axum's `OriginalUri`, and [`Resolved::link`] makes links.
#[derive(Clone)]
pub struct TenancyLayer {
    tenancy: Tenancy,
    attached: Extensions,
    bypass: Option<BypassKey>,
    vary: Vary,
}

impl Tenancy {
    /// The middleware that finds out which tenant a request is for. It rejects nothing: what
    /// a handler asks for decides.
    ///
    /// As soon as somebody asks for the tenant, it is recorded in the fields `tenant` (the slug) and `tenant.id` of a
    /// span of `tracing`: the one around this layer, if that was made with a field `tenant`, such as one of
    /// tower-http's `TraceLayer`; otherwise one of level info, in which the request is then handled.
    ///
    /// Responses name in `Vary` the headers by which the resolver tells tenants apart
    /// ([`Resolve::varies_by`](crate::resolve::Resolve::varies_by)).
    pub fn layer(&self) -> TenancyLayer {
        let vary = Vary::by(self.varies_by());
        TenancyLayer { tenancy: self.clone(), attached: Extensions::new(), bypass: None, vary }
    }
}

impl TenancyLayer {
    /// Serves a suspended tenant to requests with a bypass that this key has signed, in the header or the cookie
    /// [`BYPASS`](super::BYPASS): for support staff, who have to look.
    ///
    /// ```no_run
    /// use tenantry::http::BypassKey;
    ///
    /// # fn example(tenancy: tenantry::Tenancy, router: axum::Router, secret: &str) -> tenantry::Result<()> {
    /// let app: axum::Router = router.layer(tenancy.layer().bypass(BypassKey::new(secret)?));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// `tenantry bypass acme --for 1h` prints one, with the same key in `TENANTRY_BYPASS_KEY`.
    pub fn bypass(mut self, key: BypassKey) -> Self {
        self.bypass = Some(key);
        self
    }
}

impl TenancyLayer {
    /// Attaches to the head of a request who it is for, like the middleware does: for a framework that is not built on
    /// tower. Where a resolver takes the tenant out of the path, the head has another URI afterwards. Handle the
    /// request in the span that it answers with, and let the response pass [`vary`](Self::vary).
    ///
    /// ```
    /// use tenantry::http::{Extract as _, TenancyLayer};
    /// use tenantry::{Tenant, http::Rejection};
    ///
    /// async fn tenant(layer: &TenancyLayer, request: http::Request<()>) -> Result<Tenant, Rejection> {
    ///     let (mut head, _) = request.into_parts();
    ///     layer.resolve(&mut head);
    ///     Tenant::extract(&head).await
    /// }
    /// ```
    pub fn resolve(&self, head: &mut Parts) -> Span {
        peer::note(&mut head.extensions);
        let resolution = self.tenancy.resolve(&Head::of_parts(head));
        let uri = head.uri.clone();
        if let Resolution::Tenant { path: Some(path), .. } = &resolution {
            original_uri::note(&mut head.extensions, &uri);
            let mut parts = uri.clone().into_parts();
            parts.path_and_query = Some(path.clone());
            // Only the path changed, and it is one already.
            if let Ok(uri) = Uri::from_parts(parts) {
                head.uri = uri;
            }
        }
        head.extensions.extend(self.attached.clone());
        let bypass = self.bypass.as_ref().and_then(|key| key.find(&head.headers));
        let tenancy = self.tenancy.clone();
        let (span, own) = spans();
        head.extensions.insert(Resolved { tenancy, resolution, uri, bypass, span });
        own
    }

    /// Names in the `Vary` of a response the headers by which the resolver tells tenants apart, like the middleware.
    pub fn vary(&self, headers: &mut HeaderMap) {
        self.vary.add_to(headers);
    }

    /// Attaches one thing more to each request.
    pub(super) fn attach(mut self, extension: impl Clone + Send + Sync + 'static) -> Self {
        self.attached.insert(extension);
        self
    }
}

impl<S> Layer<S> for TenancyLayer {
    type Service = TenancyService<S>;

    fn layer(&self, inner: S) -> TenancyService<S> {
        TenancyService { inner, layer: self.clone() }
    }
}

/// Resolves every request and passes it on.
#[derive(Clone)]
pub struct TenancyService<S> {
    inner: S,
    layer: TenancyLayer,
}

/// The span that hears of a request's tenant, and the one to handle the request in.
fn spans() -> (Span, Span) {
    let around = Span::current();
    if around.has_field("tenant") {
        return (around, Span::none());
    }
    let own = tracing::info_span!("request", tenant = Empty, tenant.id = Empty);
    (own.clone(), own)
}

impl<S, B, R> Service<Request<B>> for TenancyService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = TenancyFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let span = self.layer.resolve(&mut head);
        let answer = span.in_scope(|| self.inner.call(Request::from_parts(head, body)));
        TenancyFuture::new(answer, span, self.layer.vary.clone())
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
