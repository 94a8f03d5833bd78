//! The middleware: says who each request is for.

use std::fmt;
use std::task::{Context, Poll};

use http::{Extensions, Request, Response, Uri};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;
use tracing::field::Empty;

use super::bypass::{Bypass, BypassKey};
use super::future::TenancyFuture;
use super::vary::Vary;
use super::{original_uri, peer};
use crate::error::{ErrorKind, Result};
use crate::observe::record_tenant;
use crate::pool::{TenantDb, TenantReadDb};
use crate::registry::unknown;
use crate::resolve::{Head, Resolution, TenantKey};
use crate::tenancy::Tenancy;
use crate::tenant::Tenant;

/// The extension that the middleware puts into a request: for those who work without axum's extractors, and
/// for links. With the feature `axum` it is an extractor as well.
///
/// ```no_run
/// use tenantry::http::Resolved;
///
/// # async fn example(request: http::Request<()>) -> tenantry::Result<()> {
/// if let Some(resolved) = request.extensions().get::<Resolved>() {
///     if let Some(tenant) = resolved.tenant().await? {
///         let db = resolved.db(&tenant)?;
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
    uri: Uri,
    bypass: Option<Bypass>,
    /// Hears who the tenant is.
    span: Span,
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

    /// The URI as it was asked for, before the tenant was taken out of its path.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The beginning of the path that was taken out of it: `/t/acme` of `/t/acme/notes`. Empty, unless a resolver
    /// such as [`PathSegment`](crate::resolve::PathSegment) took one out.
    pub fn prefix(&self) -> &str {
        let Resolution::Tenant { path: Some(path), .. } = &self.resolution else { return "" };
        let asked = self.uri.path();
        match asked.strip_suffix(path.path()) {
            Some(prefix) => prefix,
            None if path.path() == "/" => asked,
            None => "",
        }
    }

    /// The path of a page of the same tenant, for links and redirects: `/t/acme/notes` for `/notes`. A text that
    /// does not begin with a slash stays as it is.
    ///
    /// ```
    /// use axum::response::Redirect;
    /// use tenantry::http::Resolved;
    ///
    /// async fn done(resolved: Resolved) -> Redirect {
    ///     Redirect::to(&resolved.link("/notes"))
    /// }
    /// ```
    pub fn link(&self, path: &str) -> String {
        let prefix = if path.starts_with('/') { self.prefix() } else { "" };
        format!("{prefix}{path}")
    }

    /// The tenant that had the slug of this request before it was renamed; `None` if nobody had, or it is deleted.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn formerly(&self) -> Result<Option<Tenant>> {
        let Resolution::Tenant { key: TenantKey::Slug(slug), .. } = &self.resolution else { return Ok(None) };
        let tenant = self.tenancy.formerly(slug).await?;
        Ok(tenant.filter(|tenant| !tenant.status().is_hidden()))
    }

    /// The tenant the request is for; `None` if it is for no tenant.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTenant`](crate::ErrorKind::UnknownTenant) if it is for one that does not exist, or is
    /// deleted.
    pub async fn tenant(&self) -> Result<Option<Tenant>> {
        match &self.resolution {
            Resolution::Tenant { key, .. } => {
                let tenant = self.tenancy.find(key).await?;
                // The same error as where there is none.
                if tenant.status().is_hidden() {
                    return Err(unknown(key));
                }
                record_tenant(&self.span, &tenant);
                Ok(Some(tenant))
            }
            Resolution::Master | Resolution::None | Resolution::Invalid(_) => Ok(None),
        }
    }

    /// The tables of a tenant, for this request: as [`Tenancy::db`], and those of a suspended tenant where the request
    /// carries a [bypass](TenancyLayer::bypass) for it.
    ///
    /// # Errors
    /// Like [`Tenancy::db`].
    pub fn db(&self, tenant: &Tenant) -> Result<TenantDb> {
        match (self.tenancy.db(tenant), self.bypass) {
            (Err(error), Some(bypass))
                if error.kind() == ErrorKind::Suspended && bypass.tenant == tenant.id() =>
            {
                self.tenancy.db_until(tenant, bypass.until)
            }
            (result, _) => result,
        }
    }

    /// The tables of a tenant to read, for this request: as [`Tenancy::replica`], and with a bypass as
    /// [`db`](Self::db).
    ///
    /// # Errors
    /// Like [`Tenancy::replica`].
    pub fn replica(&self, tenant: &Tenant) -> Result<TenantReadDb> {
        match (self.tenancy.replica(tenant), self.bypass) {
            (Err(error), Some(bypass))
                if error.kind() == ErrorKind::Suspended && bypass.tenant == tenant.id() =>
            {
                self.tenancy.replica_until(tenant, bypass.until)
            }
            (result, _) => result,
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
    /// span of `tracing`: the one around this layer, if that was made with a field `tenant`, such as one of tower-http's
    /// `TraceLayer`; otherwise one of level info, in which the request is then handled.
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

#[cfg(feature = "axum")]
impl TenancyLayer {
    /// Attaches one thing more to each request.
    pub(super) fn attach(mut self, extension: impl Clone + Send + Sync + 'static) -> Self {
        self.attached.insert(extension);
        self
    }
}

impl<S> Layer<S> for TenancyLayer {
    type Service = TenancyService<S>;

    fn layer(&self, inner: S) -> TenancyService<S> {
        let Self { tenancy, attached, bypass, vary } = self.clone();
        TenancyService { inner, tenancy, attached, bypass, vary }
    }
}

/// Resolves every request and passes it on.
#[derive(Clone)]
pub struct TenancyService<S> {
    inner: S,
    tenancy: Tenancy,
    attached: Extensions,
    bypass: Option<BypassKey>,
    vary: Vary,
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

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        peer::note(request.extensions_mut());
        let resolution = self.tenancy.resolve(&Head::of(&request));
        let uri = request.uri().clone();
        if let Resolution::Tenant { path: Some(path), .. } = &resolution {
            original_uri::note(request.extensions_mut(), &uri);
            let mut parts = uri.clone().into_parts();
            parts.path_and_query = Some(path.clone());
            // Only the path changed, and it is one already.
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
        request.extensions_mut().extend(self.attached.clone());
        let bypass = self.bypass.as_ref().and_then(|key| key.find(request.headers()));
        let tenancy = self.tenancy.clone();
        let (span, own) = spans();
        request.extensions_mut().insert(Resolved { tenancy, resolution, uri, bypass, span });
        let answer = own.in_scope(|| self.inner.call(request));
        TenancyFuture::new(answer, own, self.vary.clone())
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
