use axum::Router;
use axum::response::{Html, Redirect};
use axum::routing::{get, post};
use tenantry::Tenancy;
use tenantry::http::{Resolved, TenancyService};
use tower::Layer as _;

/// Serves `/t/acme` and `/t/acme/notes`, with the resolver `PathSegment::under("/t")`.
fn app(tenancy: &Tenancy) -> TenancyService<Router> {
    tenancy.layer().layer(Router::new().route("/", get(front_page)).route("/notes", post(add)))
}

async fn front_page(page: Resolved) -> Html<String> {
    let (style, notes) = ("/static/style.css", page.link("/notes")); // "/t/acme/notes"
    Html(format!(
        "<link rel=stylesheet href={style}><form method=post action={notes}><button>Add</button></form>"
    ))
}

async fn add(page: Resolved) -> Redirect {
    Redirect::to(&page.link("/")) // "/t/acme/"
}

/// The files are no tenant's, so a router around the layer serves them.
fn app_with_files(tenancy: &Tenancy) -> Router {
    let style = get(async || ([("content-type", "text/css")], "button { color: teal }"));
    Router::new().route("/static/style.css", style).fallback_service(app(tenancy))
}

use axum::body::Body;
use axum::http::{Request, StatusCode};
use tenantry::resolve::PathSegment;
use tower::ServiceExt as _;

use crate::support::{ask, migrations, world, world_with};

#[tokio::test]
async fn links_and_redirects_stay_in_the_tenant() {
    let world = world_with(PathSegment::under("/t").unwrap(), migrations()).await;
    let app = app_with_files(&world.tenancy);
    let (status, page) = ask(&app, "example.com", "/t/acme").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("action=/t/acme/notes>"), "{page}");
    let post = Request::post("/t/acme/notes").body(Body::empty()).unwrap();
    let answer = app.clone().oneshot(post).await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["location"]),
        (StatusCode::SEE_OTHER, &"/t/acme/".parse().unwrap())
    );
    assert_eq!(ask(&app, "example.com", "/static/style.css").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_same_handlers_work_where_the_host_tells_the_tenant() {
    let world = world().await;
    let (status, page) = ask(&app_with_files(&world.tenancy), "acme.example.com", "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("action=/notes>"), "{page}");
}
