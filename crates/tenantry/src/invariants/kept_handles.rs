//! A handle that is kept knows what became of its tenant, whichever the driver.

use std::time::Duration;

use crate::fixture::{Driver, Installation, Tables, installation};
use crate::{ErrorKind, ForTenant, PoolConfig};

async fn kept(driver: Driver) -> (Installation, Tables) {
    // One for a transaction, and one for who asks the registry.
    let pool = PoolConfig { max_connections: 3, ..PoolConfig::default() };
    let installation = installation(&["CREATE TABLE note (title text)"], pool).await;
    installation.create("acme").await;
    let acme = installation.tables(driver, "acme").await;
    for _ in 0..3 {
        acme.run("INSERT INTO note VALUES ('before')").await.unwrap();
    }
    (installation, acme)
}

/// Changes the registry, and waits until this process has heard of it.
async fn change(installation: &Installation, sql: &str) {
    change_of(installation, "acme", sql).await;
}

async fn change_of(installation: &Installation, slug: &str, sql: &str) {
    let before = installation.tenancy.tenant(slug).await.unwrap();
    installation.run(sql).await;
    for _ in 0..1_000 {
        if installation.tenancy.tenant(slug).await.ok().as_ref() != Some(&before) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nothing is heard of: {sql}");
}

#[tokio::test]
async fn a_kept_handle_notices_that_its_tenant_is_suspended() {
    for driver in Driver::ALL {
        let (installation, acme) = kept(*driver).await;
        let mut held = acme.begin().await.unwrap();
        change(&installation, "UPDATE tenantry.tenant SET status = 'suspended'").await;
        held.run("INSERT INTO note VALUES ('of a transaction that goes on')").await.unwrap();
        held.commit().await.unwrap();
        for handle in [&acme, &acme.clone()] {
            let error = handle.run("INSERT INTO note VALUES ('lost')").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Suspended, "{driver:?}: {error}");
            assert_eq!(handle.begin().await.err().unwrap().kind(), ErrorKind::Suspended);
        }
        change(&installation, "UPDATE tenantry.tenant SET status = 'active'").await;
        assert_eq!(acme.text("SELECT count(*)::text FROM note").await, "4", "{driver:?}");
    }
}

#[tokio::test]
async fn a_kept_handle_notices_that_its_tenant_is_gone() {
    for driver in Driver::ALL {
        for sql in ["DELETE FROM tenantry.tenant", "UPDATE tenantry.tenant SET id = gen_random_uuid()"] {
            let (installation, acme) = kept(*driver).await;
            change(&installation, sql).await;
            let error = acme.run("INSERT INTO note VALUES ('lost')").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownTenant, "{driver:?}, after {sql}: {error}");
        }
    }
}

#[tokio::test]
async fn a_kept_handle_follows_its_tenant_to_another_slug() {
    for driver in Driver::ALL {
        let (installation, acme) = kept(*driver).await;
        change(&installation, "UPDATE tenantry.tenant SET slug = 'acme2'").await;
        acme.run("INSERT INTO note VALUES ('after')").await.unwrap();
        change_of(&installation, "acme2", "UPDATE tenantry.tenant SET status = 'suspended'").await;
        let error = acme.run("INSERT INTO note VALUES ('lost')").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Suspended, "{driver:?}: {error}");
        assert_eq!(error.tenant().map(crate::Slug::as_str), Some("acme2"));
    }
}

#[tokio::test]
async fn a_handle_and_a_job_stay_with_their_tenant_when_another_takes_its_slug() {
    for driver in Driver::ALL {
        let (installation, acme) = kept(*driver).await;
        let tenancy = &installation.tenancy;
        let job = ForTenant::new(&tenancy.tenant("acme").await.unwrap(), "of a job");
        let (held, title) = job.clone().open(tenancy).await.unwrap();
        change(&installation, "UPDATE tenantry.tenant SET slug = 'acme2'").await;
        let successor = installation.create("acme").await;

        acme.run("INSERT INTO note VALUES ('of a handle')").await.unwrap();
        let (opened, _) = job.open(tenancy).await.unwrap();
        for db in [&held, &opened] {
            sqlx::query("INSERT INTO note VALUES ($1)").bind(title).execute(db).await.unwrap();
        }
        let count = "SELECT count(*)::text FROM note";
        assert_eq!(installation.tables(*driver, "acme2").await.text(count).await, "6", "{driver:?}");
        assert_eq!(
            installation.tables(*driver, "acme").await.text(count).await,
            "0",
            "{driver:?}: {successor:?}"
        );
    }
}

#[tokio::test]
async fn a_kept_handle_follows_its_tenant_to_a_renamed_schema() {
    for driver in Driver::ALL {
        let (installation, acme) = kept(*driver).await;
        let rename = format!(
            "ALTER SCHEMA {} RENAME TO t_renamed;
             UPDATE tenantry.applied SET schema_name = 't_renamed';
             UPDATE tenantry.tenant SET schema_name = 't_renamed', epoch = epoch + 1",
            acme.schema()
        );
        change(&installation, &rename).await;
        assert_eq!(acme.text("SELECT current_schema()::text").await, "t_renamed", "{driver:?}");
        assert_eq!(acme.text("SELECT count(*)::text FROM note").await, "3", "{driver:?}");
    }
}

#[tokio::test]
async fn a_kept_handle_asks_the_registry_nothing_while_nothing_changes() {
    for driver in Driver::ALL {
        let (installation, acme) = kept(*driver).await;
        // Whatever was announced of the tenant's making has arrived.
        tokio::time::sleep(Duration::from_millis(200)).await;
        acme.run("SELECT 1").await.unwrap();
        let loads = installation.tenancy.status().cache.loads;
        for _ in 0..50 {
            acme.run("SELECT 1").await.unwrap();
        }
        // Longer than an answer is believed without asking the cache.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        acme.run("SELECT 1").await.unwrap();
        assert_eq!(installation.tenancy.status().cache.loads, loads, "{driver:?}");
    }
}
