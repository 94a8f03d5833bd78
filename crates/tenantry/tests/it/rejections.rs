//! Requests that get no further: optional arguments, the application's own answers, and what is logged.

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::routing::get;
use http::{HeaderValue, Request};
use tenantry::http::{Rejection, RejectionKind};
use tenantry::resolve::{Header, InvalidRequest, Subdomain};
use tenantry::{MasterDb, PoolConfig, Tenant, TenantDb};

use crate::http::{Answer, Application, application, by_subdomain, request, routes, send};
use crate::log::Log;

async fn who(tenant: Option<Tenant>, db: Option<TenantDb>, master: Option<MasterDb>) -> String {
    let slug = tenant.map(|tenant| tenant.slug().to_string());
    format!("{slug:?} {} {}", db.is_some(), master.is_some())
}

async fn ask(application: &Application, host: &str, path: &str) -> Answer {
    let router = routes().route("/who", get(who)).route("/master-or-not", get(master_or_not));
    send(router.layer(application.tenancy.layer()), request(host, path)).await
}

async fn master_or_not(master: Option<MasterDb>) -> String {
    master.is_some().to_string()
}

#[tokio::test]
async fn an_optional_argument_is_none_only_where_there_is_no_tenant() {
    let application = by_subdomain().await;
    for (host, status, expect) in [
        ("acme.example.com", 200, "Some(\"acme\") true false"),
        ("example.com", 200, "None false true"),
        ("example.org", 200, "None false false"),
        ("foo.acme.example.com", 200, "None false false"),
        ("nobody.example.com", 404, "no account"),
        ("not a host", 400, "not valid"),
    ] {
        let answer = ask(&application, host, "/who").await;
        assert_eq!(answer.status.as_u16(), status, "{host}: {}", answer.body);
        assert!(answer.body.contains(expect), "{host}: {}", answer.body);
    }
    for (host, status, expect) in
        [("example.com", 200, "true"), ("nobody.example.com", 200, "false"), ("not a host", 400, "")]
    {
        let answer = ask(&application, host, "/master-or-not").await;
        assert_eq!(answer.status.as_u16(), status, "{host}: {}", answer.body);
        assert!(answer.body.contains(expect), "{host}: {}", answer.body);
    }
}

#[tokio::test]
async fn an_optional_argument_does_not_hide_a_tenant_that_is_not_served() {
    let application = by_subdomain().await;
    let suspend = "UPDATE tenantry.tenant SET status = 'suspended'";
    sqlx::query(suspend).execute(&application.tenancy.master()).await.unwrap();
    assert_eq!(ask(&application, "acme.example.com", "/who").await.status, 503);
}

#[tokio::test]
async fn an_application_answers_in_its_own_words() {
    let application = by_subdomain().await;
    let answer = |rejection: Rejection| match rejection.kind() {
        _ if rejection.wants_json() => rejection.into_response(),
        kind => {
            let language = rejection.headers().get("accept-language").map(HeaderValue::as_bytes);
            let words = if language == Some(b"de") { "Hier ist niemand" } else { "Nobody is here" };
            (rejection.status(), format!("{words}: {kind:?}")).into_response()
        }
    };
    let ask = async |host: &str, name: &'static str, value: &'static str| {
        let mut request = request(host, "/slug");
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        let require = tenantry::http::require_tenant();
        let router = routes().route_layer(require).layer(application.tenancy.layer().on_rejection(answer));
        send(router, request).await
    };
    let german = ask("nobody.example.com", "accept-language", "de").await;
    assert_eq!((german.status.as_u16(), german.body.as_str()), (404, "Hier ist niemand: UnknownTenant"));
    let english = ask("example.com", "accept-language", "en").await;
    assert_eq!((english.status.as_u16(), english.body.as_str()), (404, "Nobody is here: NoTenant"));
    let json = ask("not a host", "accept", "application/json").await;
    assert_eq!((json.status.as_u16(), json.header("content-type")), (400, Some("application/problem+json")));
    assert_eq!(ask("acme.example.com", "accept", "*/*").await.body, "acme");
}

#[tokio::test]
async fn a_rejection_is_an_error_with_a_cause() {
    let application = by_subdomain().await;
    let told = async |host: &str| {
        let tell = |tenant: Result<TenantDb, Rejection>| async move {
            let rejection = tenant.unwrap_err();
            let error: &dyn std::error::Error = &rejection;
            let source = error.source().map(|source| match source.downcast_ref::<InvalidRequest>() {
                Some(reason) => format!("request: {reason}"),
                None => format!("{:?}", source.downcast_ref::<tenantry::Error>().unwrap().kind()),
            });
            format!("{} {error}, {source:?}", rejection.status().as_u16())
        };
        let router = Router::new().route("/", get(tell)).layer(application.tenancy.layer());
        send(router, request(host, "/")).await.body
    };
    assert_eq!(told("example.com").await, "404 the request is for no tenant, None");
    assert_eq!(
        told("nobody.example.com").await,
        "404 the request is for a tenant that does not exist, Some(\"UnknownTenant\")",
    );
    assert_eq!(
        told("not a host").await,
        "400 the request does not say clearly whom it is for, Some(\"request: request has an invalid host\")",
    );
    assert_eq!(RejectionKind::TenantUnavailable.status(), 503);
}

#[tokio::test]
async fn a_closed_pool_asks_to_come_back() {
    let application = by_subdomain().await;
    application.tenancy.close(std::time::Duration::from_secs(5)).await.unwrap();
    let answer = ask(&application, "acme.example.com", "/schema").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")));
}

#[tokio::test]
async fn a_forgotten_layer_is_named_in_the_log_once_and_is_500() {
    let log = Log::listen();
    for _ in 0..3 {
        assert_eq!(send(routes(), request("acme.example.com", "/slug")).await.status, 500);
    }
    let lines = log.lines_with(".layer(tenancy.layer())");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("ERROR") && lines[0].contains("`/slug`"), "{lines:?}");
    assert!(lines[0].contains("Tenant"), "{lines:?}");
}

fn with_header(name: &'static str, value: &'static str) -> Request<Body> {
    let mut request = request("inner.lan", "/slug");
    request.headers_mut().insert(name, HeaderValue::from_static(value));
    request
}

#[tokio::test]
async fn headers_that_are_ignored_for_want_of_a_peer_are_named_in_the_log_once() {
    let log = Log::listen();
    let by_header = Header::named("x-tenant").unwrap().trusting(["10.0.0.0/8"]).unwrap();
    let by_proxy = Subdomain::of("example.com").unwrap().trusting(["10.0.0.0/8"]).unwrap();
    let by_header = application(by_header, PoolConfig::default()).await;
    let by_proxy = application(by_proxy, PoolConfig::default()).await;
    for (application, name, value) in
        [(by_header, "x-tenant", "acme"), (by_proxy, "x-forwarded-host", "acme.example.com")]
    {
        let ask = async |request| send(routes().layer(application.tenancy.layer()), request).await.status;
        assert_eq!(ask(request("inner.lan", "/slug")).await, 404);
        assert_eq!(log.lines_with(name), [""; 0], "nobody needed to know the peer yet");
        for _ in 0..3 {
            assert_eq!(ask(with_header(name, value)).await, 404);
        }
        let lines = log.lines_with(&format!("`{name}` is ignored"));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("into_make_service_with_connect_info"), "{lines:?}");
    }
}

#[tokio::test]
async fn the_reason_why_a_request_is_invalid_is_in_the_log() {
    let proxies = ["10.0.0.0/8"];
    let resolver = Subdomain::of("example.com").unwrap().trusting(proxies).unwrap();
    let application = application(resolver, PoolConfig::default()).await;
    let log = Log::listen();
    let mut list = with_header("x-forwarded-host", "acme.example.com, inner.lan");
    list.extensions_mut().insert(tenantry::http::Peer([10, 0, 0, 1].into()));
    for (request, reason) in [
        (list, "more than one `x-forwarded-host`"),
        (request("a..b", "/slug"), "nothing before the dot at byte 2"),
        (request("globex.example.com", "http://acme.example.com/slug"), "two different hosts"),
    ] {
        assert_eq!(send(routes().layer(application.tenancy.layer()), request).await.status, 400);
        let lines = log.lines_with(reason);
        assert_eq!(lines.len(), 1, "{reason}: {lines:?}");
        assert!(lines[0].starts_with("DEBUG"), "{lines:?}");
    }
    assert_eq!(log.lines_with("let the proxy overwrite the header").len(), 1);
}
