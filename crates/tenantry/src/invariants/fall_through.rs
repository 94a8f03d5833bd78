//! 2. A missing, dropped or renamed schema is an error: nothing reaches another schema, whichever the driver.

use crate::fixture::{Driver, Installation, Tables, with_one_connection};
use crate::{Error, ErrorKind};

const UNDEFINED_TABLE: &str = "42P01";
const PERMISSION_DENIED: &str = "42501";

/// A tenant with a warm connection, and tables of the same name wherever they could be hit.
async fn warm_tenant_among_decoys(driver: Driver) -> (Installation, Tables) {
    let installation = with_one_connection(&["CREATE TABLE note (title text)"]).await;
    installation.create("acme").await;
    installation.create("globex").await;
    // What stands in an extension schema is visible by design.
    installation.run("CREATE TABLE public.note (title text); INSERT INTO public.note VALUES ('decoy')").await;
    let acme = installation.tables(driver, "acme").await;
    // Often enough to be warm, whatever it takes.
    for _ in 0..3 {
        assert_eq!(acme.text("SELECT count(*)::text FROM note").await, "0");
    }
    (installation, acme)
}

#[track_caller]
fn assert_code(result: Result<(), Error>, expect: &str) {
    let error = result.expect_err("PostgreSQL refuses this");
    assert_eq!(error.database_code().as_deref(), Some(expect), "{error}");
}

/// Statements that would reach another schema if they could, and PostgreSQL's answers.
const STATEMENTS: [(&str, &str); 3] = [
    ("SELECT title FROM note", UNDEFINED_TABLE),
    ("INSERT INTO note VALUES ('lost')", UNDEFINED_TABLE),
    ("CREATE TABLE IF NOT EXISTS note (title text)", PERMISSION_DENIED),
];

/// Each statement is the first one after the change, on a connection that is still warm.
async fn check_all_refused(change: &str) {
    for driver in Driver::ALL {
        for (sql, code) in STATEMENTS {
            let (installation, acme) = warm_tenant_among_decoys(*driver).await;
            installation.run(&change.replace("{}", &acme.schema())).await;
            let mut tx = acme.begin().await.unwrap();
            assert_code(tx.run(sql).await, code);
            tx.rollback().await.unwrap();
            // Outside of a transaction somebody can ask for the reason, and it is the reason that is told.
            let error = acme.run(sql).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MissingSchema, "{driver:?}, {sql}: {error}");
            let error = acme.run("SELECT 1").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MissingSchema, "warm no longer: {driver:?}, {sql}: {error}");
        }
    }
}

#[tokio::test]
async fn a_dropped_schema_is_an_error_on_a_warm_connection() {
    check_all_refused("DROP SCHEMA {} CASCADE").await;
}

#[tokio::test]
async fn a_renamed_schema_is_an_error_on_a_warm_connection() {
    check_all_refused("ALTER SCHEMA {} RENAME TO elsewhere").await;
}

#[tokio::test]
async fn a_missing_table_in_a_schema_that_is_there_is_what_it_was() {
    for driver in Driver::ALL {
        let (installation, acme) = warm_tenant_among_decoys(*driver).await;
        let before = acme.text("SELECT pg_backend_pid()::text").await;
        let error = acme.run("SELECT * FROM nowhere").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Database, "{driver:?}: {error}");
        assert_code(Err(error), UNDEFINED_TABLE);
        let switched = installation.counts(*driver).switched;
        assert_eq!(acme.text("SELECT pg_backend_pid()::text").await, before, "{driver:?}");
        assert_eq!(installation.counts(*driver).switched, switched, "{driver:?}: still warm");
    }
}

#[tokio::test]
async fn tenants_do_not_see_the_master_schema() {
    for driver in Driver::ALL {
        let (installation, acme) = warm_tenant_among_decoys(*driver).await;
        installation.run("CREATE TABLE public.plan (name text)").await;
        assert_code(acme.run("SELECT * FROM plan").await, UNDEFINED_TABLE);
        assert_eq!(
            super::master_text(&installation.tenancy, *driver, "SHOW search_path").await,
            "public, tenantry_void, extensions, pg_temp"
        );
        let count = "SELECT count(*)::text FROM plan";
        assert_eq!(super::master_text(&installation.tenancy, *driver, count).await, "0");
    }
}
