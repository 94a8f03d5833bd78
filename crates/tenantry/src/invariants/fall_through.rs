//! 2. A missing, dropped or renamed schema is an error: nothing reaches another schema.

use sqlx::Executor as _;

use crate::testing::{Installation, assert_code, text, with_one_connection};

const UNDEFINED_TABLE: &str = "42P01";
const PERMISSION_DENIED: &str = "42501";

/// A tenant with a warm connection, and tables of the same name wherever they could be hit.
async fn warm_tenant_among_decoys() -> (Installation, crate::TenantDb) {
    let installation = with_one_connection(&["CREATE TABLE note (title text)"]).await;
    installation.create("acme").await;
    installation.create("globex").await;
    for schema in ["public", "extensions"] {
        installation
            .run(&format!(
                "CREATE TABLE {schema}.note (title text); INSERT INTO {schema}.note VALUES ('decoy')"
            ))
            .await;
    }
    // What stands in an extension schema is visible by design, so only `public` keeps its decoy.
    installation.run("DROP TABLE extensions.note").await;
    let acme = installation.db("acme").await;
    assert_eq!(text(&acme, "SELECT count(*)::text FROM note").await, "0");
    (installation, acme)
}

async fn check_all_refused(acme: &crate::TenantDb) {
    assert_code(acme.execute(sqlx::query("SELECT title FROM note")).await, UNDEFINED_TABLE);
    assert_code(acme.execute(sqlx::query("INSERT INTO note VALUES ('lost')")).await, UNDEFINED_TABLE);
    let create = acme.execute("CREATE TABLE IF NOT EXISTS note (title text)").await;
    assert_code(create, PERMISSION_DENIED);
    let create = acme.execute("CREATE TABLE fresh (title text)").await;
    // The failed CREATE before it was a touch, so the connection was cleaned, verified, and closed.
    create.expect_err("the schema is gone");
}

#[tokio::test]
async fn a_dropped_schema_is_an_error_on_a_warm_connection() {
    let (installation, acme) = warm_tenant_among_decoys().await;
    installation.run(&format!("DROP SCHEMA {} CASCADE", acme.tenant().schema())).await;
    check_all_refused(&acme).await;
}

#[tokio::test]
async fn a_renamed_schema_is_an_error_on_a_warm_connection() {
    let (installation, acme) = warm_tenant_among_decoys().await;
    installation.run(&format!("ALTER SCHEMA {} RENAME TO elsewhere", acme.tenant().schema())).await;
    check_all_refused(&acme).await;
}

#[tokio::test]
async fn tenants_do_not_see_the_master_schema() {
    let (installation, acme) = warm_tenant_among_decoys().await;
    installation.run("CREATE TABLE public.plan (name text)").await;
    assert_code(acme.execute(sqlx::query("SELECT * FROM plan")).await, UNDEFINED_TABLE);
    let master = installation.tenancy.master();
    sqlx::query("SELECT * FROM plan").execute(&master).await.unwrap();
    let path: String = sqlx::query_scalar("SHOW search_path").fetch_one(&master).await.unwrap();
    assert_eq!(path, "public, tenantry_void, extensions, pg_temp");
}
