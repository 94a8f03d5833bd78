use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use tenantry::http::require_tenant;
use tenantry::tenant::Tenant;
use tenantry::{Tenancy, TenantDb};

fn app(tenancy: &Tenancy) -> Router {
    Router::new()
        .route("/notes", get(list))
        .layer(from_fn(name_the_tenant)) // runs third, and can ask for the tenant
        .route_layer(require_tenant()) // runs second: answers 404 elsewhere
        .layer(tenancy.layer()) // runs first
        .route("/healthz", get(async || "ok")) // on any host, not seen by any of these
}

async fn list(db: TenantDb) -> tenantry::Result<Json<Vec<String>>> {
    Ok(Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
}

async fn name_the_tenant(tenant: Tenant, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Ok(slug) = tenant.slug().as_str().parse() {
        response.headers_mut().insert("x-tenant", slug);
    }
    response
}

use tenantry::http::TenancyService;
use tower::Layer as _;

/// Serves `/t/acme/notes`, with the resolver `PathSegment::under("/t")`.
fn app_by_path(tenancy: &Tenancy) -> TenancyService<Router> {
    tenancy.layer().layer(Router::new().route("/notes", get(list)))
}

use axum::http::StatusCode;
use tenantry::resolve::PathSegment;
use tower::ServiceExt as _;

use crate::support::{add, ask, migrations, request, world, world_with};

#[tokio::test]
async fn the_layers_run_in_the_order_the_comments_say() {
    let world = world().await;
    add(&world.acme(), "one").await;
    let app = app(&world.tenancy);
    assert_eq!(ask(&app, "acme.example.com", "/notes").await, (StatusCode::OK, r#"["one"]"#.to_owned()));
    let answer = app.clone().oneshot(request("acme.example.com", "/notes")).await.unwrap();
    assert_eq!(answer.headers()["x-tenant"], "acme");
    let elsewhere = app.clone().oneshot(request("example.com", "/notes")).await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
    assert!(!elsewhere.headers().contains_key("x-tenant"));
    assert_eq!(ask(&app, "10.0.0.1", "/healthz").await, (StatusCode::OK, "ok".to_owned()));
}

#[tokio::test]
async fn a_tenant_in_the_path_is_found_by_a_layer_around_the_router() {
    let world = world_with(PathSegment::under("/t").unwrap(), migrations()).await;
    add(&world.globex(), "one").await;
    for (path, status) in [("/t/globex/notes", StatusCode::OK), ("/notes", StatusCode::NOT_FOUND)] {
        let answer = app_by_path(&world.tenancy).oneshot(request("example.com", path)).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    let inside = Router::new().route("/notes", get(list)).layer(world.tenancy.layer());
    let late = inside.oneshot(request("example.com", "/t/globex/notes")).await.unwrap();
    assert_eq!(late.status(), StatusCode::NOT_FOUND, "the router has chosen before");
}
