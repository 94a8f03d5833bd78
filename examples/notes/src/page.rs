//! The frame that all pages have in common.

use std::convert::Infallible;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use tenantry::Slug;

use crate::guard::authority_of;

/// A page as an answer.
pub(crate) fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "Failed to render a page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The port by which the browser came, which a proxy or container may have changed; else our own.
#[derive(Clone, Copy)]
pub(crate) struct Port(u16);

impl Port {
    pub(crate) fn url_of(self, slug: &Slug) -> String {
        format!("http://{slug}.localhost:{}/", self.0)
    }

    pub(crate) fn master_url(self) -> String {
        format!("http://localhost:{}/", self.0)
    }
}

impl FromRequestParts<u16> for Port {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, own: &u16) -> Result<Self, Infallible> {
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = authority_of(parts.uri.authority(), host);
        Ok(Self(authority.and_then(|authority| authority.port_u16()).unwrap_or(*own)))
    }
}
