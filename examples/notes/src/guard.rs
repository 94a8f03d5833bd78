//! Protection of the people whose browsers talk to us.
//!
//! A page of another site can make a browser send a form here, and the pages of other tenants are other sites.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The headers of each answer. A sign-up redirects to the new tenant, and a deletion to the master, which `form-action`
/// must allow.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
         form-action 'self' http://*.localhost:* http://localhost:*; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // With `no-referrer`, browsers would send forms with `Origin: null`.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

pub(crate) async fn add_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, axum::http::HeaderValue::from_static(value));
    }
    response
}

/// Refuses requests that change something and were sent by a page of another origin.
pub(crate) async fn same_origin(request: Request, next: Next) -> Response {
    if request.method().is_safe() || comes_from_our_page(&request) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "This was sent by a page of another site.").into_response()
}

/// Browsers say where a request comes from, and pages cannot change what they say. Programs say nothing.
fn comes_from_our_page(request: &Request) -> bool {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    match (text(SEC_FETCH_SITE), text(header::ORIGIN)) {
        // `same-site` is what a page of another tenant sends.
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let authority = origin.split_once("://").and_then(|(_, rest)| rest.parse().ok());
            authority.is_some() && authority == authority_of(request.uri().authority(), text(header::HOST))
        }
        (None, None) => true,
    }
}

/// The host and port that a request asks for: in HTTP/2 part of the URI, before that a header.
pub(crate) fn authority_of(uri: Option<&Authority>, host: Option<&str>) -> Option<Authority> {
    uri.cloned().or_else(|| host?.parse().ok())
}
