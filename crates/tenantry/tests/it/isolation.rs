use axum::routing::{get, post};
use axum::{Json, Router};
use isolation::{
    CONNECTIONS, Http, hosts_are_not_believed_blindly, paths_lead_to_their_tenant, tenants_keep_apart,
};
use tenantry::resolve::{FirstOf, PathSegment, Subdomain};
use tenantry::{NewTenant, PoolConfig, Result, Tenancy, TenantDb};
use tokio::net::TcpListener;
use tower::Layer as _;

use crate::support::{config, database, tenant_files};

const NOTE: &str = "CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY, title text NOT NULL)";

async fn list(db: TenantDb) -> Result<Json<Vec<String>>> {
    Ok(Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
}

async fn add(db: TenantDb, title: String) -> Result<()> {
    Ok(sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(&db).await.map(drop)?)
}

async fn slow(db: TenantDb, title: String) -> Result<()> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(&mut *tx).await?;
    sqlx::query("SELECT pg_sleep(10)").execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

async fn panics(db: TenantDb, title: String) -> Result<()> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(&mut *tx).await?;
    panic!("a handler panics, as it is meant to")
}

fn routes() -> Router {
    Router::new()
        .route("/notes", get(list).post(add))
        .route("/slow", post(slow))
        .route("/panic", post(panics))
}

/// Serves these routes for two tenants; the database lives as long as what is answered.
async fn serve(routes: impl FnOnce(&Tenancy) -> Router) -> (Http, impl Drop) {
    let database = database().await;
    let pool = PoolConfig { max_connections: CONNECTIONS, ..PoolConfig::default() };
    let by_host_or_path: Vec<Box<dyn tenantry::resolve::Resolve>> =
        vec![Box::new(Subdomain::of("example.com").unwrap()), Box::new(PathSegment::under("/t").unwrap())];
    let tenancy = Tenancy::builder()
        .database(config(&database).pool(pool))
        .migrations(tenant_files(&[NOTE]))
        .resolver(FirstOf::new(by_host_or_path).unwrap())
        .install(true)
        .connect()
        .await
        .unwrap();
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Around the router, because the path is read before a route is chosen.
    let app = tenancy.layer().layer(routes(&tenancy));
    tokio::spawn(async move { axum::serve(listener, tower::make::Shared::new(app)).await });
    (Http(address), database)
}

#[tokio::test]
async fn axum_keeps_tenants_apart() {
    let (application, _database) = serve(|_| routes()).await;
    tenants_keep_apart(&application).await;
    hosts_are_not_believed_blindly(&application).await;
    paths_lead_to_their_tenant(&application).await;
}

#[tokio::test]
#[should_panic(expected = "does not see its own note")]
async fn an_application_that_mixes_tenants_up_is_found() {
    let always_acme = async |tenancy: Tenancy| -> Result<Json<Vec<String>>> {
        let acme = tenancy.db(&tenancy.tenant("acme").await?)?;
        list(acme).await
    };
    let (application, _database) = serve(|_| Router::new().route("/notes", get(always_acme).post(add))).await;
    tenants_keep_apart(&application).await;
}

#[tokio::test]
#[should_panic(expected = "sees what nobody committed")]
async fn an_application_that_keeps_what_was_not_committed_is_found() {
    let keeps = async |db: TenantDb, title: String| -> Result<()> {
        add(db, title).await?;
        panic!("a handler panics, as it is meant to")
    };
    let routes = Router::new().route("/notes", get(list).post(add)).route("/panic", post(keeps));
    let (application, _database) = serve(|_| routes).await;
    tenants_keep_apart(&application).await;
}
