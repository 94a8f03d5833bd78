use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use isolation::{
    CONNECTIONS, Http, hosts_are_not_believed_blindly, paths_lead_to_their_tenant, tenants_keep_apart,
};
use tenantry::{DatabaseConfig, PoolConfig, Tenancy, TenantDb};
use tenantry_actix::{Ask, Result, Tenants};
use tenantry_embedded::ScratchDatabase;

async fn slow(Ask(db): Ask<TenantDb>, title: String) -> Result<String> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(&mut *tx).await?;
    sqlx::query("SELECT pg_sleep(10)").execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(String::new())
}

async fn panics(Ask(db): Ask<TenantDb>, title: String) -> Result<String> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(&mut *tx).await?;
    panic!("a handler panics, as it is meant to")
}

fn bad_endings(config: &mut web::ServiceConfig) {
    config.route("/slow", web::post().to(slow)).route("/panic", web::post().to(panics));
}

/// Serves the example by two workers, each with a runtime of its own.
async fn serve(database: &ScratchDatabase) -> (Http, Tenancy, ServerHandle) {
    let pool = PoolConfig { max_connections: CONNECTIONS, ..PoolConfig::default() };
    let config = DatabaseConfig::from_url(database.url()).unwrap().pool(pool);
    let tenancy = actix::open(config, "example.com").await.unwrap();
    let tenants = Tenants::new(&tenancy);
    let app = move || App::new().wrap(tenants.clone()).configure(actix::routes).configure(bad_endings);
    let server = HttpServer::new(app).h1_allow_half_closed(false).workers(2).disable_signals();
    let server = server.bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    (Http(address), tenancy, handle)
}

#[tokio::test]
async fn actix_web_keeps_tenants_apart() {
    let database = ScratchDatabase::create().await.unwrap();
    let (application, tenancy, server) = serve(&database).await;
    tenants_keep_apart(&application).await;
    hosts_are_not_believed_blindly(&application).await;
    paths_lead_to_their_tenant(&application).await;

    // The pool outlives the runtimes of the workers, in which its connections were used.
    server.stop(true).await;
    let acme = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&acme).await.unwrap();
    assert!(notes > 0);
    tenancy.close(Duration::from_secs(5)).await.unwrap();
}
