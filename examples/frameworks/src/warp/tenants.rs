//! Tenants on warp: a server with the layer, and a filter.

use std::io;

use http::{HeaderMap, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tenantry::Tenancy;
use tenantry::http::{Extract, Resolved};
use tenantry::resolve::Peer;
use tokio::net::TcpListener;
use tower::{Layer as _, Service as _};
use warp::filters::BoxedFilter;
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection};

use crate::refused::{self, Refused, empty_head};

/// Serves these routes, behind the layer: `warp::serve` takes no layers.
///
/// # Errors
/// If no more connections can be accepted.
pub async fn serve(
    listener: TcpListener,
    tenancy: &Tenancy,
    routes: BoxedFilter<(impl Reply + 'static,)>,
) -> io::Result<()> {
    let app = tenancy.layer().layer(warp::service(routes));
    loop {
        let (stream, address) = listener.accept().await?;
        let app = app.clone();
        let answer = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(address.ip()));
            app.clone().call(request)
        });
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that goes away in the middle is no failure of ours.
            let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), answer).await;
        });
    }
}

/// A filter that takes a `TenantDb`, a `Tenant` or a `MasterDb` out of a request. It does not reject: warp would try
/// the other routes.
pub fn ask<T: Extract>() -> impl Filter<Extract = (Result<T, Refused>,), Error = Rejection> + Copy {
    warp::ext::get::<Resolved>().and(warp::header::headers_cloned()).then(
        async |resolved: Resolved, headers: HeaderMap| {
            let mut head = empty_head();
            head.headers = headers;
            head.extensions.insert(resolved);
            refused::ask(&head).await
        },
    )
}

impl Reply for Refused {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}
