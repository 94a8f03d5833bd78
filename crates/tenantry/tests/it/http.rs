//! The middleware and the extractors, request by request, without a port.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tenantry::resolve::{CustomDomain, FirstOf, Header, PathSegment, Resolve, Subdomain};
use tenantry::tenant::{DomainName, Tenant};
use tenantry::{DatabaseConfig, MasterDb, NewTenant, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::ScratchDatabase;
use tower::{Layer as _, Service, ServiceExt as _};

pub(crate) struct Application {
    pub(crate) tenancy: Tenancy,
    _database: ScratchDatabase,
}

pub(crate) async fn application(resolver: impl Resolve, pool: PoolConfig) -> Application {
    let database = ScratchDatabase::create().await.unwrap();
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(database.url()).unwrap().pool(pool))
        .resolver(resolver)
        .install(true)
        .connect()
        .await
        .unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    Application { tenancy, _database: database }
}

pub(crate) async fn by_subdomain() -> Application {
    application(Subdomain::of("example.com").unwrap(), PoolConfig::default()).await
}

async fn schema(db: TenantDb) -> tenantry::Result<String> {
    Ok(sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&db).await?)
}

async fn master_schema(db: MasterDb) -> tenantry::Result<String> {
    Ok(sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&db).await?)
}

async fn missing_row(db: TenantDb) -> tenantry::Result<Json<i32>> {
    Ok(Json(sqlx::query_scalar("SELECT 1 WHERE false").fetch_one(&db).await?))
}

async fn broken(db: TenantDb) -> tenantry::Result<Json<i32>> {
    Ok(Json(sqlx::query_scalar("SELECT secret FROM nowhere").fetch_one(&db).await?))
}

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/schema", get(schema))
        .route("/slug", get(|tenant: Tenant| async move { tenant.slug().to_string() }))
        .route("/master", get(master_schema))
        .route("/anywhere", get(|tenancy: Tenancy| async move { format!("{tenancy:?}") }))
        .route("/missing-row", get(missing_row))
        .route("/broken", get(broken))
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    response: Response<()>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) async fn send<S>(service: S, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = axum::response::Response, Error = std::convert::Infallible>,
{
    let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status: parts.status, response: Response::from_parts(parts, ()), body }
}

pub(crate) fn request(host: &str, path: &str) -> Request<Body> {
    Request::builder().uri(path).header("host", host).body(Body::empty()).unwrap()
}

async fn ask(application: &Application, host: &str, path: &str) -> Answer {
    send(routes().layer(application.tenancy.layer()), request(host, path)).await
}

async fn check(application: &Application, host: &str, path: &str, expect: u16) {
    let answer = ask(application, host, path).await;
    assert_eq!(answer.status.as_u16(), expect, "{host}{path}: {}", answer.body);
}

#[tokio::test]
async fn what_a_handler_asks_for_decides() {
    let application = by_subdomain().await;
    for (host, path, expect) in [
        ("acme.example.com", "/schema", 200),
        ("ACME.example.com:8080", "/slug", 200),
        ("acme.example.com", "/master", 404),
        ("acme.example.com", "/anywhere", 200),
        ("example.com", "/schema", 404),
        ("example.com", "/slug", 404),
        ("www.example.com", "/master", 200),
        ("example.com", "/anywhere", 200),
        ("nobody.example.com", "/schema", 404),
        ("nobody.example.com", "/anywhere", 200),
        ("foo.acme.example.com", "/schema", 404),
        ("example.org", "/schema", 404),
        ("example.org", "/master", 404),
        ("not a host", "/schema", 400),
        ("not a host", "/master", 400),
    ] {
        check(&application, host, path, expect).await;
    }
    assert_eq!(ask(&application, "example.com", "/master").await.body, "public");
    let acme = application.tenancy.tenant("acme").await.unwrap();
    assert_eq!(ask(&application, "acme.example.com", "/schema").await.body, acme.schema().as_str());
}

#[tokio::test]
async fn two_hosts_are_one_too_many() {
    let application = by_subdomain().await;
    let mut twice = request("acme.example.com", "/slug");
    twice.headers_mut().append("host", HeaderValue::from_static("globex.example.com"));
    let answer = send(routes().layer(application.tenancy.layer()), twice).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);

    let conflicting = request("globex.example.com", "http://acme.example.com/slug");
    let answer = send(routes().layer(application.tenancy.layer()), conflicting).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn people_get_a_page_and_programs_get_json() {
    let application = by_subdomain().await;
    let page = ask(&application, "nobody.example.com", "/schema").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.contains("There is no account at this address."));
    assert!(!page.body.contains("nobody"), "the page repeats nothing of the request");

    let mut program = request("nobody.example.com", "/schema");
    program.headers_mut().insert("accept", HeaderValue::from_static("application/json"));
    let problem = send(routes().layer(application.tenancy.layer()), program).await;
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    let body: serde_json::Value = serde_json::from_str(&problem.body).unwrap();
    assert_eq!(body, serde_json::json!({ "status": 404, "title": "There is no account at this address." }));
}

#[tokio::test]
async fn the_error_of_a_handler_tells_no_secrets() {
    let application = by_subdomain().await;
    let missing = ask(&application, "acme.example.com", "/missing-row").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let broken = ask(&application, "acme.example.com", "/broken").await;
    assert_eq!(broken.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!broken.body.contains("nowhere"), "{}", broken.body);
}

#[tokio::test]
async fn a_full_pool_is_503_with_a_time_to_come_back() {
    let pool = PoolConfig {
        max_connections: 1,
        acquire_timeout: Duration::from_millis(500),
        ..PoolConfig::default()
    };
    let application = application(Subdomain::of("example.com").unwrap(), pool).await;
    let acme = application.tenancy.tenant("acme").await.unwrap();
    let held = application.tenancy.db(&acme).unwrap().acquire().await.unwrap();
    let busy = ask(&application, "acme.example.com", "/schema").await;
    assert_eq!((busy.status, busy.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
    drop(held);
    check(&application, "acme.example.com", "/schema", 200).await;
}

#[tokio::test]
async fn a_suspended_tenant_is_not_served() {
    let application = by_subdomain().await;
    check(&application, "acme.example.com", "/schema", 200).await;
    let master = application.tenancy.master();
    sqlx::query("UPDATE tenantry.tenant SET status = 'suspended'").execute(&master).await.unwrap();
    // The change is announced; it need not be there with the next packet.
    for _ in 0..100 {
        if ask(&application, "acme.example.com", "/schema").await.status == StatusCode::SERVICE_UNAVAILABLE {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the tenant is still served");
}

#[tokio::test]
async fn a_path_segment_is_taken_out_of_the_path_before_routing() {
    let resolver = PathSegment::under("/t").unwrap();
    let application = application(resolver, PoolConfig::default()).await;
    let service = || application.tenancy.layer().layer(routes());
    let answer = send(service(), request("example.com", "/t/acme/slug?x=1")).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "acme"));
    assert_eq!(send(service(), request("example.com", "/t/nobody/slug")).await.status.as_u16(), 404);
    // What is invalid stays in the path, where no route is.
    assert_eq!(send(service(), request("example.com", "/t/ac%6de/slug")).await.status.as_u16(), 404);
}

#[tokio::test]
async fn a_domain_of_its_own_leads_to_a_tenant() {
    let resolver =
        FirstOf::new(vec![Box::new(Subdomain::of("example.com").unwrap()), Box::new(CustomDomain::new())]);
    let application = application(resolver.unwrap(), PoolConfig::default()).await;
    check(&application, "notes.acme.org", "/slug", 404).await;
    let acme = application.tenancy.tenant("acme").await.unwrap();
    let domain = DomainName::parse("notes.acme.org").unwrap();
    application.tenancy.add_domain(&acme, &domain).await.unwrap();
    check(&application, "notes.acme.org", "/slug", 200).await;
    assert!(application.tenancy.remove_domain(&acme, &domain).await.unwrap());
    check(&application, "notes.acme.org", "/slug", 404).await;
}

#[tokio::test]
async fn a_header_counts_only_from_a_trusted_peer() {
    let resolver = Header::named("x-tenant").unwrap().trusting(["10.0.0.0/8"]).unwrap();
    let application = application(resolver, PoolConfig::default()).await;
    for (peer, expect) in [(Some("10.1.2.3"), 200), (Some("192.0.2.1"), 404), (None, 404)] {
        let mut request = request("example.com", "/slug");
        request.headers_mut().insert("x-tenant", HeaderValue::from_static("acme"));
        if let Some(peer) = peer {
            let peer: IpAddr = peer.parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer, 4711)));
        }
        let answer = send(routes().layer(application.tenancy.layer()), request).await;
        assert_eq!(answer.status.as_u16(), expect, "{peer:?}");
        // No cache may give one tenant's page to another, whoever was believed this time.
        assert_eq!(answer.header("vary"), Some("x-tenant"), "{peer:?}");
    }
}

#[tokio::test]
async fn responses_vary_by_what_the_resolver_reads_besides_the_host() {
    let proxies = ["10.0.0.0/8"];
    let header = || Header::named("x-tenant").unwrap();
    let host = || Subdomain::of("example.com").unwrap();
    let first_of = FirstOf::new(vec![
        Box::new(header().trusting(proxies).unwrap()),
        Box::new(host().trusting(proxies).unwrap()),
        Box::new(CustomDomain::new().trusting(proxies).unwrap()),
    ]);
    let cases: [(Box<dyn Resolve>, &[&str]); 6] = [
        (Box::new(host()), &[]),
        (Box::new(CustomDomain::new()), &[]),
        (Box::new(PathSegment::new()), &[]),
        // Nobody is believed, so nothing depends on it.
        (Box::new(header()), &[]),
        (Box::new(host().trusting(proxies).unwrap()), &["x-forwarded-host"]),
        (Box::new(first_of.unwrap()), &["x-tenant", "x-forwarded-host"]),
    ];
    for (resolver, expect) in cases {
        assert_eq!(resolver.varies_by(), expect);
    }
}

#[tokio::test]
async fn an_answer_that_a_tenant_is_missing_is_not_for_a_cache() {
    let application = by_subdomain().await;
    let nobody = ask(&application, "globex.example.com", "/slug").await;
    assert_eq!((nobody.status.as_u16(), nobody.header("cache-control")), (404, Some("no-store")));
    assert_eq!(nobody.header("vary"), None);
    let somebody = ask(&application, "acme.example.com", "/slug").await;
    assert_eq!((somebody.status.as_u16(), somebody.header("cache-control")), (200, None));
}

#[tokio::test]
async fn a_route_can_require_a_tenant() {
    let application = by_subdomain().await;
    let router = || {
        let tenants_only = Router::new()
            .route("/plain", get(|| async { "plain" }))
            .route_layer(tenantry::http::require_tenant());
        tenants_only.layer(application.tenancy.layer())
    };
    assert_eq!(send(router(), request("acme.example.com", "/plain")).await.status.as_u16(), 200);
    assert_eq!(send(router(), request("example.com", "/plain")).await.status.as_u16(), 404);
}
