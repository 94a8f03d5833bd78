//! 1. No user statement executes unless the switch before it succeeded, whichever the driver.

use std::time::Duration;

use tokio::time::sleep;

use crate::fixture::{Driver, Installation, Tables, installation, with_one_connection};
use crate::{ErrorKind, PoolConfig};

async fn two_tenants(driver: Driver) -> (Installation, Tables, Tables) {
    let installation = with_one_connection(&[]).await;
    let (acme, globex) = installation.pair(driver).await;
    (installation, acme, globex)
}

#[tokio::test]
async fn a_missing_schema_is_an_error_before_the_first_statement() {
    for driver in Driver::ALL {
        let (installation, acme, _) = two_tenants(*driver).await;
        installation.run(&format!("DROP SCHEMA {} CASCADE", acme.schema())).await;
        let error = acme.run("SELECT 1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingSchema, "{driver:?}");
        assert_eq!(error.tenant().map(ToString::to_string).as_deref(), Some("acme"));
        assert!(error.to_string().contains(&acme.schema()), "{error}");
    }
}

#[tokio::test]
async fn a_missing_schema_is_an_error_before_the_first_statement_of_a_transaction() {
    for driver in Driver::ALL {
        let (installation, acme, globex) = two_tenants(*driver).await;
        installation.run(&format!("DROP SCHEMA {} CASCADE", acme.schema())).await;
        globex.run("SELECT 1").await.unwrap();
        let first = async { acme.begin().await?.run("SELECT 1").await };
        assert_eq!(first.await.unwrap_err().kind(), ErrorKind::MissingSchema, "{driver:?}");
    }
}

#[tokio::test]
async fn a_connection_whose_switch_failed_is_closed() {
    for driver in Driver::ALL {
        let (installation, acme, globex) = two_tenants(*driver).await;
        let before = globex.text("SELECT pg_backend_pid()::text").await;
        installation.run(&format!("DROP SCHEMA {} CASCADE", acme.schema())).await;
        assert_eq!(acme.run("SELECT 1").await.unwrap_err().kind(), ErrorKind::MissingSchema);
        assert_ne!(globex.text("SELECT pg_backend_pid()::text").await, before, "{driver:?}");
    }
}

#[tokio::test]
async fn a_schema_the_role_may_not_use_is_an_error() {
    for driver in Driver::ALL {
        let (installation, acme, _) = two_tenants(*driver).await;
        installation.run(&format!("REVOKE ALL ON SCHEMA {} FROM CURRENT_USER", acme.schema())).await;
        assert_eq!(acme.run("SELECT 1").await.unwrap_err().kind(), ErrorKind::MissingSchema, "{driver:?}");
    }
}

#[tokio::test]
async fn a_new_epoch_closes_the_warm_connections_of_a_tenant() {
    let pid = "SELECT pg_backend_pid()::text";
    for driver in Driver::ALL {
        let installation =
            installation(&[], PoolConfig { max_connections: 2, ..PoolConfig::default() }).await;
        installation.create("acme").await;
        let acme = installation.tables(*driver, "acme").await;
        let warm = acme.text(pid).await;
        installation.run("UPDATE tenantry.tenant SET epoch = epoch + 1").await;
        installation.until("acme", |acme| acme.epoch() == 1).await;
        // What was announced of its making may come late, and have the registry asked once more, for which no
        // connection is left below.
        sleep(Duration::from_millis(200)).await;
        installation.until("acme", |acme| acme.epoch() == 1).await;
        // Only the warm one is left to be had.
        let held = installation.tenancy.master().acquire().await.unwrap();
        assert_ne!(acme.text(pid).await, warm, "{driver:?}");
        drop(held);
    }
}
