//! Prepared statements mean one schema at one version.

use sqlx::Row as _;

use crate::testing::{Installation, assert_code, builder, migrations, with_one_connection};
use crate::{Fleet, PoolConfig, TenantDb};

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

/// A tenant with `SELECT *` prepared on a warm connection, which another process then migrates.
async fn migrated_while_warm() -> (Installation, TenantDb) {
    let installation = with_one_connection(&[FIRST]).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    sqlx::query("SELECT * FROM note").fetch_all(&acme).await.unwrap();
    sqlx::query("INSERT INTO note VALUES ('a')").execute(&acme).await.unwrap();

    let deploy = builder(&installation.database, &[FIRST, SECOND], PoolConfig::default());
    let deploy = deploy.connect().await.unwrap();
    deploy.migrate(Fleet::all(), ()).await.unwrap();
    (installation, acme)
}

#[tokio::test]
async fn a_migration_under_a_warm_connection_is_not_felt() {
    let (_installation, acme) = migrated_while_warm().await;
    // A handle from before the migration, whose statement is stale: sent again.
    let row = sqlx::query("SELECT * FROM note").fetch_one(&acme).await.unwrap();
    assert_eq!(row.len(), 2);
}

#[tokio::test]
async fn a_stale_statement_in_a_transaction_is_an_error_once() {
    let (_installation, acme) = migrated_while_warm().await;
    let mut tx = acme.begin().await.unwrap();
    let stale = sqlx::query("SELECT * FROM note").fetch_all(&mut *tx).await;
    let error = crate::Error::from(stale.unwrap_err());
    assert!(error.is_retryable());
    drop(tx);
    let mut tx = acme.begin().await.unwrap();
    sqlx::query("SELECT * FROM note").fetch_all(&mut *tx).await.unwrap();
}

#[tokio::test]
async fn a_stale_statement_does_not_stay_on_a_connection_that_goes_on() {
    let (_installation, acme) = migrated_while_warm().await;
    let mut tx = acme.begin().await.unwrap();
    assert_code(sqlx::query("SELECT * FROM note").fetch_all(&mut *tx).await, "0A000");
    tx.rollback().await.unwrap();
    let mut tx = acme.begin().await.unwrap();
    sqlx::query("SELECT * FROM note").fetch_all(&mut *tx).await.unwrap();
}

#[tokio::test]
async fn tenants_at_different_versions_share_no_statement() {
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
            let db = installation.db(slug).await;
            let mut tx = db.begin().await.unwrap();
            sqlx::query("INSERT INTO note VALUES ('a')").execute(&mut *tx).await.unwrap();
            let row = sqlx::query("SELECT * FROM note").fetch_one(&mut *tx).await.unwrap();
            assert_eq!(row.len(), columns);
            tx.commit().await.unwrap();
        }
    }
}
