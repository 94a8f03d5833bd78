//! A promise that Diesel's own connection does not make: a closure that was dropped in the middle has done nothing.

use std::time::Duration;

use diesel::result::Error;
use diesel_async::{AsyncConnection as _, RunQueryDsl as _, SimpleAsyncConnection as _};

use crate::fixture::{Driver, Installation, RunStatements as _, with_one_connection};
use crate::pool::TenantDiesel;

const TITLES: &str = "SELECT coalesce(string_agg(title, ' ' ORDER BY title), '') FROM note";

async fn insert(db: &mut TenantDiesel, title: &str) -> Result<(), Error> {
    let insert = diesel::sql_query("INSERT INTO note VALUES ($1)").bind::<diesel::sql_types::Text, _>(title);
    insert.execute(db).await.map(drop)
}

/// Runs until it waits for something that never happens, and is dropped.
async fn cut_off(work: impl Future<Output = Result<(), Error>>) {
    tokio::time::timeout(Duration::from_millis(100), work).await.unwrap_err();
}

async fn one_tenant() -> (Installation, TenantDiesel) {
    let installation = with_one_connection(&["CREATE TABLE note (title text UNIQUE)"]).await;
    let acme = installation.create("acme").await;
    let db = installation.tenancy.diesel(&acme).unwrap();
    (installation, db)
}

#[tokio::test]
async fn what_follows_a_transaction_that_was_dropped_is_outside_of_it() {
    let (installation, mut db) = one_tenant().await;
    let dropped = db.transaction::<_, Error, _>(async |db| {
        insert(db, "dropped").await?;
        db.transaction::<_, Error, _>(async |db| {
            insert(db, "nested").await?;
            std::future::pending().await
        })
        .await
    });
    Box::pin(cut_off(dropped)).await;
    insert(&mut db, "kept").await.unwrap();
    assert_eq!(db.text(TITLES).await, "kept");
    db.transaction::<_, Error, _>(async |db| insert(db, "another").await).await.unwrap();
    assert_eq!(db.text(TITLES).await, "another kept");
    let counts = installation.counts(Driver::Diesel);
    assert_eq!((counts.rolled_back, counts.doubtful), (1, 0), "{counts:?}");
}

#[tokio::test]
async fn a_nested_transaction_that_was_dropped_leaves_the_one_around_it() {
    let (_installation, mut db) = one_tenant().await;
    // On a session, the outermost is a transaction of the session's own.
    let mut session = db.acquire().await.unwrap();
    for round in 0..3 {
        let work = async |db: &mut TenantDiesel| {
            insert(db, &format!("outer{round}")).await?;
            for failing in [false, true] {
                let nested = db.transaction::<_, Error, _>(async |db| {
                    insert(db, "dropped").await?;
                    if failing {
                        insert(db, "dropped").await.unwrap_err();
                    }
                    std::future::pending().await
                });
                Box::pin(cut_off(nested)).await;
            }
            insert(db, &format!("behind{round}")).await
        };
        if round == 1 {
            drop(session);
            session = db.clone();
        }
        Box::pin(session.transaction::<_, Error, _>(work)).await.unwrap();
    }
    let kept = "behind0 behind1 behind2 outer0 outer1 outer2";
    drop(session);
    assert_eq!(db.text(TITLES).await, kept);
    db.batch_execute("DELETE FROM note").await.unwrap();
}

#[tokio::test]
async fn transactions_and_single_rows_need_no_cleaning() {
    let (installation, mut db) = one_tenant().await;
    for title in ["a", "b", "c"] {
        let work = async |db: &mut TenantDiesel| {
            insert(db, title).await?;
            let undone = db.transaction::<(), _, _>(async |db| {
                insert(db, "nested").await?;
                Err(Error::RollbackTransaction)
            });
            assert_eq!(undone.await, Err(Error::RollbackTransaction));
            Ok(())
        };
        db.transaction::<_, Error, _>(work).await.unwrap();
        db.build_transaction().serializable().run(async |db| insert(db, "d").await).await.unwrap();
        let undone = db.transaction::<(), _, _>(async |db| {
            diesel::sql_query("DELETE FROM note WHERE title = 'd'").execute(db).await?;
            Ok::<_, Error>(())
        });
        undone.await.unwrap();
        assert_eq!(db.text(TITLES).await.split(' ').next_back(), Some(title));
    }
    let counts = installation.counts(Driver::Diesel);
    assert_eq!((counts.cleaned, counts.drained, counts.rolled_back, counts.doubtful), (0, 0, 0, 0));
}
