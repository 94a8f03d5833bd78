//! The middleware: says who each request is for.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Extensions, Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::{HttpMessage as _, HttpResponse};
use http::request::Parts;
use tenantry::Tenancy;
use tenantry::http::{BypassKey, Peer, Resolved, TenancyLayer};
use tenantry::resolve::Resolution;
use tracing::{Instrument as _, Span};

use crate::head::{at, head, vary};
use crate::rejection::{OwnAnswer, Rejection};

/// The middleware, for `App::wrap`: attaches to each request who it is for.
///
/// Like the [layer](Tenancy::layer) for axum, it records the tenant in a span of `tracing`, and names in `Vary` the
/// headers by which the resolver tells tenants apart. It rejects nothing; what a handler [asks](crate::Ask) decides.
///
/// Around an `App` it runs before a route is chosen, and a resolver that takes the tenant out of the path,
/// [`PathSegment`](tenantry::resolve::PathSegment), lets the routes be the same for all tenants. Around a scope or a
/// resource it is too late for that. No middleware that was wrapped later may keep a clone of the `HttpRequest`:
/// actix-web changes the path of a request that has one owner only.
///
/// The address of the peer, which says what is believed of a proxy's headers, is actix-web's `peer_addr`; an outer
/// middleware that knows better puts a [`Peer`] into the request's extensions.
#[derive(Clone)]
pub struct Tenants {
    layer: TenancyLayer,
    carry: Vec<Carry>,
    own_answer: Option<OwnAnswer>,
}

/// Clones a thing of one type from the extensions of actix-web into those of a head.
type Carry = fn(&Extensions, &mut http::Extensions);

/// The head of a request that the middleware has seen.
pub(crate) struct Seen {
    /// `None` if it is one that `http` 1 takes for malformed.
    pub(crate) head: Option<Parts>,
    pub(crate) own_answer: Option<OwnAnswer>,
}

impl Tenants {
    /// The middleware for these tenants, with their resolver.
    pub fn new(tenancy: &Tenancy) -> Self {
        let tenants = Self { layer: tenancy.layer(), carry: Vec::new(), own_answer: None };
        tenants.carry::<Peer>()
    }

    /// Serves a suspended tenant to requests with a bypass that this key has signed: as
    /// [`TenancyLayer::bypass`].
    pub fn bypass(mut self, key: BypassKey) -> Self {
        self.layer = self.layer.bypass(key);
        self
    }

    /// Redirects from slugs that tenants had before: as [`TenancyLayer::redirect_renamed`].
    pub fn redirect_renamed(mut self) -> Self {
        self.layer = self.layer.redirect_renamed();
        self
    }

    /// Shows to a resolver what middleware in front has put into the request's extensions: a session, the claims of a
    /// token. It finds it by [`Head::extension`](tenantry::resolve::Head::extension). actix-web cannot tell what there
    /// is, so each type has to be named.
    ///
    /// ```no_run
    /// use tenantry_actix::Tenants;
    ///
    /// #[derive(Clone)]
    /// struct Claims {
    ///     tenant: tenantry::tenant::TenantId,
    /// }
    ///
    /// # fn example(tenancy: tenantry::Tenancy) {
    /// let tenants = Tenants::new(&tenancy).carry::<Claims>();
    /// # let _ = tenants;
    /// # }
    /// ```
    pub fn carry<T: Clone + Send + Sync + 'static>(mut self) -> Self {
        self.carry.push(|from, to| {
            if let Some(thing) = from.get::<T>() {
                to.insert(thing.clone());
            }
        });
        self
    }

    /// Answers requests that get no further in the application's own words.
    ///
    /// In the closure, `rejection.error_response()` is the usual answer: a page or a problem document.
    ///
    /// ```no_run
    /// use actix_web::{HttpResponse, ResponseError as _};
    /// use tenantry::http::RejectionKind;
    /// use tenantry_actix::{Rejection, Tenants};
    ///
    /// fn answer(rejection: Rejection) -> HttpResponse {
    ///     match rejection.kind() {
    ///         _ if rejection.wants_json() => rejection.error_response(),
    ///         RejectionKind::UnknownTenant => {
    ///             HttpResponse::SeeOther().insert_header(("location", "https://example.com/signup")).finish()
    ///         }
    ///         _ => HttpResponse::build(rejection.status_code()).body("Sorry"),
    ///     }
    /// }
    ///
    /// # fn example(tenancy: tenantry::Tenancy) {
    /// let tenants = Tenants::new(&tenancy).on_rejection(answer);
    /// # let _ = tenants;
    /// # }
    /// ```
    pub fn on_rejection(
        mut self,
        answer: impl Fn(Rejection) -> HttpResponse<BoxBody> + Send + Sync + 'static,
    ) -> Self {
        self.own_answer = Some(OwnAnswer(Arc::new(answer)));
        self
    }

    /// Attaches to a request who it is for, and takes the tenant out of its path where the resolver says so. Answers
    /// with the span to handle it in.
    fn see(&self, request: &mut ServiceRequest) -> Span {
        let mut span = Span::none();
        let mut seen = head(request.method(), request.uri(), request.headers());
        if let Some(head) = &mut seen {
            if let Some(address) = request.peer_addr() {
                head.extensions.insert(Peer(address.ip()));
            }
            for carry in &self.carry {
                carry(&request.extensions(), &mut head.extensions);
            }
            span = self.layer.resolve(head);
            if let Some(Resolution::Tenant { path: Some(path), .. }) = resolution(head)
                && let Some(uri) = at(request.uri(), path.as_str())
            {
                request.match_info_mut().get_mut().update(&uri);
                request.head_mut().uri = uri;
            }
        }
        let seen = Seen { head: seen, own_answer: self.own_answer.clone() };
        request.extensions_mut().insert(Rc::new(seen));
        span
    }
}

fn resolution(head: &Parts) -> Option<&Resolution> {
    head.extensions.get::<Resolved>().map(Resolved::resolution)
}

impl<S, B> Transform<S, ServiceRequest> for Tenants
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type InitError = ();
    type Transform = Middleware<S>;
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Middleware { service, tenants: self.clone() }))
    }
}

/// Sees every request and passes it on.
#[derive(Clone)]
pub struct Middleware<S> {
    service: S,
    tenants: Tenants,
}

impl<S, B> Service<ServiceRequest> for Middleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>>>>;

    forward_ready!(service);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let span = self.tenants.see(&mut request);
        let answer = span.in_scope(|| self.service.call(request)).instrument(span);
        let layer = self.tenants.layer.clone();
        Box::pin(async move {
            let mut response = answer.await?;
            vary(&layer, response.headers_mut());
            Ok(response)
        })
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for Middleware<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Middleware").finish_non_exhaustive()
    }
}
