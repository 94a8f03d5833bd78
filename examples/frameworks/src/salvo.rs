//! Notes on salvo.

mod tenants;

use std::io;

use salvo::conn::tcp::TcpAcceptor;
use salvo::handler;
use salvo::prelude::{Depot, Json, Request, Router, Server, Service};
use tenantry::{Tenancy, TenantDb};
use tokio::net::TcpListener;

use self::tenants::Tenants;
pub use self::tenants::ask;
use crate::refused::Refused;

/// Serves these routes.
///
/// # Errors
/// If no more connections can be accepted.
pub async fn serve(listener: TcpListener, tenancy: &Tenancy, routes: Router) -> io::Result<()> {
    Server::new(TcpAcceptor::try_from(listener)?).try_serve(app(tenancy, routes)).await
}

#[handler]
async fn list(depot: &Depot) -> Result<Json<Vec<String>>, Refused> {
    let db: TenantDb = ask(depot).await?;
    Ok(Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
}

fn app(tenancy: &Tenancy, routes: Router) -> Service {
    Service::new(routes).hoop(Tenants(tenancy.layer()))
}

/// The routes, which are the same for all tenants: by the host, and below `/t/NAME`.
pub fn routes() -> Router {
    let notes = |path| Router::with_path(path).get(list).post(add);
    Router::new().push(notes("notes")).push(notes("t/{tenant}/notes"))
}

#[handler]
async fn add(depot: &Depot, request: &mut Request) -> Result<String, Refused> {
    let db: TenantDb = ask(depot).await?;
    let title = String::from_utf8_lossy(request.payload().await.map_err(|_| bad_request())?);
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(&title).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(title.into_owned())
}

/// The answer to a body that is too large or ends early.
fn bad_request() -> Refused {
    let mut answer = http::Response::new("the body cannot be read".to_owned());
    *answer.status_mut() = http::StatusCode::BAD_REQUEST;
    Refused(answer)
}
