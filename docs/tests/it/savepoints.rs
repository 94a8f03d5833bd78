use tenantry::Transaction;

/// Adds a note unless there is one with this title, and tells whether it did.
async fn add_unless_taken(tx: &mut Transaction, title: &str) -> Result<bool, sqlx::Error> {
    let mut attempt = tx.begin().await?;
    let insert = sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title);
    match insert.execute(&mut *attempt).await {
        Ok(_) => {
            attempt.commit().await?;
            Ok(true)
        }
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            attempt.rollback().await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

use tenantry::TenantDb;

async fn add_all(db: &TenantDb, titles: &[&str]) -> Result<usize, sqlx::Error> {
    let mut tx = db.begin().await?;
    let mut added = 0;
    for title in titles {
        added += usize::from(add_unless_taken(&mut tx, title).await?);
    }
    tx.commit().await?;
    Ok(added)
}

use crate::support::{titles, world};

#[tokio::test]
async fn a_title_that_is_taken_costs_nothing_but_itself() {
    let world = world().await;
    assert_eq!(add_all(&world.acme(), &["one", "two", "one", "three"]).await.unwrap(), 3);
    assert_eq!(titles(&world.acme()).await, ["one", "two", "three"]);
    assert_eq!(titles(&world.globex()).await, [""; 0]);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_undone_with_its_savepoints() {
    let world = world().await;
    let mut tx = world.acme().begin().await.unwrap();
    assert!(add_unless_taken(&mut tx, "one").await.unwrap());
    drop(tx);
    assert_eq!(titles(&world.acme()).await, [""; 0]);
}
