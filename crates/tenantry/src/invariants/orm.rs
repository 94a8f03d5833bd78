//! `SeaORM` on the handles: the promises of its transactions, streams and errors besides those of every driver.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, IsolationLevel, Statement, StreamTrait, TransactionError,
    TransactionTrait,
};

use super::cancellation::{BACKEND, send_and_drop, send_and_drop_unanswered};
use crate::fixture::{Installation, installation, with_one_connection};
use crate::pool::OrmTransaction;
use crate::{Error, ErrorKind, PoolConfig, TenantDb};

const TABLE: &str = "CREATE TABLE note (title text UNIQUE DEFERRABLE INITIALLY DEFERRED CHECK (title <> ''))";
const TITLES: &str = "SELECT coalesce(string_agg(title, ' ' ORDER BY title), '') FROM note";

fn statement(sql: &str) -> Statement {
    Statement::from_string(DbBackend::Postgres, sql)
}

/// The text in the first column of the first of these rows.
pub(super) async fn text(db: &impl ConnectionTrait, sql: &str) -> String {
    db.query_one_raw(statement(sql)).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

async fn add(db: &impl ConnectionTrait, title: &str) -> Result<(), DbErr> {
    let sql = "INSERT INTO note VALUES ($1)";
    let insert = Statement::from_sql_and_values(DbBackend::Postgres, sql, [title.into()]);
    db.execute_raw(insert).await.map(drop)
}

async fn one_tenant() -> (Installation, TenantDb) {
    let installation = with_one_connection(&[TABLE]).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    (installation, acme)
}

async fn begin(db: &TenantDb) -> OrmTransaction {
    TransactionTrait::begin(db).await.unwrap()
}

#[track_caller]
fn refused(error: DbErr, kind: ErrorKind) -> Error {
    let error = Error::from(error);
    assert_eq!(error.kind(), kind, "{error:#}");
    error
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Commit,
    Rollback,
    Drop,
}

impl End {
    async fn of(self, tx: OrmTransaction) {
        match self {
            Self::Commit => tx.commit().await.unwrap(),
            Self::Rollback => tx.rollback().await.unwrap(),
            Self::Drop => drop(tx),
        }
    }
}

#[tokio::test]
async fn a_transaction_inside_of_another_one_is_undone_by_itself() {
    let (_installation, acme) = one_tenant().await;
    for end in [End::Commit, End::Rollback, End::Drop] {
        for fails in [false, true] {
            if end == End::Commit && fails {
                continue;
            }
            let tx = begin(&acme).await;
            add(&tx, "outer").await.unwrap();
            let middle = tx.begin().await.unwrap();
            add(&middle, "middle").await.unwrap();
            let inner = middle.begin().await.unwrap();
            add(&inner, "inner").await.unwrap();
            if fails {
                add(&inner, "").await.unwrap_err();
            }
            end.of(inner).await;
            add(&middle, "after").await.unwrap();
            middle.commit().await.unwrap();
            // The next thing on the connection is the commit of what is around it.
            let last = tx.begin().await.unwrap();
            add(&last, "last").await.unwrap();
            end.of(last).await;
            tx.commit().await.unwrap();
            let expect =
                if end == End::Commit { "after inner last middle outer" } else { "after middle outer" };
            assert_eq!(text(&acme, TITLES).await, expect, "{end:?}, fails: {fails}");
            acme.execute_unprepared("DELETE FROM note").await.unwrap();
        }
    }
}

#[tokio::test]
async fn only_the_innermost_transaction_has_the_say() {
    let (_installation, acme) = one_tenant().await;
    let tx = begin(&acme).await;
    let inner = tx.begin().await.unwrap();
    add(&inner, "inner").await.unwrap();
    // It would be undone with what it is no part of.
    let error = refused(add(&tx, "outer").await.unwrap_err(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap().contains("inner transaction"), "{error}");
    refused(tx.begin().await.unwrap_err(), ErrorKind::Unsupported);
    refused(tx.stream_raw(statement(TITLES)).await.err().unwrap(), ErrorKind::Unsupported);
    inner.rollback().await.unwrap();
    add(&tx, "outer").await.unwrap();

    // Whatever ends takes those inside along, and nobody speaks for them.
    let middle = tx.begin().await.unwrap();
    let inner = middle.begin().await.unwrap();
    add(&inner, "lost").await.unwrap();
    middle.rollback().await.unwrap();
    let other = tx.begin().await.unwrap();
    let inside = other.begin().await.unwrap();
    add(&inside, "kept").await.unwrap();
    refused(add(&inner, "lost").await.unwrap_err(), ErrorKind::Unsupported);
    refused(inner.commit().await.unwrap_err(), ErrorKind::Unsupported);
    inside.commit().await.unwrap();
    other.commit().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(text(&acme, TITLES).await, "kept outer");
}

#[tokio::test]
async fn a_commit_around_an_open_transaction_keeps_nothing_and_says_so() {
    let (_installation, acme) = one_tenant().await;
    let tx = begin(&acme).await;
    add(&tx, "outer").await.unwrap();
    let inner = tx.begin().await.unwrap();
    refused(tx.commit().await.unwrap_err(), ErrorKind::Unsupported);
    refused(add(&inner, "inner").await.unwrap_err(), ErrorKind::Unsupported);
    inner.rollback().await.unwrap();
    assert_eq!(text(&acme, TITLES).await, "");
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back_whatever_is_open_inside() {
    let (installation, acme) = one_tenant().await;
    let backend = text(&acme, BACKEND).await;
    let tx = begin(&acme).await;
    let inner = tx.begin().await.unwrap();
    add(&inner, "inner").await.unwrap();
    drop(tx);
    // The only connection of the pool is free, though somebody still holds the inner one.
    assert_eq!(text(&acme, TITLES).await, "");
    refused(add(&inner, "late").await.unwrap_err(), ErrorKind::Unsupported);
    drop(inner);
    assert_eq!(text(&acme, BACKEND).await, backend);
    let counts = installation.tenancy.status().pools.into_values().next().unwrap().counts;
    assert_eq!((counts.rolled_back, counts.doubtful), (1, 0));
}

const KIND: &str = "SELECT concat_ws(', ', current_setting('transaction_isolation'), \
                    current_setting('transaction_read_only'))";

#[tokio::test]
async fn a_transaction_is_of_the_kind_that_was_asked_for_and_the_next_one_is_not() {
    let (_installation, acme) = one_tenant().await;
    for (isolation, access, expect) in [
        (Some(IsolationLevel::Serializable), Some(AccessMode::ReadOnly), "serializable, on"),
        (Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadWrite), "repeatable read, off"),
        (Some(IsolationLevel::ReadUncommitted), None, "read committed, off"),
        (None, None, "read committed, off"),
    ] {
        let tx = acme.begin_with_config(isolation, access).await.unwrap();
        assert_eq!(text(&tx, KIND).await, expect);
        let nested = tx.begin_with_config(isolation, Some(AccessMode::ReadOnly)).await;
        refused(nested.unwrap_err(), ErrorKind::Unsupported);
        tx.commit().await.unwrap();
        let seen = acme.transaction_with_config::<_, _, DbErr>(
            |tx| Box::pin(async move { Ok(text(tx, KIND).await) }),
            isolation,
            access,
        );
        assert_eq!(seen.await.unwrap(), expect);
        assert_eq!(text(&acme, KIND).await, "read committed, off");
    }
}

#[tokio::test]
async fn a_function_commits_what_went_well_and_nothing_else() {
    let (_installation, acme) = one_tenant().await;
    let kept: u8 = acme
        .transaction::<_, _, Error>(|tx| {
            Box::pin(async move {
                add(tx, "kept").await?;
                let failed = tx.transaction::<_, (), Error>(|tx| {
                    Box::pin(async move {
                        add(tx, "undone").await?;
                        Err(Error::invalid_input("no"))
                    })
                });
                assert_eq!(Error::from(failed.await.unwrap_err()).kind(), ErrorKind::InvalidInput);
                Ok(1)
            })
        })
        .await
        .unwrap();
    assert_eq!((kept, text(&acme, TITLES).await.as_str()), (1, "kept"));
    // Only the commit finds that the title is taken.
    let taken = acme.transaction::<_, (), DbErr>(|tx| Box::pin(async move { add(tx, "kept").await }));
    let error = taken.await.unwrap_err();
    assert!(matches!(error, TransactionError::Connection(_)), "{error}");
    let error = Error::from(error);
    assert_eq!(error.constraint(), Some("note_title_key"), "{error:#}");
    assert_eq!(error.database_code().as_deref(), Some("23505"));
}

#[tokio::test]
async fn what_is_cut_off_in_a_transaction_leaves_what_is_around_it_whole() {
    let (installation, acme) = one_tenant().await;
    let slow = "INSERT INTO note SELECT 'slow' FROM pg_sleep(0.05)";
    for _ in 0..3 {
        let backend = text(&acme, BACKEND).await;
        let tx = begin(&acme).await;
        add(&tx, "outer").await.unwrap();
        // The beginning of one inside.
        send_and_drop_unanswered(&backend, tx.begin()).await;
        add(&tx, "after").await.unwrap();
        // A function in the middle of its statement: all of it is undone.
        let cut_off = tx.transaction::<_, (), DbErr>(|tx| {
            Box::pin(async move {
                add(tx, "inner").await?;
                tx.execute_unprepared(slow).await.map(drop)
            })
        });
        let mut cut_off = Box::pin(cut_off);
        let limit = Duration::from_millis(30);
        assert!(tokio::time::timeout(limit, &mut cut_off).await.is_err(), "it sleeps for longer than that");
        drop(cut_off);
        assert_eq!(text(&tx, TITLES).await, "after outer");
        // The commit itself: nobody knows, so the connection is closed.
        send_and_drop_unanswered(&backend, tx.commit()).await;
        let titles = text(&acme, TITLES).await;
        assert!(["", "after outer"].contains(&titles.as_str()), "{titles}");
        acme.execute_unprepared("DELETE FROM note").await.unwrap();

        // A whole function, with its transaction.
        let cut_off = acme.transaction::<_, (), DbErr>(|tx| {
            Box::pin(async move { tx.execute_unprepared(slow).await.map(drop) })
        });
        let _ = tokio::time::timeout(Duration::from_millis(20), cut_off).await;
        assert_eq!(text(&acme, TITLES).await, "");
    }
    let status = installation.tenancy.status().pools.into_values().next().unwrap();
    assert_eq!((status.open, status.idle), (1, 1));
}

#[tokio::test]
async fn a_stream_reads_row_by_row_and_half_of_it_reaches_nobody() {
    let (installation, acme) = one_tenant().await;
    let globex = {
        installation.create("globex").await;
        installation.db("globex").await
    };
    let numbers = || statement("SELECT generate_series(1, 100000) AS number");
    let schema = "SELECT current_schema()::text";
    let read = acme
        .stream_raw(numbers())
        .await
        .unwrap()
        .try_fold(0_i64, async |sum, row| Ok(sum + i64::from(row.try_get::<i32>("", "number")?)));
    assert_eq!(read.await.unwrap(), 5_000_050_000);
    for _ in 0..2 {
        let mut half = acme.stream_raw(numbers()).await.unwrap();
        half.next().await.unwrap().unwrap();
        drop(half);
        assert_eq!(text(&globex, schema).await, globex.tenant().schema().as_str());
        send_and_drop(acme.stream_raw(numbers())).await;
        assert_eq!(text(&globex, schema).await, globex.tenant().schema().as_str());
        let tx = begin(&acme).await;
        let mut half = tx.stream_raw(numbers()).await.unwrap();
        half.next().await.unwrap().unwrap();
        drop(half);
        add(&tx, "lost").await.unwrap();
        drop(tx);
        assert_eq!(text(&acme, TITLES).await, "");
    }
}

#[tokio::test]
async fn a_loop_that_waits_for_its_own_stream_is_told_so() {
    let pool = PoolConfig {
        max_connections: 1,
        acquire_timeout: Duration::from_millis(700),
        ..PoolConfig::default()
    };
    let installation = installation(&[TABLE], pool).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    let tx = begin(&acme).await;
    let mut numbers = tx.stream_raw(statement("SELECT generate_series(1, 3)")).await.unwrap();
    numbers.next().await.unwrap().unwrap();
    let error = refused(add(&tx, "inside").await.unwrap_err(), ErrorKind::PoolTimeout);
    assert!(error.hint().unwrap().contains("read the stream to its end"), "{error}");
    // Others in the same task may wait for its end, and for each other.
    let rest = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let rest = numbers.count().await;
        add(&tx, "first").await.unwrap();
        rest
    };
    let ((), rest) = tokio::join!(async { add(&tx, "second").await.unwrap() }, rest);
    assert_eq!(rest, 2);
    tx.commit().await.unwrap();
    assert_eq!(text(&acme, TITLES).await, "first second");
}

#[tokio::test]
async fn errors_of_the_pool_come_out_of_seaorm_as_they_went_in() {
    let pool =
        PoolConfig { max_connections: 1, acquire_timeout: Duration::from_secs(1), ..PoolConfig::default() };
    let installation = installation(&[TABLE], pool).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    let tx = begin(&acme).await;
    let error = refused(add(&acme, "x").await.unwrap_err(), ErrorKind::PoolTimeout);
    assert!(error.is_retryable() && error.to_string().contains("holds 1 of them itself"), "{error}");
    assert_eq!(error.tenant().map(crate::Slug::as_str), Some("acme"));
    drop(tx);

    let error = Error::from(add(&acme, "").await.unwrap_err());
    assert_eq!((error.kind(), error.constraint()), (ErrorKind::Database, Some("note_title_check")));
    assert!(error.is_permanent() && format!("{error:#}").contains("violates check constraint"), "{error:#}");
    let held_twice = add(&acme, "").await.unwrap_err();
    let shared = Error::from(held_twice.clone());
    assert_eq!(shared.constraint(), Some("note_title_check"));
    assert!(shared.is_permanent() && shared.database_error().is_some(), "{held_twice}");

    installation.run(&format!("DROP SCHEMA {} CASCADE", acme.tenant().schema())).await;
    let error = refused(add(&acme, "x").await.unwrap_err(), ErrorKind::MissingSchema);
    assert_eq!(error.tenant().map(crate::Slug::as_str), Some("acme"));
}
