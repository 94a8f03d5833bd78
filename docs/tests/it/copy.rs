use futures_util::TryStreamExt as _;
use tenantry::TenantDb;

async fn import_notes(db: &TenantDb, csv: &[u8]) -> Result<u64, sqlx::Error> {
    db.copy_in("COPY note (title) FROM STDIN WITH (FORMAT csv)", csv).await
}

async fn export_notes(db: &TenantDb) -> Result<Vec<u8>, sqlx::Error> {
    let mut chunks = db.copy_out("COPY note (title) TO STDOUT WITH (FORMAT csv)");
    let mut csv = Vec::new();
    while let Some(chunk) = chunks.try_next().await? {
        csv.extend_from_slice(&chunk);
    }
    Ok(csv)
}

async fn replace_notes(db: &TenantDb, csv: &[u8]) -> Result<u64, sqlx::Error> {
    let mut tx = db.begin().await?;
    sqlx::query("DELETE FROM note").execute(&mut *tx).await?;
    let count = tx.copy_in("COPY note (title) FROM STDIN WITH (FORMAT csv)", csv).await?;
    tx.commit().await?;
    Ok(count)
}

use crate::support::{add, titles, world};

#[tokio::test]
async fn rows_come_and_go_in_the_schema_of_the_tenant() {
    let world = world().await;
    assert_eq!(import_notes(&world.acme(), b"one\n\"two, too\"\n").await.unwrap(), 2);
    assert_eq!(titles(&world.acme()).await, ["one", "two, too"]);
    assert_eq!(export_notes(&world.acme()).await.unwrap(), b"one\n\"two, too\"\n");
    assert_eq!(export_notes(&world.globex()).await.unwrap(), b"");
}

#[tokio::test]
async fn replacing_rows_is_all_or_nothing() {
    let world = world().await;
    add(&world.acme(), "old").await;
    assert_eq!(replace_notes(&world.acme(), b"new\n").await.unwrap(), 1);
    assert_eq!(titles(&world.acme()).await, ["new"]);
    replace_notes(&world.acme(), b"same\nsame\n").await.expect_err("a title is unique");
    assert_eq!(titles(&world.acme()).await, ["new"]);
}

#[tokio::test]
async fn a_copy_that_is_dropped_writes_nothing() {
    let world = world().await;
    let (reader, mut writer) = tokio::io::duplex(64);
    tokio::io::AsyncWriteExt::write_all(&mut writer, b"lost\n").await.unwrap();
    // The source has not ended, so neither has the statement.
    let db = world.acme();
    let copy = db.copy_in("COPY note (title) FROM STDIN", reader);
    tokio::time::timeout(std::time::Duration::from_millis(100), copy).await.unwrap_err();
    assert_eq!(titles(&world.acme()).await, [""; 0]);
}
