//! A request is for the tenant that its host names, and for nobody where it names two: over HTTP, byte by byte.

use axum::routing::get;
use axum::{Json, Router};
use isolation::{Application as _, CONNECTIONS, Http, hosts_are_not_believed_blindly};
use tenantry_embedded::ScratchDatabase;
use tokio::net::TcpListener;

use crate::fixture::builder;
use crate::resolve::Subdomain;
use crate::{NewTenant, PoolConfig, Result, TenantDb};

async fn list(db: TenantDb) -> Result<Json<Vec<String>>> {
    Ok(Json(sqlx::query_scalar("SELECT title FROM note").fetch_all(&db).await?))
}

async fn add(db: TenantDb, title: String) -> Result<()> {
    Ok(sqlx::query("INSERT INTO note VALUES ($1)").bind(title).execute(&db).await.map(drop)?)
}

#[tokio::test]
async fn a_request_that_names_two_hosts_is_for_nobody() {
    let database = ScratchDatabase::create().await.unwrap();
    let pool = PoolConfig { max_connections: CONNECTIONS, ..PoolConfig::default() };
    let builder = builder(&database, &["CREATE TABLE note (title text)"], pool);
    let tenancy = builder.resolver(Subdomain::of("example.com").unwrap()).connect().await.unwrap();
    let app = Router::new().route("/notes", get(list).post(add)).layer(tenancy.layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let application = Http(listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
        let host = format!("{slug}.example.com");
        application.add(&host, &format!("{host} has a note")).await.unwrap();
    }
    hosts_are_not_believed_blindly(&application).await;
}
