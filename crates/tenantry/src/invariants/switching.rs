//! 1. No user statement executes unless the switch before it succeeded.

use crate::ErrorKind;
use crate::tenant::{Tenant, TenantRecord};
use crate::testing::{text, with_one_connection};

fn kind(error: sqlx::Error) -> ErrorKind {
    crate::Error::from(error).kind()
}

#[tokio::test]
async fn a_missing_schema_is_an_error_before_the_first_statement() {
    let installation = with_one_connection(&[]).await;
    let acme = installation.create("acme").await;
    installation.run(&format!("DROP SCHEMA {} CASCADE", acme.schema())).await;

    let db = installation.db("acme").await;
    let error = sqlx::query("SELECT 1").execute(&db).await.unwrap_err();
    let error = crate::Error::from(error);
    assert_eq!(error.kind(), ErrorKind::MissingSchema);
    assert_eq!(error.tenant().map(ToString::to_string).as_deref(), Some("acme"));
    assert!(error.to_string().contains(acme.schema().as_str()), "{error}");
}

#[tokio::test]
async fn a_connection_whose_switch_failed_is_closed() {
    let installation = with_one_connection(&[]).await;
    let acme = installation.create("acme").await;
    installation.create("globex").await;
    let globex = installation.db("globex").await;
    let before: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&globex).await.unwrap();

    installation.run(&format!("DROP SCHEMA {} CASCADE", acme.schema())).await;
    let acme = installation.db("acme").await;
    assert_eq!(kind(sqlx::query("SELECT 1").execute(&acme).await.unwrap_err()), ErrorKind::MissingSchema);

    let after: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&globex).await.unwrap();
    assert_ne!(before, after);
}

#[tokio::test]
async fn a_schema_the_role_may_not_use_is_an_error() {
    let installation = with_one_connection(&[]).await;
    let acme = installation.create("acme").await;
    installation.run(&format!("REVOKE ALL ON SCHEMA {} FROM CURRENT_USER", acme.schema())).await;

    let db = installation.db("acme").await;
    assert_eq!(kind(sqlx::query("SELECT 1").execute(&db).await.unwrap_err()), ErrorKind::MissingSchema);
}

#[tokio::test]
async fn a_new_epoch_closes_the_warm_connections_of_a_tenant() {
    let installation = with_one_connection(&[]).await;
    let acme = installation.create("acme").await;
    let pid = "SELECT pg_backend_pid()::text";
    let before = text(&installation.tenancy.db(&acme).unwrap(), pid).await;

    let moved = Tenant::from(TenantRecord { epoch: acme.epoch() + 1, ..acme.to_record() });
    let after = text(&installation.tenancy.db(&moved).unwrap(), pid).await;
    assert_ne!(before, after);
}
