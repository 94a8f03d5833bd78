//! The path that was asked for, where a resolver takes the tenant out of it.

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::response::Redirect;
use axum::routing::get;
use http::Uri;
use tenantry::http::Resolved;
use tenantry::resolve::{Head, PathSegment, Resolution, Resolve};
use tenantry::{PoolConfig, Slug};
use tower::Layer as _;

use crate::http::{Answer, Application, application, by_subdomain, request, send};

async fn uris(OriginalUri(original): OriginalUri, resolved: Resolved, request: Request) -> String {
    assert_eq!(original, *resolved.uri());
    format!("{original} {} {:?} {}", request.uri(), resolved.prefix(), resolved.link("/notes?page=2"))
}

fn router() -> Router {
    let inner = Router::new().route("/", get(uris)).route("/uris", get(uris));
    Router::new()
        .route("/", get(uris))
        .route("/uris", get(uris))
        .route("/go", get(|resolved: Resolved| async move { Redirect::to(&resolved.link("/notes")) }))
        .nest("/in", inner)
}

async fn ask(application: &Application, uri: &str) -> Answer {
    send(application.tenancy.layer().layer(router()), request("example.com", uri)).await
}

async fn by(resolver: impl Resolve) -> Application {
    application(resolver, PoolConfig::default()).await
}

#[tokio::test]
async fn what_was_asked_for_is_kept_for_links_and_redirects() {
    let application = by(PathSegment::under("/t").unwrap()).await;
    for (uri, expect) in [
        ("/t/acme/uris?x=1", "/t/acme/uris?x=1 /uris?x=1 \"/t/acme\" /t/acme/notes?page=2"),
        ("/t/acme", "/t/acme / \"/t/acme\" /t/acme/notes?page=2"),
        ("/t/acme/", "/t/acme/ / \"/t/acme\" /t/acme/notes?page=2"),
        ("/t/ACME/uris", "/t/ACME/uris /uris \"/t/ACME\" /t/ACME/notes?page=2"),
        ("/t/acme/in/uris", "/t/acme/in/uris /uris \"/t/acme\" /t/acme/notes?page=2"),
        ("/uris", "/uris /uris \"\" /notes?page=2"),
    ] {
        assert_eq!(ask(&application, uri).await.body, expect, "{uri}");
    }
    let away = ask(&application, "/t/acme/go").await;
    assert_eq!((away.status.as_u16(), away.header("location")), (303, Some("/t/acme/notes")));
}

#[tokio::test]
async fn where_the_host_tells_the_tenant_links_are_what_they_were() {
    let application = by_subdomain().await;
    let service = router().layer(application.tenancy.layer());
    let answer = send(service, request("acme.example.com", "/in/uris")).await;
    assert_eq!(answer.body, "/in/uris /uris \"\" /notes?page=2");
}

#[tokio::test]
async fn a_resolver_of_the_application_may_choose_any_path() {
    let resolver = |head: &Head<'_>| Resolution::Tenant {
        key: Slug::parse("acme").unwrap().into(),
        path: Some(head.uri().path().replace("/x-", "/").parse().unwrap()),
    };
    let application = by(resolver).await;
    assert_eq!(ask(&application, "/x-uris").await.body, "/x-uris /uris \"\" /notes?page=2");
    assert_eq!(ask(&application, "/a/x-/").await.status, 404);
}

#[tokio::test]
async fn only_a_path_from_the_root_gets_the_prefix() {
    let application = by(PathSegment::new()).await;
    let link = |to: &'static str| async move {
        let router = Router::new().route("/", get(move |it: Resolved| async move { it.link(to) }));
        send(application.tenancy.layer().layer(router), request("example.com", "/acme")).await.body
    };
    assert_eq!(link("https://example.com/notes").await, "https://example.com/notes");
}

#[tokio::test]
async fn the_uri_of_a_proxy_keeps_its_host() {
    let application = by(PathSegment::new()).await;
    let answer = ask(&application, "http://example.com/acme/uris").await;
    let whole: Uri = "http://example.com/acme/uris".parse().unwrap();
    assert_eq!(answer.body, format!("{whole} http://example.com/uris \"/acme\" /acme/notes?page=2"));
}
