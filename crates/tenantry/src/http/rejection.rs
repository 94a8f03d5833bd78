//! The rejection of a request, whatever the framework.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use http::header::{ACCEPT, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::rejection_kind::RejectionKind;
use super::response::{Words, log, page, problem, redirect_to, with_retry_after};
use crate::error::Error;
use crate::resolve::InvalidRequest;
use crate::tenant::Suspension;

/// The answer to a request that got no further.
///
/// As an error it tells the [kind](Self::kind), and its source what was wrong; as a response, which is its
/// [`answer`](Self::answer) and with the feature `axum` an `IntoResponse`, it tells no more than the sender knows. With
/// the feature `tonic` it becomes a `tonic::Status`.
#[derive(Clone)]
pub struct Rejection {
    kind: RejectionKind,
    refused: Box<Refused>,
}

#[derive(Clone)]
struct Refused {
    headers: HeaderMap,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    own_answer: Option<OwnAnswer>,
    /// The address that a redirect leads to.
    address: Option<HeaderValue>,
}

/// The application's own way to answer, which the layer attaches to each request.
#[cfg(feature = "axum")]
#[derive(Clone)]
pub(super) struct OwnAnswer(pub(super) Arc<dyn Fn(Rejection) -> axum::response::Response + Send + Sync>);

/// Nothing: without axum, the application's framework keeps its answer itself.
#[cfg(not(feature = "axum"))]
#[derive(Clone)]
enum OwnAnswer {}

impl Rejection {
    /// Rejects a request for a reason.
    pub fn new(kind: RejectionKind, head: &Parts) -> Self {
        let own_answer = head.extensions.get().cloned();
        let headers = head.headers.clone();
        let refused = Refused { headers, source: None, own_answer, address: None };
        Self { kind, refused: Box::new(refused) }
    }

    /// Rejects a request because of an error, which is logged where it is ours to mend.
    pub fn of(error: Error, head: &Parts) -> Self {
        let kind = RejectionKind::from(&error);
        log(&error, kind.status());
        Self::new(kind, head).because(error)
    }

    /// Rejects a request that cannot be said to be for anyone.
    pub fn invalid(reason: &InvalidRequest, head: &Parts) -> Self {
        Self::new(RejectionKind::InvalidHost, head).because(reason.clone())
    }

    pub(super) fn leading_to(mut self, address: HeaderValue) -> Self {
        self.refused.address = Some(address);
        self
    }

    /// The way in which the application answers. A redirect is its wish already, so there are no other words for it.
    #[cfg(feature = "axum")]
    pub(super) fn take_own_answer(&mut self) -> Option<OwnAnswer> {
        let is_redirect = self.refused.address.is_some();
        self.refused.own_answer.take().filter(|_| !is_redirect)
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

    /// The usual answer: a redirect, a problem document for programs, a page for people.
    pub fn answer(&self) -> Response<String> {
        if let Some(address) = &self.refused.address {
            return redirect_to(address.clone());
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
        f.debug_struct("Rejection")
            .field("kind", &self.kind)
            .field("source", &self.refused.source)
            .field("has_own_answer", &self.refused.own_answer.is_some())
            .finish()
    }
}

impl StdError for Rejection {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.refused.source.as_ref().map(|source| &**source as _)
    }
}
