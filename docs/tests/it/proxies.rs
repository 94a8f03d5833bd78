use tenantry::resolve::{CustomDomain, FirstOf, Header, Subdomain};

fn resolver() -> Result<FirstOf, tenantry::resolve::InvalidResolver> {
    let proxies = ["10.0.0.0/8", "127.0.0.1"];
    FirstOf::new(vec![
        Box::new(Header::named("x-tenant")?.trusting(["10.9.0.0/16"])?),
        Box::new(Subdomain::of("example.com")?.trusting(proxies)?),
        Box::new(CustomDomain::new().trusting(proxies)?), // takes any host, so it comes last
    ])
}

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

async fn serve(listener: TcpListener, app: Router) -> std::io::Result<()> {
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}

use axum::ServiceExt;
use axum::extract::Request;
use axum::routing::get;
use tenantry::resolve::PathSegment;
use tenantry::tenant::Tenant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::Layer as _;

use crate::support::{migrations, world_with};

async fn send(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn routes() -> Router {
    Router::new().route("/", get(async |tenant: Tenant| format!("this is {}", tenant.slug())))
}

#[tokio::test]
async fn a_forwarded_host_counts_only_where_the_peer_is_known() {
    let world = world_with(resolver().unwrap(), migrations()).await;
    let app = routes().layer(world.tenancy.layer());
    let ((trusting, here), (plain, there)) = (bind().await, bind().await);
    tokio::spawn(serve(trusting, app.clone()));
    tokio::spawn(async move { axum::serve(plain, app).await });

    let forwarded = "host: inside\r\nx-forwarded-host: acme.example.com\r\n";
    assert!(send(here, "/", forwarded).await.ends_with("this is acme"));
    assert!(send(there, "/", forwarded).await.starts_with("HTTP/1.1 404"));
    let list = "host: inside\r\nx-forwarded-host: acme.example.com, globex.example.com\r\n";
    assert!(send(here, "/", list).await.starts_with("HTTP/1.1 400"));
    assert!(send(here, "/", "host: globex.example.com\r\n").await.ends_with("this is globex"));
    // The gateway is in another network than this peer.
    let named = "host: globex.example.com\r\nx-tenant: acme\r\n";
    assert!(send(here, "/", named).await.ends_with("this is globex"));
}

#[tokio::test]
async fn a_wrapped_router_can_be_asked_for_the_peer_too() {
    let world = world_with(PathSegment::under("/t").unwrap(), migrations()).await;
    let (listener, address) = bind().await;
    let app = world.tenancy.layer().layer(routes());
    let service = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(app);
    tokio::spawn(async move { axum::serve(listener, service).await });
    assert!(send(address, "/t/acme/", "host: inside\r\n").await.ends_with("this is acme"));
}
