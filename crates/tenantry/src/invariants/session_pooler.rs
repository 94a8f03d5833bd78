//! 2 and 3 behind a pooler in session mode, which refuses most start-up parameters, or drops them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use tenantry_embedded::{ScratchDatabase, ScratchPooler};

use crate::fixture::{Driver, Installation, builder_at, migrations};
use crate::{DatabaseConfig, ErrorKind, NewTenant, PoolConfig, Tenancy};

/// Values of `ignore_startup_parameters`: that of PgBouncer itself, and what makes other programs work.
const IGNORED: [&[&str]; 2] = [&[], &["extra_float_digits", "options"]];

const SETTINGS: &str = "SELECT concat_ws(' ', current_setting('TimeZone'), current_setting('DateStyle'), \
    current_setting('client_connection_check_interval'), current_setting('application_name'), \
    current_setting('standard_conforming_strings'))";
const OURS: &str = "UTC ISO, MDY 700ms tenantry on";

const END_ALL: &str = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

fn pool() -> PoolConfig {
    PoolConfig {
        max_connections: 1,
        client_connection_check_interval: Duration::from_millis(700),
        ..PoolConfig::default()
    }
}

/// An installation behind a pooler, in a database whose own defaults are all different.
async fn behind(ignored: &[&str]) -> (Installation, ScratchPooler) {
    let database = Arc::new(ScratchDatabase::create().await.unwrap());
    let pooler = ScratchPooler::start_in_session_mode(&[database.url()], ignored).await.unwrap();
    let tenant_sql = &["CREATE TABLE note (title text)"];
    let tenancy = builder_at(&pooler.url(database.url()), tenant_sql, pool()).connect().await.unwrap();
    let installation = Installation { tenancy, database };
    installation.run("CREATE TABLE note (title text); INSERT INTO note VALUES ('of the master')").await;
    installation.create("acme").await;
    (installation, pooler)
}

/// Lets sessions begin with other settings from now on.
async fn change_defaults(installation: &Installation) {
    for setting in
        ["timezone TO 'Asia/Tokyo'", "datestyle TO 'SQL, DMY'", "standard_conforming_strings TO off"]
    {
        let name = installation.database.name();
        installation.run(&format!("ALTER DATABASE {name} SET {setting}")).await;
    }
    installation.run_as_superuser(END_ALL).await;
}

#[tokio::test]
async fn what_every_session_begins_with_outlasts_cleaning() {
    for ignored in IGNORED {
        let (first, pooler) = behind(ignored).await;
        change_defaults(&first).await;
        for driver in Driver::ALL {
            let url = pooler.url(first.database.url());
            let tenancy = builder_at(&url, &[], pool()).connect().await.unwrap();
            let installation = Installation { tenancy, database: Arc::clone(&first.database) };
            let acme = installation.tables(*driver, "acme").await;
            assert_eq!(acme.text(SETTINGS).await, OURS, "{driver:?} {ignored:?}");
            acme.run("SET timezone TO 'Europe/Berlin'").await.unwrap();
            assert_eq!(acme.text(SETTINGS).await, OURS, "{driver:?} {ignored:?}, cleaned");
            assert_eq!(installation.counts(*driver).cleaned, 1);
        }
    }
}

#[tokio::test]
async fn no_reset_leads_to_tables_of_somebody_else() {
    for ignored in IGNORED {
        let (installation, _pooler) = behind(ignored).await;
        for driver in Driver::ALL {
            let acme = installation.tables(*driver, "acme").await;
            let count = "SELECT count(*)::text FROM note";
            assert_eq!(acme.text(count).await, "0");
            for reset in ["RESET ALL", "SET search_path TO DEFAULT", "DO 'BEGIN RESET search_path; END'"] {
                let sql = format!("{reset}; INSERT INTO note VALUES ('lost')");
                let error = acme.run_all(&sql).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{reset}: {error}");
                let hint = error.hint().unwrap();
                assert!(hint.contains("ALTER ROLE"), "{hint}");
            }
            assert_eq!(acme.text(count).await, "0");
        }
        let look = "SELECT count(*)::text FROM public.note";
        assert_eq!(installation.tables(Driver::Sqlx, "acme").await.text(look).await, "1");
    }
}

#[tokio::test]
async fn a_role_that_begins_in_the_void_may_reset_its_session() {
    let (first, pooler) = behind(&[]).await;
    let role = first.database.url().split(['/', ':']).nth(3).unwrap().to_owned();
    let name = first.database.name();
    first.run(&format!("ALTER ROLE {role} IN DATABASE {name} SET search_path TO tenantry_void")).await;
    // The pooler keeps sessions that have begun before.
    first.run_as_superuser(END_ALL).await;
    let url = pooler.url(first.database.url());
    let tenancy = builder_at(&url, &[], pool()).connect().await.unwrap();
    let installation = Installation { tenancy, database: Arc::clone(&first.database) };
    let acme = installation.tables(Driver::Sqlx, "acme").await;
    let error = acme.run_all("RESET ALL; SELECT title FROM note").await.unwrap_err();
    assert_eq!(error.database_code().as_deref(), Some("42P01"), "{error}");
}

#[tokio::test]
async fn without_a_pooler_a_reset_leads_to_the_void() {
    let installation = crate::fixture::with_one_connection(&["CREATE TABLE note (title text)"]).await;
    installation.run("CREATE TABLE note (title text); INSERT INTO note VALUES ('of the master')").await;
    installation.create("acme").await;
    for driver in Driver::ALL {
        let acme = installation.tables(*driver, "acme").await;
        let error = acme.run_all("RESET ALL; SELECT title FROM note").await.unwrap_err();
        assert_eq!(error.database_code().as_deref(), Some("42P01"), "{error}");
        assert_eq!(acme.text("SELECT count(*)::text FROM note").await, "0");
    }
}

#[tokio::test]
async fn a_stock_pool_works_and_its_sessions_begin_alike() {
    let (installation, _pooler) = behind(&[]).await;
    let acme = installation.tenancy.tenant("acme").await.unwrap();
    let stock =
        installation.tenancy.stock_pool(acme.database(), PgPoolOptions::new().max_connections(1)).unwrap();
    for change in ["RESET ALL", "SET timezone TO 'Europe/Berlin'"] {
        let work = async {
            assert_eq!(sqlx::query_scalar::<_, String>(SETTINGS).fetch_one(&stock).await.unwrap(), OURS);
            sqlx::raw_sql(change).execute(&stock).await.unwrap();
            let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM note").fetch_one(&stock).await;
            assert_eq!(count.unwrap(), 0, "{change}");
        };
        installation.tenancy.scope(&acme, work).await;
    }
}

/// Everything else that connects: the owner with another login, migrations, the listener.
#[tokio::test]
async fn all_ways_may_pass_a_pooler() {
    let database = ScratchDatabase::create().await.unwrap();
    let urls = [database.url(), database.superuser_url()];
    let pooler = ScratchPooler::start_in_session_mode(&urls, &[]).await.unwrap();
    let [application, owner] = urls.map(|url| pooler.url(url));
    let config = DatabaseConfig::from_url(&application).unwrap().owner_url(&owner).unwrap();
    let config = config.direct_url(&application).unwrap().pool(pool());
    let files = migrations(&["CREATE TABLE note (title text)", "ALTER TABLE note ADD COLUMN id int"]);
    let tenancy =
        Tenancy::builder().database(config).migrations(files).install(true).connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    assert_eq!(tenancy.tenant("acme").await.unwrap().name(), "acme");
    // Another process changes it, and only the listener can hear of that.
    let changes = "UPDATE tenantry.tenant SET settings = '{\"name\": \"New\"}'";
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let other = Installation { tenancy: tenancy.clone(), database: Arc::new(database) };
    while tenancy.tenant("acme").await.unwrap().name() != "New" {
        other.run_as_superuser(changes).await;
        assert!(std::time::Instant::now() < deadline, "nobody listens");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
