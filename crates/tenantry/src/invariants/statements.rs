//! Prepared statements mean one schema at one version, whichever the driver.

use crate::testing::{Driver, Installation, Tables, builder, migrations, with_one_connection};
use crate::{Fleet, PoolConfig};

#[derive(Clone, Debug, PartialEq, sqlx::Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
enum Mood {
    Happy,
}

#[tokio::test]
async fn types_of_one_name_in_two_schemas_work_through_one_text() {
    let tables = "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE diary (mood mood)";
    let installation = with_one_connection(&[tables]).await;
    installation.create("acme").await;
    installation.create("globex").await;
    let tenants = [installation.db("acme").await, installation.db("globex").await];
    assert!(tenants.iter().all(|db| db.tenant().owns_types()));
    for round in 1..=3 {
        for db in &tenants {
            sqlx::query("INSERT INTO diary VALUES ($1)").bind(Mood::Happy).execute(db).await.unwrap();
            let moods: Vec<Mood> = sqlx::query_scalar("SELECT mood FROM diary").fetch_all(db).await.unwrap();
            assert_eq!(moods, vec![Mood::Happy; round]);
        }
    }
}

const FIRST: &str = "CREATE TABLE note (title text)";
const SECOND: &str = "ALTER TABLE note ADD COLUMN done boolean NOT NULL DEFAULT false";

/// A tenant with `SELECT *` prepared on a warm connection, whose table then changes without a word to the registry.
async fn changed_while_warm(driver: Driver) -> (Installation, Tables) {
    let installation = with_one_connection(&[FIRST]).await;
    installation.create("acme").await;
    let acme = installation.tables(driver, "acme").await;
    acme.run("INSERT INTO note VALUES ('a')").await.unwrap();
    for _ in 0..3 {
        acme.run("SELECT * FROM note").await.unwrap();
    }
    installation.run(&format!("SET search_path TO {}; {SECOND}", acme.schema())).await;
    (installation, acme)
}

#[tokio::test]
async fn a_migration_under_a_warm_connection_is_not_felt() {
    for driver in Driver::ALL {
        let (_installation, acme) = changed_while_warm(*driver).await;
        // A handle from before the change, whose statement is stale: sent again.
        assert_eq!(acme.width("SELECT * FROM note").await, 2);
    }
}

#[tokio::test]
async fn a_migration_that_is_announced_is_not_felt_in_a_transaction() {
    for driver in Driver::ALL {
        let installation = with_one_connection(&[FIRST]).await;
        installation.create("acme").await;
        let acme = installation.tables(*driver, "acme").await;
        acme.run("INSERT INTO note VALUES ('a')").await.unwrap();
        for _ in 0..3 {
            acme.run("SELECT * FROM note").await.unwrap();
        }
        let before = installation.tenancy.tenant("acme").await.unwrap();
        let deploy = builder(&installation.database, &[FIRST, SECOND], PoolConfig::default());
        deploy.connect().await.unwrap().migrate(Fleet::all(), ()).await.unwrap();
        installation.until("acme", |acme| acme.digest() != before.digest()).await;
        // The handle from before has learnt of it, and its statements are others.
        let mut tx = acme.begin().await.unwrap();
        assert_eq!(tx.width("SELECT * FROM note").await, 2, "{driver:?}");
    }
}

#[tokio::test]
async fn a_stale_statement_in_a_transaction_is_an_error_once() {
    for driver in Driver::ALL {
        let (_installation, acme) = changed_while_warm(*driver).await;
        let mut tx = acme.begin().await.unwrap();
        let error = tx.run("SELECT * FROM note").await.unwrap_err();
        assert_eq!(error.database_code().as_deref(), Some("0A000"), "{driver:?}");
        assert!(error.is_retryable());
        drop(tx);
        let mut tx = acme.begin().await.unwrap();
        tx.run("SELECT * FROM note").await.unwrap();
    }
}

#[tokio::test]
async fn a_stale_statement_does_not_stay_on_a_connection_that_goes_on() {
    for driver in Driver::ALL {
        let (_installation, acme) = changed_while_warm(*driver).await;
        let mut tx = acme.begin().await.unwrap();
        tx.run("SELECT * FROM note").await.unwrap_err();
        tx.rollback().await.unwrap();
        let mut tx = acme.begin().await.unwrap();
        tx.run("SELECT * FROM note").await.unwrap();
    }
}

#[tokio::test]
async fn tenants_at_different_versions_share_no_statement() {
    for driver in Driver::ALL {
        let installation = with_one_connection(&[FIRST]).await;
        installation.create("acme").await;
        installation.create("globex").await;
        let only_acme = Fleet::only([crate::tenant::Slug::parse("acme").unwrap()]);
        let deploy = builder(&installation.database, &[FIRST, SECOND], PoolConfig::default());
        let deploy = deploy.connect().await.unwrap();
        deploy.migrate(only_acme, ()).await.unwrap();
        assert_ne!(migrations(&[FIRST, SECOND]).tenant().digest(), migrations(&[FIRST]).tenant().digest());

        installation.tenancy.migrate(Fleet::only([]), ()).await.unwrap();
        for _ in 0..3 {
            for (slug, columns) in [("acme", 2), ("globex", 1)] {
                let mut tx = installation.tables(*driver, slug).await.begin().await.unwrap();
                tx.run("INSERT INTO note VALUES ('a')").await.unwrap();
                assert_eq!(tx.width("SELECT * FROM note LIMIT 1").await, columns);
                tx.commit().await.unwrap();
            }
        }
    }
}
