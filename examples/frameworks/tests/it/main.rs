//! Each framework bears what every one has to.
#![allow(missing_docs, clippy::unwrap_used)]

/// Routes of poem that end badly.
mod poem;
/// Routes of salvo that end badly.
mod salvo;
/// Routes of warp that end badly.
mod warp;

use std::future::Future;
use std::time::Duration;

use frameworks::{Refused, open};
use isolation::{
    CONNECTIONS, Http, hosts_are_not_believed_blindly, paths_lead_to_their_tenant, tenants_keep_apart,
};
use tenantry::tenant::Suspension;
use tenantry::{DatabaseConfig, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::ScratchDatabase;
use tokio::net::TcpListener;

/// Makes a note in a transaction that then sleeps.
async fn slow(db: TenantDb, title: &str) -> Result<String, Refused> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(&mut *tx).await?;
    sqlx::query("SELECT pg_sleep(10)").execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(String::new())
}

/// Makes a note in a transaction, and panics.
async fn panics(db: TenantDb, title: &str) -> Result<String, Refused> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(&mut *tx).await?;
    panic!("a handler panics, as it is meant to")
}

/// Serves an application and sends it whatever a framework has to bear.
async fn bears_it<F: Future + Send + 'static>(serve: impl FnOnce(TcpListener, Tenancy) -> F)
where
    F::Output: Send,
{
    let database = ScratchDatabase::create().await.unwrap();
    let pool = PoolConfig { max_connections: CONNECTIONS, ..PoolConfig::default() };
    let config = DatabaseConfig::from_url(database.url()).unwrap().pool(pool);
    let tenancy = open(config, "example.com").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let application = Http(listener.local_addr().unwrap());
    let server = tokio::spawn(serve(listener, tenancy.clone()));
    tenants_keep_apart(&application).await;
    hosts_are_not_believed_blindly(&application).await;
    paths_lead_to_their_tenant(&application).await;
    refuses_in_its_own_words(&application, &tenancy).await;
    server.abort();
    tenancy.close(Duration::from_secs(5)).await.unwrap();
}

async fn refuses_in_its_own_words(application: &Http, tenancy: &Tenancy) {
    let unknown = application.send("GET /notes", "host: nobody.example.com", "").await.unwrap();
    assert!(unknown.status == 404 && unknown.body.starts_with("<!doctype html>"), "{unknown:?}");
    let json = "host: nobody.example.com\r\naccept: application/json";
    let unknown = application.send("GET /notes", json, "").await.unwrap();
    assert!(unknown.status == 404 && unknown.head.contains("application/problem+json"), "{unknown:?}");

    let acme = tenancy.tenant("acme").await.unwrap();
    tenancy.suspend(&acme, Suspension::new().saying("Please pay")).await.unwrap();
    let suspended = application.send("GET /notes", "host: acme.example.com", "").await.unwrap();
    assert!(suspended.status == 503 && suspended.body.contains("Please pay"), "{suspended:?}");

    sqlx::query("DROP TABLE note")
        .execute(&tenancy.db(&tenancy.tenant("globex").await.unwrap()).unwrap())
        .await
        .unwrap();
    let broken = application.send("GET /notes", "host: globex.example.com", "").await.unwrap();
    assert!(broken.status == 500 && !broken.body.contains("note"), "no text of the server's: {broken:?}");
}
