//! 4. A future dropped at any await leaves the pool correct.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use sqlx::{Executor as _, PgConnection};

use crate::testing::{Installation, installation, is_outside_transaction, text, with_one_connection};
use crate::{ErrorKind, PoolConfig};

/// Polls a future once, so that it sends what it has to send, and drops it. Answers whether it was
/// cut off; now and then the server is quick enough to answer within that one poll.
async fn send_and_drop<T>(future: impl Future<Output = T>) -> bool {
    let is_cut_off = Box::pin(future).now_or_never().is_none();
    // The bytes are on their way; let the server act on them.
    tokio::time::sleep(Duration::from_millis(20)).await;
    is_cut_off
}

#[tokio::test]
async fn a_begin_cancelled_in_flight_leaves_no_transaction_behind() {
    let installation = with_one_connection(&["CREATE TABLE note (title text)"]).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    // Warm, so that the first thing sent is BEGIN.
    acme.execute(sqlx::query("SELECT 1")).await.unwrap();

    let mut cut_off = 0;
    for round in 1..=20 {
        cut_off += u32::from(send_and_drop(acme.begin()).await);
        assert!(is_outside_transaction(&acme).await);
        acme.execute(sqlx::query("INSERT INTO note VALUES ('kept')")).await.unwrap();

        let mut outside = installation.outside().await;
        let count = format!("SELECT count(*) FROM {}.note", acme.tenant().schema());
        let kept: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut outside).await.unwrap();
        assert_eq!(kept, round, "the write of an innocent request was lost");
    }
    assert!(cut_off > 0, "no BEGIN was cut off, so nothing was shown");
}

#[tokio::test]
async fn the_error_of_a_cancelled_query_reaches_nobody() {
    let installation = with_one_connection(&[]).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    let failing = sqlx::query("SELECT 1 / (pg_sleep(0.05)::text = 'x')::int");
    // Prepared and described first, so that only the execution is cut off.
    failing.execute(&acme).await.unwrap_err();

    let again = sqlx::query("SELECT 1 / (pg_sleep(0.05)::text = 'x')::int").execute(&acme);
    assert!(send_and_drop(again).await, "it sleeps for longer than that");
    assert_eq!(text(&acme, "SELECT 'fine'").await, "fine");
}

/// How many statements with this text run on the server.
async fn running(outside: &mut PgConnection, text: &str) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity \
                 WHERE state = 'active' AND query = $1 AND pid <> pg_backend_pid()";
    sqlx::query_scalar(count).bind(text).fetch_one(outside).await.unwrap()
}

#[tokio::test]
async fn the_statement_of_a_cancelled_request_ends_on_the_server() {
    let installation = with_one_connection(&[]).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    let mut outside = installation.outside().await;
    let waiting = "SELECT pg_sleep(30)";
    let working = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b";
    for statement in [waiting, working] {
        let request = sqlx::query(statement).execute(&acme);
        tokio::time::timeout(Duration::from_millis(100), request).await.unwrap_err();
        let cancelled = Instant::now();
        assert_eq!(running(&mut outside, statement).await, 1);
        // The only slot of the pool is free at once.
        assert_eq!(text(&acme, "SELECT 'fine'").await, "fine");
        assert!(cancelled.elapsed() < Duration::from_millis(500), "{:?}", cancelled.elapsed());
        while running(&mut outside, statement).await > 0 {
            assert!(cancelled.elapsed() < Duration::from_secs(3), "the server goes on with: {statement}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn the_server_looks_for_the_client_unless_it_cannot() {
    // More milliseconds than the server counts are refused like any are where it cannot look.
    let months = Duration::from_hours(24 * 90);
    for (interval, expect) in [(Duration::from_millis(700), "700ms"), (Duration::ZERO, "0"), (months, "0")] {
        let pool = PoolConfig {
            max_connections: 1,
            client_connection_check_interval: interval,
            ..PoolConfig::default()
        };
        let installation = installation(&[], pool).await;
        installation.create("acme").await;
        let acme = installation.db("acme").await;
        let show = "SHOW client_connection_check_interval";
        assert_eq!(text(&acme, show).await, expect);
        acme.execute("SET work_mem TO '1MB'").await.unwrap();
        assert_eq!(text(&acme, show).await, expect, "after cleaning");
    }
}

/// One connection, and as long to drain it as it takes.
async fn with_patience(tenant_sql: &[&str]) -> Installation {
    let pool =
        PoolConfig { max_connections: 1, drain_timeout: Duration::from_secs(5), ..PoolConfig::default() };
    installation(tenant_sql, pool).await
}

/// How many connections were drained, and how many closed.
fn drained_and_doubtful(installation: &Installation) -> (u64, u64) {
    let counts = installation.tenancy.status().pools.into_values().next().unwrap().counts;
    (counts.drained, counts.doubtful)
}

#[tokio::test]
async fn a_statement_that_is_cut_off_and_soon_answered_keeps_its_connection() {
    let installation = with_patience(&[]).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    let backend = "SELECT pg_backend_pid()::text";
    let before = text(&acme, backend).await;

    let waiting = || sqlx::query("SELECT pg_sleep(0.05)").execute(&acme);
    let failing = || sqlx::query("SELECT 1 / (pg_sleep(0.05)::text = 'x')::int").execute(&acme);
    waiting().await.unwrap();
    failing().await.unwrap_err();
    assert!(send_and_drop(waiting()).await, "it sleeps for longer than that");
    assert_eq!(text(&acme, backend).await, before);
    assert!(send_and_drop(failing()).await, "it sleeps for longer than that");
    assert_eq!(text(&acme, backend).await, before, "its error reaches nobody");
    assert_eq!(drained_and_doubtful(&installation), (2, 0));
    waiting().await.unwrap();
    failing().await.unwrap_err();
}

#[tokio::test]
async fn what_a_drained_statement_leaves_reaches_nobody() {
    let installation = with_patience(&["CREATE TABLE note (title text)"]).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    let setting = "SELECT coalesce(current_setting('app.left', true), '')";

    let leave =
        || sqlx::query("SELECT set_config('app.left', 'behind', false), pg_sleep(0.05)").execute(&acme);
    leave().await.unwrap();
    assert_eq!(text(&acme, setting).await, "");
    assert!(send_and_drop(leave()).await, "it sleeps for longer than that");
    assert_eq!(text(&acme, setting).await, "", "a setting was inherited");
    assert_eq!(drained_and_doubtful(&installation), (1, 0));

    for left_open in ["BEGIN; SELECT pg_sleep(0.05)", "BEGIN; SELECT pg_sleep(0.05); SELECT nonsense"] {
        assert!(send_and_drop(acme.execute(left_open)).await, "it sleeps for longer than that");
        assert!(is_outside_transaction(&acme).await, "a transaction was inherited");
    }
    assert_eq!(drained_and_doubtful(&installation).1, 2, "an open transaction is never cleaned");
}

#[tokio::test]
async fn a_statement_cut_off_while_it_is_prepared_closes_its_connection() {
    let installation = with_patience(&[]).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    // So long that the server needs milliseconds to read it.
    let list = (0..50_000).map(|number| number.to_string()).collect::<Vec<_>>().join(", ");
    let mut cut_off = 0;
    for number in 0..5 {
        // Warm, so that the first thing sent is the statement.
        text(&acme, "SELECT 'known'").await;
        let unknown = format!("SELECT {number} IN ({list})");
        let unknown = sqlx::query(sqlx::AssertSqlSafe(unknown)).execute(&acme);
        cut_off += u64::from(send_and_drop(unknown).await);
    }
    text(&acme, "SELECT 'known'").await;
    assert!(cut_off > 0, "nothing was cut off, so nothing was shown");
    assert_eq!(drained_and_doubtful(&installation), (0, cut_off));
}

#[tokio::test]
async fn a_half_read_stream_reaches_nobody() {
    use futures_util::StreamExt as _;

    let installation = with_one_connection(&[]).await;
    installation.create("acme").await;
    installation.create("globex").await;
    let (acme, globex) = (installation.db("acme").await, installation.db("globex").await);
    let mut rows = sqlx::query("SELECT generate_series(1, 100000)").fetch(&acme);
    rows.next().await.unwrap().unwrap();
    drop(rows);
    assert_eq!(text(&globex, "SELECT current_schema()::text").await, globex.tenant().schema().as_str());
}

#[tokio::test]
async fn a_switch_cancelled_in_flight_reaches_nobody() {
    let installation = with_one_connection(&[]).await;
    installation.create("acme").await;
    installation.create("globex").await;
    let (acme, globex) = (installation.db("acme").await, installation.db("globex").await);
    let schema = "SELECT current_schema()::text";
    let mut cut_off = 0;
    for _ in 0..20 {
        assert_eq!(text(&acme, schema).await, acme.tenant().schema().as_str());
        cut_off += u32::from(send_and_drop(sqlx::query(schema).execute(&globex)).await);
        assert_eq!(text(&acme, schema).await, acme.tenant().schema().as_str());
    }
    assert!(cut_off > 0, "no switch was cut off, so nothing was shown");
}

#[tokio::test]
async fn a_cancelled_waiter_loses_no_slot() {
    let installation = with_one_connection(&[]).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    let held = acme.acquire().await.unwrap();
    for _ in 0..10 {
        let waiting = sqlx::query("SELECT 1").execute(&acme);
        tokio::time::timeout(Duration::from_millis(5), waiting).await.unwrap_err();
    }
    drop(held);
    assert_eq!(text(&acme, "SELECT 'fine'").await, "fine");
    let status = installation.tenancy.status().pools.into_values().next().unwrap();
    assert_eq!((status.open, status.idle, status.waiting), (1, 1, 0));
}

#[tokio::test]
async fn a_handle_that_waits_for_itself_is_told_so() {
    let pool = PoolConfig {
        max_connections: 1,
        acquire_timeout: Duration::from_millis(100),
        ..PoolConfig::default()
    };
    let installation = installation(&[], pool).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;

    let tx = acme.begin().await.unwrap();
    let error = crate::Error::from(sqlx::query("SELECT 1").execute(&acme).await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::PoolTimeout);
    assert!(error.to_string().contains("holds 1 of them itself"), "{error}");
    assert!(error.hint().unwrap().contains("&mut *tx"));
    tx.rollback().await.unwrap();

    let elsewhere = installation.db("acme").await;
    let held = elsewhere.acquire().await.unwrap();
    let error = crate::Error::from(sqlx::query("SELECT 1").execute(&acme).await.unwrap_err());
    assert!(error.to_string().contains("tenant `acme` has held one for"), "{error}");
    assert!(!error.to_string().contains("itself"), "{error}");
    drop(held);
}
