//! The rejection of a request, and the words in which an application answers it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::layer::TenancyLayer;
use super::rejection_kind::RejectionKind;
use super::response::{Words, log, page, problem, redirect_to, with_retry_after};
use crate::error::Error;
use crate::resolve::InvalidRequest;
use crate::tenant::Suspension;

/// The answer to a request that got no further.
///
/// As an error it tells the [kind](Self::kind), and its source what was wrong; as a response it tells no more than
/// the sender knows.
#[derive(Clone)]
pub struct Rejection {
    kind: RejectionKind,
    refused: Box<Refused>,
}

#[derive(Clone)]
struct Refused {
    headers: HeaderMap,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    answer: Option<OwnAnswer>,
    /// The address that a redirect leads to.
    address: Option<HeaderValue>,
}

/// The application's own way to answer, which the layer attaches to each request.
#[derive(Clone)]
struct OwnAnswer(Arc<dyn Fn(Rejection) -> Response + Send + Sync>);

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

impl Rejection {
    pub(super) fn new(kind: RejectionKind, request: &Parts) -> Self {
        let answer = request.extensions.get().cloned();
        let headers = request.headers.clone();
        Self { kind, refused: Box::new(Refused { headers, source: None, answer, address: None }) }
    }

    pub(super) fn leading_to(mut self, address: HeaderValue) -> Self {
        self.refused.address = Some(address);
        self
    }

    pub(super) fn of(error: Error, request: &Parts) -> Self {
        let kind = RejectionKind::from(&error);
        log(&error, kind.status());
        Self::new(kind, request).because(error)
    }

    pub(super) fn invalid(reason: &InvalidRequest, request: &Parts) -> Self {
        Self::new(RejectionKind::InvalidHost, request).because(reason.clone())
    }

    fn because(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.refused.source = Some(Arc::new(source));
        self
    }

    /// The reason, for an application that answers in its own words.
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// The terms on which the tenant is suspended, if it is and they were said: the
    /// [message](Suspension::message) for its customer, which is not HTML, and the [end](Suspension::end).
    pub fn suspension(&self) -> Option<&Suspension> {
        let source: &(dyn StdError + 'static) = self.refused.source.as_deref()?;
        source.downcast_ref::<Error>()?.suspension()
    }

    /// The headers of the request, such as the languages that its sender reads.
    pub fn headers(&self) -> &HeaderMap {
        &self.refused.headers
    }

    /// Returns true if the sender names JSON and not HTML as what it accepts: it is a program.
    pub fn wants_json(&self) -> bool {
        let accept = self.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let accept: Vec<_> = accept.collect();
        let names = |kind: &str| accept.iter().any(|value| value.contains(kind));
        names("json") && !names("text/html")
    }
}

impl IntoResponse for Rejection {
    fn into_response(mut self) -> Response {
        // Asked for by the application, so there are no other words for it.
        if let Some(address) = self.refused.address.take() {
            return redirect_to(address);
        }
        if let Some(OwnAnswer(answer)) = self.refused.answer.take() {
            return answer(self);
        }
        let (status, suspension) = (self.status(), self.suspension());
        let words = Words::of(self.kind, suspension);
        let mut response = if self.wants_json() { problem(status, &words) } else { page(status, &words) };
        // Who signs up in a minute is not to be missing for as long as a cache keeps a 404.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        with_retry_after(response, self.kind, suspension)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers hold cookies, so they are left out.
        f.debug_struct("Rejection").field("kind", &self.kind).field("source", &self.refused.source).finish()
    }
}

impl StdError for Rejection {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.refused.source.as_ref().map(|source| &**source as _)
    }
}
