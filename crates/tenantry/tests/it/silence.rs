//! A server of which nothing is heard any more, and servers that take no writes.

use std::time::{Duration, Instant};

use tenantry::{DatabaseConfig, Error, ErrorKind, NewTenant, PoolConfig, Tenancy};
use tenantry_embedded::ScratchServer;

use crate::proxy::Proxy;
use crate::support::{Client, database, eventually, tenant_files};

const NOTES: &str = "CREATE TABLE note (id int)";

/// Time of a checkout, of which a switch may take half.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(6);

fn pool() -> PoolConfig {
    PoolConfig {
        acquire_timeout: ACQUIRE_TIMEOUT,
        max_connections: 8,
        reserve: Some(0),
        ..PoolConfig::default()
    }
}

async fn tenancy(url: &str, pool: PoolConfig) -> Tenancy {
    let config = DatabaseConfig::from_url(url).unwrap().pool(pool);
    let builder = Tenancy::builder().database(config).migrations(tenant_files(&[NOTES])).install(true);
    let tenancy = builder.connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy
}

/// A way to run a statement of a tenant's.
#[derive(Clone, Copy, Debug)]
enum Driver {
    Sqlx,
    TokioPostgres,
}

const DRIVERS: &[Driver] =
    if cfg!(feature = "tokio-postgres") { &[Driver::Sqlx, Driver::TokioPostgres] } else { &[Driver::Sqlx] };

async fn run(tenancy: &Tenancy, driver: Driver, sql: &'static str) -> tenantry::Result<()> {
    let acme = tenancy.tenant("acme").await?;
    match driver {
        Driver::Sqlx => Ok(sqlx::query(sql).execute(&tenancy.db(&acme)?).await.map(drop)?),
        #[cfg(feature = "tokio-postgres")]
        Driver::TokioPostgres => tenancy.client(&acme)?.execute(sql, &[]).await.map(drop),
        #[cfg(not(feature = "tokio-postgres"))]
        Driver::TokioPostgres => unreachable!("not without the feature"),
    }
}

/// Tries all drivers at once, because each waits most of the time.
async fn with_each_driver(work: impl AsyncFn(Driver)) {
    futures_util::future::join_all(DRIVERS.iter().map(|driver| work(*driver))).await;
}

/// Opens as many connections as there may be, and lets the cache know the tenant.
async fn warm_up(tenancy: &Tenancy, driver: Driver) {
    let runs = (0..8).map(|_| run(tenancy, driver, "SELECT pg_sleep(0.2)"));
    for result in futures_util::future::join_all(runs).await {
        result.unwrap();
    }
    // The listener may hear only now that the tenant was made, and has the cache forget it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    tenancy.tenant("acme").await.unwrap();
}

/// The time that a statement took, which must succeed.
async fn time(tenancy: &Tenancy, driver: Driver) -> Duration {
    let began = Instant::now();
    run(tenancy, driver, "SELECT 1").await.unwrap();
    began.elapsed()
}

/// Waits until the pool has closed the connection that somebody gave up.
async fn given_up_is_noted(tenancy: &Tenancy) {
    eventually("the connection that was given up is closed", async || {
        let status = tenancy.status();
        let doubtful = |pools: std::collections::BTreeMap<_, tenantry::pool::PoolStatus>| {
            pools.into_values().map(|pool| pool.counts.doubtful).sum::<u64>()
        };
        #[cfg(feature = "tokio-postgres")]
        if doubtful(status.client_pools) > 0 {
            return true;
        }
        doubtful(status.pools) > 0
    })
    .await;
}

/// One wait for each of the other connections would be more than all of these may take.
async fn check_no_more_waits(tenancy: &Tenancy, driver: Driver) {
    let mut all = Duration::ZERO;
    for _ in 0..8 {
        all += time(tenancy, driver).await;
    }
    assert!(all < ACQUIRE_TIMEOUT / 2, "{driver:?} {all:?}");
}

#[tokio::test]
async fn idle_connections_that_fell_silent_cost_one_wait() {
    with_each_driver(async |driver| {
        let database = database().await;
        let proxy = Proxy::to(database.url()).await;
        let pool = PoolConfig { check_after_idle: Duration::ZERO, ..pool() };
        let tenancy = tenancy(&proxy.url(database.url()), pool).await;
        warm_up(&tenancy, driver).await;
        proxy.silence_open();
        let first = time(&tenancy, driver).await;
        assert!(first >= ACQUIRE_TIMEOUT / 2 && first < ACQUIRE_TIMEOUT, "{driver:?} {first:?}");
        check_no_more_waits(&tenancy, driver).await;
    })
    .await;
}

#[tokio::test]
async fn a_statement_given_up_on_a_silent_connection_is_a_sign_for_the_others() {
    with_each_driver(async |driver| {
        let database = database().await;
        let proxy = Proxy::to(database.url()).await;
        let tenancy = tenancy(&proxy.url(database.url()), pool()).await;
        warm_up(&tenancy, driver).await;
        proxy.silence_open();
        let given_up = tokio::time::timeout(Duration::from_secs(1), run(&tenancy, driver, "SELECT 1"));
        given_up.await.unwrap_err();
        given_up_is_noted(&tenancy).await;
        assert!(time(&tenancy, driver).await < ACQUIRE_TIMEOUT, "{driver:?}: one bounded wait");
        check_no_more_waits(&tenancy, driver).await;
    })
    .await;
}

#[tokio::test]
async fn callers_with_less_patience_do_not_lose_one_connection_each() {
    let database = database().await;
    let proxy = Proxy::to(database.url()).await;
    let pool = PoolConfig { check_after_idle: Duration::ZERO, ..pool() };
    let tenancy = tenancy(&proxy.url(database.url()), pool).await;
    warm_up(&tenancy, Driver::Sqlx).await;
    proxy.silence_open();
    let mut given_up = 0;
    for _ in 0..8 {
        let patience = Duration::from_millis(1500);
        given_up += u32::from(tokio::time::timeout(patience, time(&tenancy, Driver::Sqlx)).await.is_err());
    }
    assert_eq!(given_up, 1);
}

#[tokio::test]
async fn an_opening_that_hangs_is_said_to_hang() {
    with_each_driver(async |driver| {
        let database = database().await;
        let proxy = Proxy::to(database.url()).await;
        let tenancy = tenancy(&proxy.url(database.url()), pool()).await;
        warm_up(&tenancy, driver).await;
        proxy.silence_open();
        proxy.swallow_new(true);
        // The listener is not the only one that knows the tenant.
        let acme = tenancy.tenant("acme").await.unwrap();
        let silent = tokio::time::timeout(Duration::from_secs(1), run(&tenancy, driver, "SELECT 1"));
        silent.await.unwrap_err();
        given_up_is_noted(&tenancy).await;
        let asking = run(&tenancy, driver, "SELECT 1");
        let looking = async {
            tokio::time::sleep(ACQUIRE_TIMEOUT * 3 / 4).await;
            let status = tenancy.status();
            #[cfg(feature = "tokio-postgres")]
            let pools = if matches!(driver, Driver::Sqlx) { status.pools } else { status.client_pools };
            #[cfg(not(feature = "tokio-postgres"))]
            let pools = status.pools;
            pools[acme.database()].opening
        };
        let (result, opening) = tokio::join!(asking, looking);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), opening), (ErrorKind::DatabaseUnavailable, 1), "{driver:?} {error}");
        let message = error.to_string();
        assert!(
            message.contains("does not answer: a connection could not be opened for tenant `acme`"),
            "{message}"
        );
        assert!(error.is_retryable() && error.hint().is_some());
        proxy.swallow_new(false);
        run(&tenancy, driver, "SELECT 1").await.unwrap();
    })
    .await;
}

/// Asks for a tenant by this URL, and answers with why it is not there.
async fn refusal(url: &str) -> Error {
    Tenancy::builder().database(DatabaseConfig::from_url(url).unwrap()).connect().await.unwrap_err()
}

#[tokio::test]
async fn a_login_that_is_refused_will_be_refused_again() {
    let database = database().await;
    let password = database.url().split([':', '@']).nth(2).unwrap().to_owned();
    let error = refusal(&database.url().replace(&password, "hunter2")).await;
    assert_eq!((error.database_code().as_deref(), error.is_retryable()), (Some("28P01"), false), "{error:?}");
    assert!(error.hint().unwrap().contains("password is wrong"), "{error:?}");

    let place = database.url().rsplit_once('/').unwrap().0;
    let error = refusal(&format!("{place}/nowhere")).await;
    assert_eq!((error.database_code().as_deref(), error.is_retryable()), (Some("3D000"), false), "{error:?}");

    let mut superuser = Client::superuser(&database).await;
    let role = format!("{}_out", database.name());
    superuser.run(&format!("CREATE ROLE {role} NOLOGIN PASSWORD 'x'")).await;
    let (_, host) = database.url().split_once('@').unwrap();
    let error = refusal(&format!("postgres://{role}:x@{host}")).await;
    superuser.run(&format!("DROP ROLE {role}")).await;
    assert_eq!((error.database_code().as_deref(), error.is_retryable()), (Some("28000"), false), "{error:?}");
    assert!(error.hint().unwrap().contains("pg_hba.conf"), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_may_not_write_is_replaced() {
    for driver in DRIVERS {
        let database = database().await;
        let tenancy = tenancy(database.url(), PoolConfig { max_connections: 1, ..pool() }).await;
        let mut owner = Client::owner(&database).await;
        owner
            .run(&format!("ALTER DATABASE {} SET default_transaction_read_only TO on", database.name()))
            .await;
        run(&tenancy, *driver, "SELECT 1").await.unwrap();
        Client::superuser(&database)
            .await
            .run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() \
                  AND pid <> pg_backend_pid() AND query NOT LIKE 'ALTER DATABASE%'")
            .await;
        // Those that were ended are noticed first.
        eventually("a connection that may not write", async || {
            let error = run(&tenancy, *driver, "INSERT INTO note VALUES (1)").await.unwrap_err();
            assert!(error.is_retryable(), "{error:?}");
            error.database_code().as_deref() == Some("25006")
        })
        .await;
        owner.run("SET default_transaction_read_only TO off").await;
        owner.run(&format!("ALTER DATABASE {} RESET default_transaction_read_only", database.name())).await;
        eventually("the connection is replaced by one that may", async || {
            run(&tenancy, *driver, "INSERT INTO note VALUES (1)").await.is_ok()
        })
        .await;
    }
}

/// The old primary goes on as a standby, and new connections lead to the new one.
#[tokio::test]
async fn after_a_failover_no_idle_connection_leads_to_the_standby() {
    let mut old = ScratchServer::start().await.unwrap();
    let new = ScratchServer::start().await.unwrap();
    let [on_old, on_new] = [old.database("app").await.unwrap(), new.database("app").await.unwrap()];
    let shared = |server: &ScratchServer| format!("postgres://shared:shared@127.0.0.1:{}/app", server.port());
    let [at_old, at_new] = [shared(&old), shared(&new)];
    for (database, url) in [(&on_old, &at_old), (&on_new, &at_new)] {
        let role = "CREATE ROLE shared SUPERUSER LOGIN PASSWORD 'shared'";
        Client::superuser(database).await.run(role).await;
        tenancy(url, pool()).await;
    }
    let folder: String = Client::superuser(&on_old).await.value("SHOW data_directory").await;
    old.kill().await;
    std::fs::write(format!("{folder}/standby.signal"), "").unwrap();
    old.start_again().await.unwrap();

    let proxy = Proxy::to(&at_old).await;
    for driver in DRIVERS {
        proxy.lead_to(&at_old);
        let config = DatabaseConfig::from_url(&proxy.url(&at_old)).unwrap().pool(pool());
        let application = Tenancy::builder().database(config).connect().await.unwrap();
        warm_up(&application, *driver).await;
        proxy.lead_to(&at_new);
        // In use meanwhile: it leads to the standby, too, when it comes back.
        let held = run(&application, *driver, "SELECT pg_sleep(1)");
        let write = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            run(&application, *driver, "INSERT INTO note VALUES (1)").await.unwrap_err()
        };
        let (held, error) = tokio::join!(held, write);
        held.unwrap();
        assert_eq!(error.database_code().as_deref(), Some("25006"), "{error:?}");
        // The tenant is another one on that server: what counts is who answers.
        let is_new = async || {
            let answer = run(&application, *driver, "SELECT 1 / (1 - pg_is_in_recovery()::int)").await;
            answer.map_or_else(|error| error.kind() == ErrorKind::MissingSchema, |()| true)
        };
        eventually("a question to the server that was left", is_new).await;
        for _ in 0..8 {
            assert!(is_new().await, "{driver:?}");
        }
    }
    // Neither made here, as far as the doctor can tell.
    let config = DatabaseConfig::from_url(&at_old).unwrap();
    let findings = Tenancy::builder().database(config).doctor().await;
    assert!(findings.iter().any(|finding| finding.what.contains("`url` leads to a standby")), "{findings:?}");
}

/// The registry is one server, and the tenants are on another.
#[tokio::test]
async fn a_registry_that_is_down_does_not_stop_tenants_elsewhere() {
    let mut registry = ScratchServer::start().await.unwrap();
    let home = registry.database("app").await.unwrap();
    let away = database().await;
    let alias = tenantry::tenant::Alias::parse("away").unwrap();
    let config = |url: &str| DatabaseConfig::from_url(url).unwrap().pool(pool());
    let builder =
        Tenancy::builder().database(config(home.url())).database_as(alias.clone(), config(away.url()));
    let tenancy = builder.migrations(tenant_files(&[NOTES])).install(true).connect().await.unwrap();
    tenancy.create(NewTenant::new("acme").database(alias)).await.unwrap();
    eventually("it is found and known", async || {
        let loads = tenancy.status().cache.loads;
        run(&tenancy, Driver::Sqlx, "SELECT 1").await.is_ok() && tenancy.status().cache.loads == loads
    })
    .await;
    registry.kill().await;
    for _ in 0..20 {
        run(&tenancy, Driver::Sqlx, "INSERT INTO note VALUES (1)").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
