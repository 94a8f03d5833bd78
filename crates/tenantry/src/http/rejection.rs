//! The answers to requests that get no further, for people and for programs.

use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::error::{Error, ErrorKind};

/// The reason why a request got no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectionKind {
    /// 400: the host is missing, malformed, or given twice.
    InvalidHost,
    /// 404: the address is no tenant's.
    NoTenant,
    /// 404: the address could be a tenant's, but nobody has it.
    UnknownTenant,
    /// 404: the address is a tenant's, and this is only for the application itself.
    NotMaster,
    /// 503: the tenant is not served at the moment.
    TenantUnavailable,
    /// 503: no connection became free, or the database is down.
    Busy,
    /// 500: what the tenant needs is broken.
    Broken,
    /// 500: the application forgot `.layer(tenancy.layer())`.
    NoLayer,
}

impl RejectionKind {
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidHost => StatusCode::BAD_REQUEST,
            Self::NoTenant | Self::UnknownTenant | Self::NotMaster => StatusCode::NOT_FOUND,
            Self::TenantUnavailable | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken | Self::NoLayer => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Says nothing that the request did not say: no slug, no schema, no address.
    fn message(self) -> &'static str {
        match self {
            Self::InvalidHost => "The address of this request is not valid.",
            Self::NoTenant | Self::UnknownTenant => "There is no account at this address.",
            Self::NotMaster => "There is no such page at this address.",
            Self::TenantUnavailable => "This account is not available at the moment.",
            Self::Busy => "The service is busy. Please try again in a moment.",
            Self::Broken => "Something went wrong on our side.",
            Self::NoLayer => "This service is not set up completely.",
        }
    }

    /// In seconds.
    fn retry_after(self) -> Option<HeaderValue> {
        match self {
            Self::Busy => Some(HeaderValue::from_static("1")),
            Self::TenantUnavailable => Some(HeaderValue::from_static("60")),
            _ => None,
        }
    }
}

impl From<&Error> for RejectionKind {
    fn from(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::UnknownTenant => Self::UnknownTenant,
            ErrorKind::TenantUnavailable => Self::TenantUnavailable,
            _ if error.is_retryable() => Self::Busy,
            _ => Self::Broken,
        }
    }
}

/// The answer to a request that got no further.
#[derive(Clone, Debug)]
pub struct Rejection {
    kind: RejectionKind,
    wants_json: bool,
}

impl Rejection {
    pub(super) fn new(kind: RejectionKind, request: &HeaderMap) -> Self {
        Self { kind, wants_json: wants_json(request) }
    }

    pub(super) fn of(error: &Error, request: &HeaderMap) -> Self {
        let kind = RejectionKind::from(error);
        log(error, kind.status());
        Self::new(kind, request)
    }

    /// The reason, for an application that answers in its own words.
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }
}

/// A client that names JSON and not HTML is a program.
fn wants_json(request: &HeaderMap) -> bool {
    let accept = request.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accept: Vec<_> = accept.collect();
    let names = |kind: &str| accept.iter().any(|value| value.contains(kind));
    names("json") && !names("text/html")
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let (status, message) = (self.kind.status(), self.kind.message());
        let response = if self.wants_json { problem(status, message) } else { page(status, message) };
        with_retry_after(response, self.kind)
    }
}

/// A problem document of RFC 9457.
fn problem(status: StatusCode, title: &str) -> Response {
    let body = serde_json::json!({ "status": status.as_u16(), "title": title }).to_string();
    (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response()
}

fn page(status: StatusCode, message: &str) -> Response {
    let body = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{message}</title>\
         <body style=\"font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 20vh auto; padding: 0 1rem\">\
         <h1 style=\"font-size: 1.4rem\">{message}</h1></body></html>\n"
    );
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response()
}

fn with_retry_after(mut response: Response, kind: RejectionKind) -> Response {
    if let Some(seconds) = kind.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

/// Logs what is ours to mend, because the answer does not say it.
fn log(error: &Error, status: StatusCode) {
    if status.is_server_error() {
        let source = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, source, hint = error.hint(), "Answered {status}");
    }
}

/// Lets `?` work in a handler: 404 for a missing row, 503 for what may work in a moment, 400 for
/// what the caller gave, 409 for what is taken, 500 otherwise. The body is a problem document and
/// repeats the error's text only where it is about what the caller sent.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self.kind() {
            ErrorKind::RowNotFound => StatusCode::NOT_FOUND,
            ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
            ErrorKind::AlreadyExists => StatusCode::CONFLICT,
            _ => RejectionKind::from(&self).status(),
        };
        log(&self, status);
        let kind = RejectionKind::from(&self);
        let title = match self.kind() {
            ErrorKind::RowNotFound => "There is no such thing.".to_owned(),
            ErrorKind::InvalidInput | ErrorKind::AlreadyExists => self.to_string(),
            _ => kind.message().to_owned(),
        };
        with_retry_after(problem(status, &title), kind)
    }
}
