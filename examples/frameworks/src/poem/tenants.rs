//! Tenants on poem: a middleware, and an argument of handlers.

use std::sync::Arc;

use http::request::Parts;
use poem::{Endpoint, FromRequest, Request, RequestBody, Response};
use tenantry::http::{Extract, TenancyLayer};
use tenantry::resolve::Peer;
use tracing::Instrument as _;

use crate::refused::{Refused, ask, empty_head};

/// The middleware: finds out who a request is for.
pub(crate) async fn tenants(
    layer: TenancyLayer,
    next: Arc<impl Endpoint>,
    mut request: Request,
) -> poem::Result<Response> {
    let mut head = empty_head();
    head.method = request.method().clone();
    head.uri = request.uri().clone();
    head.headers = request.headers().clone();
    head.extensions = request.extensions().clone();
    if let Some(address) = request.remote_addr().as_socket_addr() {
        head.extensions.insert(Peer(address.ip()));
    }
    let span = layer.resolve(&mut head);
    // A resolver may have taken the tenant out of the path.
    *request.uri_mut() = head.uri.clone();
    request.set_data(Arc::new(head));
    let mut response = next.get_response(request).instrument(span).await;
    layer.vary(response.headers_mut());
    Ok(response)
}

/// An argument of a handler: `Ask(db): Ask<TenantDb>`.
#[derive(Debug)]
pub struct Ask<T>(pub T);

impl<'a, T: Extract> FromRequest<'a> for Ask<T> {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        match request.data::<Arc<Parts>>() {
            Some(head) => Ok(Self(ask(head).await?)),
            None => Ok(Self(ask(&empty_head()).await?)),
        }
    }
}

impl From<Refused> for poem::Error {
    fn from(Refused(answer): Refused) -> Self {
        let (head, body) = answer.into_parts();
        let mut response = Response::builder().status(head.status).body(body);
        *response.headers_mut() = head.headers;
        Self::from_response(response)
    }
}
