//! 2. A missing, dropped or renamed schema is an error: nothing reaches another schema, whichever the driver.

use crate::Error;
use crate::testing::{Driver, Installation, Tables, with_one_connection};

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

async fn check_all_refused(acme: &Tables) {
    assert_code(acme.run("SELECT title FROM note").await, UNDEFINED_TABLE);
    assert_code(acme.run("INSERT INTO note VALUES ('lost')").await, UNDEFINED_TABLE);
    assert_code(acme.run("CREATE TABLE IF NOT EXISTS note (title text)").await, PERMISSION_DENIED);
    // The failed CREATE before it was a touch, so the connection was cleaned, verified, and closed.
    acme.run("CREATE TABLE fresh (title text)").await.expect_err("the schema is gone");
}

#[tokio::test]
async fn a_dropped_schema_is_an_error_on_a_warm_connection() {
    for driver in Driver::ALL {
        let (installation, acme) = warm_tenant_among_decoys(*driver).await;
        installation.run(&format!("DROP SCHEMA {} CASCADE", acme.schema())).await;
        check_all_refused(&acme).await;
    }
}

#[tokio::test]
async fn a_renamed_schema_is_an_error_on_a_warm_connection() {
    for driver in Driver::ALL {
        let (installation, acme) = warm_tenant_among_decoys(*driver).await;
        installation.run(&format!("ALTER SCHEMA {} RENAME TO elsewhere", acme.schema())).await;
        check_all_refused(&acme).await;
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
