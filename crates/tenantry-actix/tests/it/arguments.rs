use actix_web::middleware::from_fn;
use actix_web::{App, test, web};
use tenantry::http::Resolved;
use tenantry::{MasterDb, PoolConfig, Tenancy, Tenant, TenantDb, TenantReadDb};
use tenantry_actix::{Ask, require_tenant};

use crate::support::{World, answer, by_subdomain, request, routes, send, world};

async fn who(
    Ask(tenant): Ask<Option<Tenant>>,
    Ask(db): Ask<Option<TenantDb>>,
    Ask(replica): Ask<Option<TenantReadDb>>,
    Ask(master): Ask<Option<MasterDb>>,
) -> String {
    let slug = tenant.map(|tenant| tenant.slug().to_string());
    format!("{slug:?} {} {} {}", db.is_some(), replica.is_some(), master.is_some())
}

async fn anywhere(tenancy: Ask<Tenancy>, resolved: Ask<Resolved>) -> String {
    format!("{:?} {}", tenancy.into_inner(), resolved.uri())
}

#[tokio::test]
async fn what_a_handler_asks_for_decides() {
    let world = by_subdomain().await;
    for (host, path, expect) in [
        ("acme.example.com", "/schema", 200),
        ("ACME.example.com:8080", "/slug", 200),
        ("acme.example.com", "/master", 404),
        ("example.com", "/schema", 404),
        ("example.com", "/slug", 404),
        ("www.example.com", "/master", 200),
        ("nobody.example.com", "/schema", 404),
        ("foo.acme.example.com", "/schema", 404),
        ("example.org", "/schema", 404),
        ("example.org", "/master", 404),
        ("not a host", "/schema", 400),
        ("not a host", "/master", 400),
    ] {
        let answer = send(world.tenants(), request(host, path)).await;
        assert_eq!(answer.status, expect, "{host}{path}: {}", answer.body);
    }
    let acme = world.tenancy.tenant("acme").await.unwrap();
    let schema = send(world.tenants(), request("acme.example.com", "/schema")).await;
    assert_eq!(schema.body, acme.schema().as_str());
    assert_eq!(send(world.tenants(), request("example.com", "/master")).await.body, "public");
}

#[tokio::test]
async fn an_option_inside_is_none_only_where_there_is_no_tenant() {
    let world = by_subdomain().await;
    let app = App::new().wrap(world.tenants()).route("/who", web::get().to(who));
    let app = test::init_service(app.route("/anywhere", web::get().to(anywhere))).await;
    for (host, status, expect) in [
        ("acme.example.com", 200, "Some(\"acme\") true true false"),
        ("example.com", 200, "None false false true"),
        ("example.org", 200, "None false false false"),
        ("nobody.example.com", 404, "no account"),
        ("not a host", 400, "not valid"),
    ] {
        let answer = answer(&app, request(host, "/who").to_request()).await;
        assert_eq!(answer.status, status, "{host}: {}", answer.body);
        assert!(answer.body.contains(expect), "{host}: {}", answer.body);
    }
    for host in ["acme.example.com", "nobody.example.com", "not a host"] {
        let answer = answer(&app, request(host, "/anywhere?x").to_request()).await;
        assert!(answer.status == 200 && answer.body.ends_with("/anywhere?x"), "{host}: {answer:?}");
    }
}

#[tokio::test]
async fn a_scope_can_require_a_tenant() {
    let world = by_subdomain().await;
    let plain = || web::get().to(async || "plain");
    let scope = web::scope("/in").wrap(from_fn(require_tenant)).route("/plain", plain());
    let app = App::new().wrap(world.tenants()).service(scope).route("/plain", plain());
    let app = test::init_service(app).await;
    for (host, path, status) in [
        ("acme.example.com", "/in/plain", 200),
        ("example.com", "/in/plain", 404),
        ("nobody.example.com", "/in/plain", 404),
        ("example.com", "/plain", 200),
    ] {
        assert_eq!(answer(&app, request(host, path).to_request()).await.status, status, "{host}{path}");
    }
}

#[tokio::test]
async fn a_full_pool_is_503_with_a_time_to_come_back() {
    let pool = PoolConfig {
        max_connections: 1,
        acquire_timeout: std::time::Duration::from_millis(300),
        ..PoolConfig::default()
    };
    let World { tenancy, .. } = &world(tenantry::resolve::Subdomain::of("example.com").unwrap(), pool).await;
    let held = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap().acquire().await.unwrap();
    let tenants = tenantry_actix::Tenants::new(tenancy);
    let busy = send(tenants.clone(), request("acme.example.com", "/schema")).await;
    assert_eq!((busy.status, busy.header("retry-after")), (503, Some("1")));
    drop(held);
    assert_eq!(send(tenants, request("acme.example.com", "/schema")).await.status, 200);
}

#[tokio::test]
async fn without_the_middleware_a_handler_that_asks_is_500() {
    let app = test::init_service(App::new().configure(routes)).await;
    let answer = answer(&app, request("acme.example.com", "/slug").to_request()).await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("not set up completely"), "{}", answer.body);
}
