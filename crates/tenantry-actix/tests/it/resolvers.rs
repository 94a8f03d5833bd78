use std::net::SocketAddr;

use actix_web::dev::Service as _;
use actix_web::{App, HttpMessage as _, HttpRequest, test, web};
use tenantry::PoolConfig;
use tenantry::http::Resolved;
use tenantry::resolve::{CustomDomain, FirstOf, Head, Header, PathSegment, Peer, Resolution, Subdomain};
use tenantry::tenant::{DomainName, Slug};
use tenantry_actix::Ask;

use crate::support::{answer, request, routes, send, world};

async fn uris(request: HttpRequest, Ask(resolved): Ask<Resolved>) -> String {
    format!("{} {} {:?} {}", resolved.uri(), request.uri(), resolved.prefix(), resolved.link("/notes"))
}

#[tokio::test]
async fn a_path_segment_is_taken_out_of_the_path_before_a_route_is_chosen() {
    let world = world(PathSegment::under("/t").unwrap(), PoolConfig::default()).await;
    let inner = web::scope("/in").route("/{any}", web::get().to(uris));
    let app = App::new().wrap(world.tenants()).service(inner).configure(routes);
    let app = test::init_service(app.route("/", web::get().to(uris))).await;
    for (path, expect) in [
        ("/t/acme/slug?x=1", "acme"),
        ("/t/acme/in/uris?x=1", "/t/acme/in/uris?x=1 /in/uris?x=1 \"/t/acme\" /t/acme/notes"),
        ("/t/acme", "/t/acme / \"/t/acme\" /t/acme/notes"),
        ("/t/ACME/", "/t/ACME/ / \"/t/ACME\" /t/ACME/notes"),
        ("/in/uris", "/in/uris /in/uris \"\" /notes"),
    ] {
        let answer = answer(&app, request("example.com", path).to_request()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, expect), "{path}");
    }
    for path in ["/t/nobody/slug", "/t/ac%6de/slug", "/t/acme/../acme/slug", "/slug"] {
        assert_eq!(answer(&app, request("example.com", path).to_request()).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn two_hosts_are_one_too_many() {
    let world = world(Subdomain::of("example.com").unwrap(), PoolConfig::default()).await;
    let twice = request("acme.example.com", "/slug").append_header(("host", "globex.example.com"));
    assert_eq!(send(world.tenants(), twice).await.status, 400);
    let conflicting = request("globex.example.com", "http://acme.example.com/slug");
    assert_eq!(send(world.tenants(), conflicting).await.status, 400);
    let agreeing = request("acme.example.com:80", "http://acme.example.com/slug");
    assert_eq!(send(world.tenants(), agreeing).await.body, "acme");
}

#[tokio::test]
async fn a_header_counts_only_from_a_trusted_peer() {
    let by_header = Header::named("x-tenant").unwrap().trusting(["10.0.0.0/8"]).unwrap();
    let by_host = Subdomain::of("example.com").unwrap().trusting(["10.0.0.0/8"]).unwrap();
    let resolver = FirstOf::new(vec![Box::new(by_header), Box::new(by_host)]).unwrap();
    let world = world(resolver, PoolConfig::default()).await;
    for (peer, header, value, status) in [
        (Some("10.1.2.3:4711"), "x-tenant", "acme", 200),
        (Some("192.0.2.1:4711"), "x-tenant", "acme", 404),
        (None, "x-tenant", "acme", 404),
        (Some("10.1.2.3:4711"), "x-forwarded-host", "acme.example.com", 200),
        (Some("192.0.2.1:4711"), "x-forwarded-host", "acme.example.com", 404),
    ] {
        let mut request = request("inner.lan", "/slug").insert_header((header, value));
        if let Some(peer) = peer {
            request = request.peer_addr(peer.parse::<SocketAddr>().unwrap());
        }
        let answer = send(world.tenants(), request).await;
        assert_eq!(answer.status, status, "{peer:?} {header}");
        assert_eq!(answer.all("vary"), ["x-tenant", "x-forwarded-host"], "for the caches that it passes");
    }
}

#[tokio::test]
async fn a_domain_of_its_own_leads_to_a_tenant() {
    let world = world(CustomDomain::new(), PoolConfig::default()).await;
    let acme = world.tenancy.tenant("acme").await.unwrap();
    world.tenancy.add_domain(&acme, &DomainName::parse("notes.acme.org").unwrap()).await.unwrap();
    assert_eq!(send(world.tenants(), request("notes.acme.org", "/slug")).await.body, "acme");
    assert_eq!(send(world.tenants(), request("notes.acme.net", "/slug")).await.status, 404);
}

#[derive(Clone)]
struct Claims(Slug);

#[tokio::test]
async fn a_resolver_sees_what_middleware_in_front_has_attached() {
    let by_claims = |head: &Head<'_>| match (head.extension::<Claims>(), head.peer()) {
        (Some(Claims(slug)), Some(Peer(peer))) if peer.is_loopback() => Resolution::tenant(slug.clone()),
        _ => Resolution::None,
    };
    let world = world(by_claims, PoolConfig::default()).await;
    for (tenants, status) in [(world.tenants().carry::<Claims>(), 200), (world.tenants(), 404)] {
        let app = App::new().wrap(tenants).wrap_fn(|request, next| {
            request.extensions_mut().insert(Claims(Slug::parse("acme").unwrap()));
            request.extensions_mut().insert(Peer([127, 0, 0, 1].into()));
            next.call(request)
        });
        let app = test::init_service(app.configure(routes)).await;
        assert_eq!(answer(&app, request("any", "/slug").to_request()).await.status, status);
    }
}
