//! Notes on poem.

mod tenants;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use http::uri::Scheme;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use poem::web::{Json, LocalAddr, RemoteAddr};
use poem::{Endpoint, EndpointExt as _, Request, Route, get, handler};
use tenantry::{Tenancy, TenantDb};
use tokio::net::TcpListener;

pub use self::tenants::Ask;
use self::tenants::tenants;
use crate::refused::Refused;

/// Serves these routes. Under `poem::Server`, a handler would go on although its client is gone.
///
/// # Errors
/// If no more connections can be accepted.
pub async fn serve(listener: TcpListener, tenancy: &Tenancy, routes: Route) -> io::Result<()> {
    let app = Arc::new(app(tenancy, routes));
    let here = LocalAddr(listener.local_addr()?.into());
    loop {
        let (stream, address) = listener.accept().await?;
        let (app, here) = (Arc::clone(&app), here.clone());
        let answer = service_fn(move |request: http::Request<Incoming>| {
            let (app, there) = (Arc::clone(&app), RemoteAddr(address.into()));
            let request = Request::from((request, here.clone(), there, Scheme::HTTP));
            async move { Ok::<http::Response<_>, Infallible>(app.get_response(request).await.into()) }
        });
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that goes away in the middle is no failure of ours.
            let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), answer).await;
        });
    }
}

#[handler]
async fn list(Ask(db): Ask<TenantDb>) -> Result<Json<Vec<String>>, Refused> {
    Ok(Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
}

fn app(tenancy: &Tenancy, routes: Route) -> impl Endpoint + use<> {
    let layer = tenancy.layer();
    routes.around(move |next, request| tenants(layer.clone(), next, request))
}

/// The routes, which are the same for all tenants.
pub fn routes() -> Route {
    Route::new().at("/notes", get(list).post(add))
}

#[handler]
async fn add(Ask(db): Ask<TenantDb>, title: String) -> Result<String, Refused> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(&title).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(title)
}
