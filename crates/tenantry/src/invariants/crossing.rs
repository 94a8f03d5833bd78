//! 3. Nothing crosses tenants on a pooled connection.
//!
//! One connection serves both tenants: what `acme` leaves behind, `globex` looks for.

use sqlx::Executor as _;

use crate::TenantDb;
use crate::testing::{Installation, is_outside_transaction, text, with_one_connection};

async fn two_tenants() -> (Installation, TenantDb, TenantDb) {
    let installation = with_one_connection(&["CREATE TABLE note (id serial, title text)"]).await;
    installation.create("acme").await;
    installation.create("globex").await;
    let (acme, globex) = (installation.db("acme").await, installation.db("globex").await);
    (installation, acme, globex)
}

/// Runs a statement as `acme`, then compares what `globex` sees.
async fn check(leave: &'static str, look: &'static str, expect: &str) {
    let (_installation, acme, globex) = two_tenants().await;
    acme.execute(leave).await.unwrap();
    assert_eq!(text(&globex, look).await, expect, "after: {leave}");
}

#[tokio::test]
async fn what_cleaning_removes_does_not_cost_the_connection() {
    for leave in [
        "SET statement_timeout TO '77s'",
        "CREATE TEMP TABLE scrap (x int)",
        "SELECT pg_advisory_lock(42)",
        "LISTEN gossip",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "CREATE TABLE kept (x int)",
    ] {
        let (installation, acme, _globex) = two_tenants().await;
        let pid = "SELECT pg_backend_pid()::text";
        let before = text(&acme, pid).await;
        acme.execute(leave).await.unwrap();
        assert_eq!(text(&acme, pid).await, before, "after: {leave}");
        let counts = installation.tenancy.status().pools.into_values().next().unwrap().counts;
        assert_eq!((counts.cleaned, counts.doubtful), (1, 0), "after: {leave}");
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
async fn a_prepared_query_that_sets_is_seen_too() {
    let (_installation, acme, globex) = two_tenants().await;
    let leave = sqlx::query("SELECT set_config('app.secret', $1, false)").bind("acme");
    leave.execute(&acme).await.unwrap();
    let look = "SELECT coalesce(current_setting('app.secret', true), '')";
    assert_eq!(text(&globex, look).await, "");
}

#[tokio::test]
async fn a_search_path_does_not_cross() {
    let (_installation, acme, globex) = two_tenants().await;
    acme.execute("SET search_path TO pg_catalog").await.unwrap();
    let schema = globex.tenant().schema().to_string();
    assert_eq!(text(&globex, "SELECT current_schema()::text").await, schema);
    // Nor does it stay with the tenant that did it.
    acme.execute("SET search_path TO pg_catalog").await.unwrap();
    assert_eq!(text(&acme, "SELECT current_schema()::text").await, acme.tenant().schema().to_string());
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
    let (installation, acme, globex) = two_tenants().await;
    installation.run_as_superuser(&format!("GRANT pg_monitor TO {}", user(&installation).await)).await;
    acme.execute("SET ROLE pg_monitor").await.unwrap();
    assert_eq!(text(&globex, "SELECT (current_user = session_user)::text").await, "true");
}

#[tokio::test]
async fn the_last_value_of_a_sequence_does_not_cross() {
    let (_installation, acme, globex) = two_tenants().await;
    sqlx::query("INSERT INTO note (title) VALUES ('x')").execute(&acme).await.unwrap();
    let lastval = sqlx::query("SELECT lastval()").execute(&globex).await;
    crate::testing::assert_code(lastval, "55000");
}

#[tokio::test]
async fn an_open_transaction_does_not_cross() {
    let (installation, acme, globex) = two_tenants().await;
    acme.execute("BEGIN; INSERT INTO note (title) VALUES ('half')").await.unwrap();
    assert!(is_outside_transaction(&globex).await);
    assert_eq!(text(&acme, "SELECT count(*)::text FROM note").await, "0", "and it was rolled back");
    drop(installation);
}

#[tokio::test]
async fn a_dropped_transaction_does_not_cross() {
    let (_installation, acme, globex) = two_tenants().await;
    let mut tx = acme.begin().await.unwrap();
    sqlx::query("INSERT INTO note (title) VALUES ('half')").execute(&mut *tx).await.unwrap();
    drop(tx);
    assert!(is_outside_transaction(&globex).await);
    assert_eq!(text(&acme, "SELECT count(*)::text FROM note").await, "0");
}

#[tokio::test]
async fn what_was_left_on_a_lent_connection_does_not_cross() {
    let (_installation, acme, globex) = two_tenants().await;
    let mut checkout = acme.acquire().await.unwrap();
    let lent = checkout.as_pg_connection().unwrap();
    lent.execute("SET statement_timeout TO '77s'").await.unwrap();
    drop(checkout);
    assert_eq!(text(&globex, "SELECT current_setting('statement_timeout')").await, "0");
}

#[tokio::test]
async fn a_rollback_to_a_savepoint_does_not_move_a_connection() {
    let (_installation, acme, globex) = two_tenants().await;
    let mut tx = acme.begin().await.unwrap();
    tx.execute("SAVEPOINT s").await.unwrap();
    tx.execute("SELECT * FROM nowhere").await.unwrap_err();
    tx.execute("ROLLBACK TO s").await.unwrap();
    let inside: String =
        sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(inside, acme.tenant().schema().as_str());
    tx.commit().await.unwrap();
    let schema = "SELECT current_schema()::text";
    assert_eq!(text(&globex, schema).await, globex.tenant().schema().as_str());
    assert_eq!(text(&acme, schema).await, acme.tenant().schema().as_str());
}

#[tokio::test]
async fn a_settings_preprocessor_leaves_nothing_for_the_next_target() {
    use crate::pool::{Lookup, Preprocessor, SessionSettings};

    struct Actor;
    impl Preprocessor for Actor {
        fn name(&self) -> &'static str {
            "actor"
        }

        fn prepare(&self, lookup: &Lookup, session: &mut SessionSettings) -> crate::Result<()> {
            match lookup.tenant() {
                Some(tenant) => session.set("app.actor", tenant.slug().as_str()),
                None => Ok(()),
            }
        }
    }

    let database = tenantry_embedded::ScratchDatabase::create().await.unwrap();
    let pool = crate::PoolConfig { max_connections: 1, ..crate::PoolConfig::default() };
    let tenancy = crate::testing::builder(&database, &[], pool).preprocessor(Actor).connect().await.unwrap();
    let acme = tenancy.create(crate::NewTenant::new("acme")).await.unwrap();
    let look = "SELECT coalesce(current_setting('app.actor', true), '')";
    assert_eq!(text(&tenancy.db(&acme).unwrap(), look).await, "acme");
    let on_master: String = sqlx::query_scalar(look).fetch_one(&tenancy.master()).await.unwrap();
    assert_eq!(on_master, "");
}
