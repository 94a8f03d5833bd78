use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tenantry::Tenant;
use tenantry::tenant::TenantId;
use tower_sessions::Session;

/// Signing in has said `session.insert("tenant", tenant.id())`.
async fn only_its_tenant(tenant: Tenant, session: Session, request: Request, next: Next) -> Response {
    match session.get::<TenantId>("tenant").await {
        Ok(Some(owner)) if owner == tenant.id() => next.run(request).await,
        Ok(None) if session.is_empty().await => next.run(request).await,
        _ => (StatusCode::FORBIDDEN, "This session is of another account.").into_response(),
    }
}

use axum::Router;
use axum::middleware::from_fn;
use tenantry::Tenancy;
use tower_sessions::{MemoryStore, SessionManagerLayer};

fn with_sessions(routes: Router, tenancy: &Tenancy, store: MemoryStore) -> Router {
    let sessions = SessionManagerLayer::new(store).with_name("__Host-session").with_path("/");
    routes
        .layer(from_fn(only_its_tenant)) // runs last
        .layer(sessions)
        .layer(tenancy.layer()) // runs first
}

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::routing::{get, post};
use tower::ServiceExt as _;

use crate::support::{request, world};

async fn log_in(tenant: Tenant, session: Session) {
    session.cycle_id().await.unwrap();
    session.insert("tenant", tenant.id()).await.unwrap();
}

/// Signs an operator in, as the master would.
async fn log_in_without_tenant(session: Session) {
    session.insert("operator", true).await.unwrap();
}

#[tokio::test]
async fn a_session_is_good_for_its_tenant_and_no_other() {
    let world = world().await;
    let store = MemoryStore::default();
    let routes = Router::new().route("/", get(async || "in")).route("/login", post(log_in));
    let master = Router::new().route("/master", post(log_in_without_tenant));
    let master =
        master.layer(SessionManagerLayer::new(store.clone()).with_name("__Host-session").with_path("/"));
    let app = with_sessions(routes, &world.tenancy, store).merge(master);
    let log_in_at = async |path: &str| {
        let mut request = request("acme.example.com", path);
        *request.method_mut() = axum::http::Method::POST;
        let answer = app.clone().oneshot(request).await.unwrap();
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
        assert!(
            cookie.contains("Secure") && cookie.contains("Path=/") && !cookie.contains("Domain"),
            "{cookie}"
        );
        cookie.split(';').next().unwrap().to_owned()
    };
    let (of_acme, of_master) = (log_in_at("/login").await, log_in_at("/master").await);
    for (host, cookie, expect) in [
        ("acme.example.com", of_acme.as_str(), 200),
        ("globex.example.com", &of_acme, 403),
        ("acme.example.com", &of_acme, 200),
        ("acme.example.com", &of_master, 403),
        ("globex.example.com", "", 200),
    ] {
        let mut request = request(host, "/");
        request.headers_mut().insert(COOKIE, cookie.parse().unwrap());
        let answer = app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), expect, "{host} {cookie}");
    }
}
