//! Tenants on salvo: a hoop, and what handlers ask for.

use salvo::async_trait;
use salvo::prelude::{Depot, FlowCtrl, Handler, Request, Response, Scribe};
use tenantry::http::{Extract, TenancyLayer};
use tenantry::resolve::Peer;
use tracing::Instrument as _;

use crate::refused::{self, Refused, empty_head};

/// The middleware: finds out who a request is for.
pub(crate) struct Tenants(pub(crate) TenancyLayer);

#[async_trait]
impl Handler for Tenants {
    async fn handle(
        &self,
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        flow: &mut FlowCtrl,
    ) {
        let mut head = empty_head();
        head.method = request.method().clone();
        head.uri = request.uri().clone();
        head.headers = request.headers().clone();
        head.extensions = request.extensions().clone();
        if let Some(address) = request.remote_addr().ip() {
            head.extensions.insert(Peer(address));
        }
        let span = self.0.resolve(&mut head);
        depot.insert_typed(head);
        flow.call_next(request, depot, response).instrument(span).await;
        self.0.vary(response.headers_mut());
    }
}

/// Takes a `TenantDb`, a `Tenant` or a `MasterDb` out of a request.
///
/// # Errors
/// If the request is for no tenant, or for one that cannot be served.
pub async fn ask<T: Extract>(depot: &Depot) -> Result<T, Refused> {
    match depot.get_typed() {
        Ok(head) => refused::ask(head).await,
        Err(_) => refused::ask(&empty_head()).await,
    }
}

impl Scribe for Refused {
    fn render(self, response: &mut Response) {
        let (head, body) = self.0.into_parts();
        response.status_code = Some(head.status);
        response.headers_mut().extend(head.headers);
        response.body(body);
    }
}
