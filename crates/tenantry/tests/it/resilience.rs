//! A server that goes away and comes back, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use tenantry::{DatabaseConfig, ErrorKind, NewTenant, PoolConfig, Tenancy};
use tenantry_embedded::ScratchServer;

async fn tenancy(url: &str) -> Tenancy {
    let pool = PoolConfig { max_connections: 5, ..PoolConfig::default() };
    let database = DatabaseConfig::from_url(url).unwrap().pool(pool);
    let tenancy = Tenancy::builder().database(database).install(true).connect().await.unwrap();
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    tenancy
}

/// Asks for its schema over and over; counts what went well and what did not.
async fn load(tenancy: Tenancy, slug: &'static str, stop: Arc<AtomicBool>, counts: Arc<[AtomicU32; 2]>) {
    let tenant = tenancy.tenant(slug).await.unwrap();
    let db = tenancy.db(&tenant).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let schema = sqlx::query_scalar::<_, String>("SELECT current_schema()::text").fetch_one(&db).await;
        match schema {
            Ok(schema) => {
                assert_eq!(schema, tenant.schema().as_str(), "a row of somebody else");
                counts[0].fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                let error = tenantry::Error::from(error);
                assert_eq!(error.kind(), ErrorKind::DatabaseUnavailable, "{error:?}");
                assert!(error.is_retryable());
                counts[1].fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_a_clear_error_and_its_return_needs_no_restart() {
    let mut server = ScratchServer::start().await.unwrap();
    let database = server.database("app").await.unwrap();
    let tenancy = tenancy(database.url()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let counts: Arc<[AtomicU32; 2]> = Arc::default();
    let tasks: Vec<_> = (0..8)
        .map(|index| {
            let slug = if index % 2 == 0 { "acme" } else { "globex" };
            tokio::spawn(load(tenancy.clone(), slug, Arc::clone(&stop), Arc::clone(&counts)))
        })
        .collect();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.kill().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.start_again().await.unwrap();
    }
    // With the server back, everything works again and goes on working.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let before = [counts[0].load(Ordering::Relaxed), counts[1].load(Ordering::Relaxed)];
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (good, bad) = (counts[0].load(Ordering::Relaxed), counts[1].load(Ordering::Relaxed));
        if good > before[0] + 50 && bad == before[1] {
            break;
        }
        assert!(Instant::now() < deadline, "no recovery: {good} answers, {bad} errors");
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(counts[1].load(Ordering::Relaxed) > 0, "nobody noticed that the server was gone");

    // The registry's listener is back as well: a change made by others is seen.
    let master = tenancy.master();
    tenancy.tenant("acme").await.unwrap();
    sqlx::query("UPDATE tenantry.tenant SET settings = '{\"name\": \"New\"}' WHERE slug = 'acme'")
        .execute(&master)
        .await
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(8);
    while tenancy.tenant("acme").await.unwrap().name() != "New" {
        assert!(Instant::now() < deadline, "the change was not heard of");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tenancy.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_terminated_backend_is_one_error_and_no_more() {
    let database = tenantry_embedded::ScratchDatabase::create().await.unwrap();
    let tenancy = tenancy(database.url()).await;
    let db = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&db).await.unwrap();
    let mut outside = sqlx::PgConnection::connect(database.superuser_url()).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut outside).await.unwrap();
    let mut failures = 0;
    for _ in 0..20 {
        if let Err(error) = sqlx::query("SELECT 1").execute(&db).await {
            assert_eq!(tenantry::Error::from(error).kind(), ErrorKind::DatabaseUnavailable);
            failures += 1;
        }
    }
    assert!(failures <= 1, "{failures} requests felt one lost connection");
}

#[tokio::test]
async fn a_closed_tenancy_leaves_no_connection_behind() {
    let database = tenantry_embedded::ScratchDatabase::create().await.unwrap();
    let tenancy = tenancy(database.url()).await;
    let db = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    sqlx::query("SELECT 1").execute(&db).await.unwrap();
    tenancy.close(Duration::from_secs(5)).await.unwrap();
    let error = tenantry::Error::from(sqlx::query("SELECT 1").execute(&db).await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::PoolClosed);

    let mut outside = sqlx::PgConnection::connect(database.superuser_url()).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let others: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut outside)
        .await
        .unwrap();
        if others == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{others} connections are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn debug_shows_no_password() {
    let database = tenantry_embedded::ScratchDatabase::create().await.unwrap();
    let password = database.url().split([':', '@']).nth(2).unwrap().to_owned();
    assert!(password.len() > 8, "the URL has a password");
    let config = DatabaseConfig::from_url(database.url()).unwrap().owner_url(database.url()).unwrap();
    let builder = Tenancy::builder().database(config.clone());
    let shown = format!("{config:?} {builder:?}");
    let tenancy = builder.install(true).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let db = tenancy.db(&acme).unwrap();
    let checkout = db.acquire().await.unwrap();
    let shown = format!("{shown} {tenancy:?} {db:?} {checkout:?} {:?} {database:?}", tenancy.layer());
    assert!(!shown.contains(&password), "{shown}");

    let wrong = DatabaseConfig::from_url(&database.url().replace(&password, "hunter2-wrong")).unwrap();
    let error = Tenancy::builder().database(wrong).connect().await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}
