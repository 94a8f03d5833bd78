use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use tenantry::pool::CommitToken;
use tenantry::{Tenancy, TenantDb, TenantReadDb};

fn app(tenancy: &Tenancy) -> Router {
    Router::new().route("/notes", get(list).post(add)).layer(tenancy.layer())
}

async fn add(db: TenantDb, title: String) -> tenantry::Result<String> {
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(&db).await?;
    Ok(db.commit_token().await?.to_string()) // for whoever is to see it
}

async fn list(replica: TenantReadDb, headers: HeaderMap) -> tenantry::Result<String> {
    let token = headers.get("wrote").and_then(|text| text.to_str().ok()?.parse::<CommitToken>().ok());
    let replica = match token {
        Some(token) => replica.after(&token), // sees all that was committed before
        None => replica,                      // as old as `max_lag`
    };
    let query = sqlx::query_scalar("SELECT title FROM note ORDER BY id");
    let titles: Vec<String> = query.fetch_all(&replica).await?;
    Ok(titles.join("\n"))
}

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request};
use docs::blocks_of;
use tenantry::NewTenant;
use tenantry::resolve::Subdomain;
use tenantry_embedded::ScratchServer;
use tower::ServiceExt as _;

use crate::support::{ask, migrations, read_config, request};

const PAGE: &str = "docs/replicas.md";

async fn body(app: &Router, request: Request<Body>) -> String {
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn a_handler_reads_from_a_replica_and_sees_what_was_just_written() {
    let primary = ScratchServer::start().await.unwrap();
    let standby = primary.standby().await.unwrap();
    let database = primary.database("saas").await.unwrap();
    let [toml] = blocks_of(PAGE, "toml");
    let toml = toml
        .replace("postgres://app@primary.internal/saas", database.url())
        .replace("postgres://app@replica-1.internal/saas", &standby.url_of(&database));
    let builder =
        Tenancy::builder().config(&read_config(&toml)).unwrap().migrations(migrations()).install(true);
    let tenancy = builder.resolver(Subdomain::of("example.com").unwrap()).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let app = app(&tenancy);

    for number in 1..=3 {
        let post = Request::post("/notes").header("host", "acme.example.com");
        let token = body(&app, post.body(Body::from(format!("note {number}"))).unwrap()).await;
        let mut get = request("acme.example.com", "/notes");
        get.headers_mut().insert("wrote", HeaderValue::from_str(&token).unwrap());
        assert_eq!(body(&app, get).await.lines().count(), number);
    }
    assert_eq!(ask(&app, "nobody.example.com", "/notes").await.0.as_u16(), 404);
    let is_standby = sqlx::query_scalar::<_, bool>("SELECT pg_is_in_recovery()");
    assert!(is_standby.fetch_one(&tenancy.replica(&acme).unwrap()).await.unwrap());
    let client = tenancy.client(&acme).unwrap();
    let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await.unwrap();
    assert!(!row.get::<_, bool>(0), "tokio-postgres reads at the primary");
}
