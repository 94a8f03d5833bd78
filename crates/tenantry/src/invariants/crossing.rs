//! 3. Nothing crosses tenants on a pooled connection, whichever the driver.
//!
//! One connection serves both tenants: what `acme` leaves behind, `globex` looks for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::Executor as _;
use tenantry_embedded::ScratchServer;

use crate::PoolConfig;
use crate::database::Verify;
use crate::fixture::{Driver, Installation, Tables, installation, with_one_connection};

async fn two_tenants(driver: Driver) -> (Installation, Tables, Tables) {
    let installation = with_one_connection(&["CREATE TABLE note (id serial, title text)"]).await;
    let (acme, globex) = installation.pair(driver).await;
    (installation, acme, globex)
}

/// Runs a statement as `acme`, by itself and in a transaction, then compares what `globex` sees.
async fn check(leave: &str, look: &str, expect: &str) {
    for driver in Driver::ALL {
        let (_installation, acme, globex) = two_tenants(*driver).await;
        check_crossing(&acme, &globex, leave, look, expect).await;
    }
}

async fn check_crossing(acme: &Tables, globex: &Tables, leave: &str, look: &str, expect: &str) {
    acme.run(leave).await.unwrap();
    assert_eq!(globex.text(look).await, expect, "after: {leave}");
    let mut tx = acme.begin().await.unwrap();
    tx.run(leave).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(globex.text(look).await, expect, "after a transaction with: {leave}");
}

#[tokio::test]
async fn what_cleaning_removes_does_not_cost_the_connection() {
    for driver in Driver::ALL {
        for leave in [
            "SET statement_timeout TO '77s'",
            "CREATE TEMP TABLE scrap (x int)",
            "SELECT pg_advisory_lock(42)",
            "LISTEN gossip",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "CREATE TABLE kept (x int)",
            "PREPARE p AS SELECT 1",
            "SELECT setseed(0.5)",
            "UPDATE pg_settings SET setting = '77000' WHERE name = 'statement_timeout'",
        ] {
            let (installation, acme, _globex) = two_tenants(*driver).await;
            let pid = "SELECT pg_backend_pid()::text";
            let before = acme.text(pid).await;
            let start = installation.counts(*driver);
            acme.run(leave).await.unwrap();
            assert_eq!(acme.text(pid).await, before, "{driver:?}, after: {leave}");
            let counts = installation.counts(*driver);
            assert_eq!((counts.cleaned - start.cleaned, counts.doubtful), (1, 0));
        }
    }
}

#[tokio::test]
async fn a_setting_does_not_cross() {
    check("SET statement_timeout TO '77s'", "SELECT current_setting('statement_timeout')", "0").await;
}

#[tokio::test]
async fn a_setting_made_by_a_function_does_not_cross() {
    let leave = "SELECT set_config('app.secret', 'acme', false)";
    check(leave, "SELECT coalesce(current_setting('app.secret', true), '')", "").await;
}

#[tokio::test]
async fn a_search_path_does_not_cross() {
    for driver in Driver::ALL {
        let (_installation, acme, globex) = two_tenants(*driver).await;
        for after in [&globex, &acme] {
            acme.run("SET search_path TO pg_catalog").await.unwrap();
            assert_eq!(after.text("SELECT current_schema()::text").await, after.schema());
        }
    }
}

#[tokio::test]
async fn what_is_written_to_the_settings_does_not_cross() {
    let look = "SELECT current_setting('statement_timeout')";
    for leave in [
        "UPDATE pg_settings SET setting = '77000' WHERE name = 'statement_timeout'",
        "update only \"pg_catalog\" . /**/ PG_SETTINGS AS s SET setting = '77000' -- a comment
            FROM (VALUES ('statement_timeout')) AS given (name) WHERE s.name = given.name",
    ] {
        check(leave, look, "0").await;
    }
    for driver in Driver::ALL {
        let (_installation, acme, globex) = two_tenants(*driver).await;
        let leave =
            format!("UPDATE pg_settings SET setting = '{}' WHERE name = 'search_path'", globex.schema());
        acme.run(&leave).await.unwrap();
        acme.run("INSERT INTO note (title) VALUES ('of acme')").await.unwrap();
        assert_eq!(globex.text("SELECT count(*)::text FROM note").await, "0", "{driver:?}");
        assert_eq!(acme.text("SELECT count(*)::text FROM note").await, "1", "{driver:?}");
    }
}

#[tokio::test]
async fn what_a_function_sets_that_runs_a_text_does_not_cross() {
    let look = "SELECT coalesce(current_setting('app.secret', true), '')";
    for leave in [
        "SELECT query_to_xml('SELECT set_' || 'config(''app.secret'', ''acme'', false)', true, false, '')::text",
        "SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, set_'
            || 'config(''app.secret'', ''acme'', false)::tsquery')::text",
        "SELECT word FROM ts_stat('SELECT to_tsvector(set_' || 'config(''app.secret'', ''acme'', false))')",
    ] {
        check(leave, look, "").await;
    }
}

#[tokio::test]
async fn a_seed_does_not_cross() {
    let look = "SELECT random()::text";
    for driver in Driver::ALL {
        let (installation, acme, globex) = two_tenants(*driver).await;
        let mut outside = installation.outside().await;
        outside.execute("SELECT setseed(0.5)").await.unwrap();
        let foretold: String = sqlx::query_scalar(look).fetch_one(&mut outside).await.unwrap();
        acme.run("SELECT setseed(0.5)").await.unwrap();
        assert_ne!(globex.text(look).await, foretold, "{driver:?}");
    }
}

/// An installation with an extension, whose functions all roles may use.
async fn with_extension(driver: Driver, verify: Verify, extension: &str) -> (Installation, Tables, Tables) {
    let pool = PoolConfig { max_connections: 1, verify, ..PoolConfig::default() };
    let sql = "CREATE FUNCTION unseen(sql text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE sql; END'";
    let installation = installation(&[sql], pool).await;
    let create = format!("CREATE EXTENSION {extension} SCHEMA extensions");
    installation.run_as_superuser(&create).await;
    let (acme, globex) = installation.pair(driver).await;
    (installation, acme, globex)
}

#[tokio::test]
async fn a_connection_of_dblink_does_not_cross() {
    let named = "SELECT coalesce(array_length(dblink_get_connections(), 1), 0)::text";
    let unnamed = "SELECT dblink_exec('ROLLBACK')";
    for driver in Driver::ALL {
        for verify in [Verify::Switch, Verify::Always] {
            let (installation, acme, globex) = with_extension(*driver, verify, "dblink").await;
            let url = installation.database.url();
            let connect = format!("SELECT dblink_connect('{url}'), dblink_connect('of acme', '{url}')");
            let hidden = format!("DO $$ BEGIN PERFORM unseen($q$ {connect} $q$); END $$");
            let unseen = format!("SELECT unseen($q$ {connect} $q$)");
            // Its words tell nothing.
            let unseen = Some(unseen).filter(|_| verify == Verify::Always);
            for leave in [Some(connect), Some(hidden), unseen].into_iter().flatten() {
                check_crossing(&acme, &globex, &leave, named, "0").await;
                let missing = globex.run(unnamed).await.unwrap_err();
                assert_eq!(missing.database_code().as_deref(), Some("08003"), "{driver:?}: {leave}");
            }
        }
    }
}

#[tokio::test]
async fn what_other_extensions_hold_does_not_cross() {
    for driver in Driver::ALL {
        let (_installation, acme, globex) = with_extension(*driver, Verify::Switch, "isn").await;
        check_crossing(&acme, &globex, "SELECT isn_weak(true)", "SELECT isn_weak()::text", "false").await;

        let (installation, acme, globex) = with_extension(*driver, Verify::Switch, "postgres_fdw").await;
        let url: sqlx::postgres::PgConnectOptions = installation.database.url().parse().unwrap();
        let password = installation.database.url().split([':', '@']).nth(2).unwrap();
        let remote = format!(
            "CREATE SERVER remote FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{}', port '{}', dbname '{}');
             GRANT USAGE ON FOREIGN SERVER remote TO PUBLIC;
             CREATE USER MAPPING FOR PUBLIC SERVER remote OPTIONS (user '{}', password '{password}');
             CREATE FOREIGN TABLE extensions.settings (name text, setting text)
                SERVER remote OPTIONS (schema_name 'pg_catalog', table_name 'pg_settings');
             GRANT SELECT, UPDATE ON extensions.settings TO PUBLIC",
            url.get_host(),
            url.get_port(),
            url.get_database().unwrap(),
            url.get_username(),
        );
        installation.run_as_superuser(&remote).await;
        let leave =
            "DO $$ BEGIN UPDATE settings SET setting = 'of acme' WHERE name = 'application_name'; END $$";
        let look = "SELECT count(*)::text FROM postgres_fdw_get_connections()";
        check_crossing(&acme, &globex, leave, look, "0").await;
    }
}

#[tokio::test]
async fn what_replication_holds_does_not_cross() {
    // Slots take a server that writes a log for replication.
    let server = ScratchServer::start().await.unwrap();
    for (number, driver) in Driver::ALL.iter().enumerate() {
        let database = Arc::new(server.database(&format!("replication_{number}")).await.unwrap());
        let pool = PoolConfig { max_connections: 1, ..PoolConfig::default() };
        let tenancy = crate::fixture::builder(&database, &[], pool).connect().await.unwrap();
        let installation = Installation { tenancy, database };
        let user = user(&installation).await;
        let allow = format!(
            "ALTER ROLE {user} REPLICATION; GRANT EXECUTE ON FUNCTION pg_replication_origin_session_setup,
                pg_replication_origin_session_is_setup, pg_replication_origin_session_reset TO {user};
             SELECT pg_replication_origin_create('elsewhere_{number}')"
        );
        installation.run_as_superuser(&allow).await;
        let acme = crate::fixture::tables(&installation.tenancy, *driver, &installation.create("acme").await);
        let globex =
            crate::fixture::tables(&installation.tenancy, *driver, &installation.create("globex").await);

        let origin = format!("SELECT pg_replication_origin_session_setup('elsewhere_{number}')");
        let look = "SELECT pg_replication_origin_session_is_setup()::text";
        check_crossing(&acme, &globex, &origin, look, "false").await;

        let slot = "SELECT pg_create_physical_replication_slot('of_acme', true, true)::text";
        let look = "SELECT count(*)::text FROM pg_replication_slots WHERE active_pid = pg_backend_pid()";
        check_crossing(&acme, &globex, slot, look, "0").await;
    }
}

#[tokio::test]
async fn a_temporary_table_does_not_cross() {
    let look = "SELECT count(*)::text FROM pg_class WHERE relname = 'scrap' AND relpersistence = 't'";
    check("CREATE TEMP TABLE scrap (x int)", look, "0").await;
    check("SELECT 1 AS x INTO TEMPORARY scrap", look, "0").await;
}

#[tokio::test]
async fn an_advisory_lock_does_not_cross() {
    let look = "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    check("SELECT pg_advisory_lock(42)", look, "0").await;
}

#[tokio::test]
async fn a_listen_does_not_cross() {
    check("LISTEN gossip", "SELECT count(*)::text FROM pg_listening_channels()", "0").await;
}

#[tokio::test]
async fn a_cursor_does_not_cross() {
    let leave = "DECLARE c CURSOR WITH HOLD FOR SELECT 1";
    check(leave, "SELECT count(*)::text FROM pg_cursors WHERE name = 'c'", "0").await;
}

#[tokio::test]
async fn a_statement_prepared_by_sql_does_not_cross() {
    check("PREPARE p AS SELECT 1", "SELECT count(*)::text FROM pg_prepared_statements WHERE from_sql", "0")
        .await;
}

async fn user(installation: &Installation) -> String {
    let mut outside = installation.outside().await;
    sqlx::query_scalar("SELECT quote_ident(current_user)").fetch_one(&mut outside).await.unwrap()
}

#[tokio::test]
async fn a_role_does_not_cross() {
    for driver in Driver::ALL {
        let (installation, acme, globex) = two_tenants(*driver).await;
        installation.run_as_superuser(&format!("GRANT pg_monitor TO {}", user(&installation).await)).await;
        acme.run("SET ROLE pg_monitor").await.unwrap();
        assert_eq!(globex.text("SELECT (current_user = session_user)::text").await, "true");
    }
}

#[tokio::test]
async fn the_last_value_of_a_sequence_does_not_cross() {
    for driver in Driver::ALL {
        let (_installation, acme, globex) = two_tenants(*driver).await;
        acme.run("INSERT INTO note (title) VALUES ('x')").await.unwrap();
        let lastval = globex.run("SELECT lastval()").await.unwrap_err();
        assert_eq!(lastval.database_code().as_deref(), Some("55000"), "{driver:?}");
    }
}

#[tokio::test]
async fn an_open_transaction_does_not_cross() {
    for driver in Driver::ALL {
        let (_installation, acme, globex) = two_tenants(*driver).await;
        acme.run_all("BEGIN; INSERT INTO note (title) VALUES ('half')").await.unwrap();
        assert!(globex.is_outside_transaction().await);
        assert_eq!(acme.text("SELECT count(*)::text FROM note").await, "0", "and it was rolled back");
    }
}

#[tokio::test]
async fn a_dropped_transaction_does_not_cross() {
    for driver in Driver::ALL {
        let (_installation, acme, globex) = two_tenants(*driver).await;
        let mut tx = acme.begin().await.unwrap();
        tx.run("INSERT INTO note (title) VALUES ('half')").await.unwrap();
        drop(tx);
        assert!(globex.is_outside_transaction().await);
        assert_eq!(acme.text("SELECT count(*)::text FROM note").await, "0");
    }
}

/// One connection, and as long to roll back on it as it takes.
async fn two_patient_tenants(driver: Driver) -> (Installation, Tables, Tables) {
    let pool =
        PoolConfig { max_connections: 1, drain_timeout: Duration::from_secs(5), ..PoolConfig::default() };
    let installation = installation(&["CREATE TABLE note (id serial, title text)"], pool).await;
    let (acme, globex) = installation.pair(driver).await;
    (installation, acme, globex)
}

#[tokio::test]
async fn a_dropped_transaction_costs_no_connection() {
    let backend = "SELECT pg_backend_pid()::text";
    for driver in Driver::ALL {
        let (installation, acme, globex) = two_patient_tenants(*driver).await;
        let before = acme.text(backend).await;
        let start = installation.counts(*driver);
        let statements = [
            "INSERT INTO note (title) VALUES ('half')",
            "SET statement_timeout TO '77s'",
            "SAVEPOINT s",
            "SELECT * FROM nowhere",
        ];
        for (number, last) in statements.iter().enumerate() {
            let mut tx = acme.begin().await.unwrap();
            tx.run(statements[0]).await.unwrap();
            assert_eq!(tx.run(last).await.is_err(), number == 3, "{last}");
            drop(tx);
            assert!(globex.is_outside_transaction().await, "{driver:?}, after: {last}");
            assert_eq!(acme.text("SELECT count(*)::text FROM note").await, "0", "{driver:?}");
            assert_eq!(acme.text("SHOW statement_timeout").await, "0", "{driver:?}");
            assert_eq!(acme.text(backend).await, before, "{driver:?}, after: {last}");
        }
        let counts = installation.counts(*driver);
        assert_eq!((counts.rolled_back - start.rolled_back, counts.doubtful), (4, 0), "{driver:?}");
    }
}

#[tokio::test]
async fn a_transaction_dropped_in_a_statement_costs_no_connection() {
    let backend = "SELECT pg_backend_pid()::text";
    for driver in Driver::ALL {
        let (installation, acme, globex) = two_patient_tenants(*driver).await;
        let before = acme.text(backend).await;
        for statement in ["SELECT pg_sleep(0.05)", "SELECT 1 / (pg_sleep(0.05)::text = 'x')::int"] {
            // Prepared first: what is cut off while it is prepared closes the connection.
            let _ = acme.run(statement).await;
            let mut tx = acme.begin().await.unwrap();
            tx.run("INSERT INTO note (title) VALUES ('half')").await.unwrap();
            assert!(Box::pin(tx.run(statement)).now_or_never().is_none(), "it sleeps for longer than that");
            drop(tx);
            assert!(globex.is_outside_transaction().await, "{driver:?}, in: {statement}");
            assert_eq!(acme.text("SELECT count(*)::text FROM note").await, "0", "{driver:?}");
            assert_eq!(acme.text(backend).await, before, "{driver:?}, in: {statement}");
        }
        assert_eq!(installation.counts(*driver).doubtful, 0, "{driver:?}");
    }
}

#[tokio::test]
async fn a_dropped_transaction_whose_schema_is_gone_closes_its_connection() {
    for driver in Driver::ALL {
        let (installation, acme, _globex) = two_patient_tenants(*driver).await;
        // Often enough to be warm, whatever it takes.
        for _ in 0..3 {
            acme.run("SELECT 1").await.unwrap();
        }
        let mut tx = acme.begin().await.unwrap();
        tx.run("SELECT 1").await.unwrap();
        installation.run(&format!("DROP SCHEMA {} CASCADE", acme.schema())).await;
        drop(tx);
        let error = acme.run("SELECT 1").await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::MissingSchema, "{driver:?}: {error}");
        assert_eq!(installation.counts(*driver).rolled_back, 0, "{driver:?}");
    }
}

#[tokio::test]
async fn what_was_left_on_a_lent_connection_does_not_cross() {
    let (installation, _, globex) = two_tenants(Driver::Sqlx).await;
    let mut checkout = installation.db("acme").await.acquire().await.unwrap();
    let lent = checkout.as_pg_connection().unwrap();
    lent.execute("SET statement_timeout TO '77s'").await.unwrap();
    drop(checkout);
    assert_eq!(globex.text("SELECT current_setting('statement_timeout')").await, "0");
}

#[tokio::test]
async fn a_rollback_to_a_savepoint_does_not_move_a_connection() {
    for driver in Driver::ALL {
        let (_installation, acme, globex) = two_tenants(*driver).await;
        let schema = "SELECT current_schema()::text";
        let mut tx = acme.begin().await.unwrap();
        tx.run("SAVEPOINT s").await.unwrap();
        tx.run("SELECT * FROM nowhere").await.unwrap_err();
        tx.run("ROLLBACK TO s").await.unwrap();
        assert_eq!(tx.text(schema).await, acme.schema());
        tx.commit().await.unwrap();
        assert_eq!(globex.text(schema).await, globex.schema());
        assert_eq!(acme.text(schema).await, acme.schema());
    }
}

#[tokio::test]
async fn a_settings_preprocessor_leaves_nothing_for_the_next_target() {
    use crate::pool::{CheckoutRequest, Preprocessor, SessionSettings};

    struct Actor;
    impl Preprocessor for Actor {
        fn name(&self) -> &'static str {
            "actor"
        }

        fn prepare(&self, request: &CheckoutRequest, session: &mut SessionSettings) -> crate::Result<()> {
            match request.tenant() {
                Some(tenant) => session.set("app.actor", tenant.slug().as_str()),
                None => Ok(()),
            }
        }
    }

    for driver in Driver::ALL {
        let database = tenantry_embedded::ScratchDatabase::create().await.unwrap();
        let pool = PoolConfig { max_connections: 1, ..PoolConfig::default() };
        let builder = crate::fixture::builder(&database, &[], pool).preprocessor(Actor);
        let tenancy = builder.connect().await.unwrap();
        let acme = tenancy.create(crate::NewTenant::new("acme")).await.unwrap();
        let look = "SELECT coalesce(current_setting('app.actor', true), '')";
        assert_eq!(crate::fixture::tables(&tenancy, *driver, &acme).text(look).await, "acme");
        assert_eq!(super::master_text(&tenancy, *driver, look).await, "");
    }
}
