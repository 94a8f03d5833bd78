//! 4. A future dropped at any await leaves the pool correct.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::PgConnection;

use crate::fixture::{Driver, Installation, Tables, installation, text, with_one_connection};
use crate::{ErrorKind, PoolConfig};

pub(super) const BACKEND: &str = "SELECT pg_backend_pid()::text";

/// Polls a future once, so that it sends what it has to send, and drops it. Answers whether it was
/// cut off; now and then the server is quick enough to answer within that one poll.
pub(super) async fn send_and_drop<T>(future: impl Future<Output = T>) -> bool {
    let is_cut_off = Box::pin(future).now_or_never().is_none();
    // The bytes are on their way; let the server act on them.
    tokio::time::sleep(Duration::from_millis(20)).await;
    is_cut_off
}

/// Like [`send_and_drop`] for what the server answers at once: it is stopped meanwhile.
pub(super) async fn send_and_drop_unanswered<T>(backend: &str, future: impl Future<Output = T>) {
    let backend = Pid::from_raw(backend.parse().unwrap()).unwrap();
    kill_process(backend, Signal::STOP).unwrap();
    let is_cut_off = Box::pin(future).now_or_never().is_none();
    kill_process(backend, Signal::CONT).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(is_cut_off, "nobody can have answered");
}

/// Often enough to be warm, whatever it takes.
async fn warm_up(tables: &Tables) {
    for _ in 0..3 {
        tables.run("SELECT 1").await.unwrap();
    }
}

#[tokio::test]
async fn a_begin_cancelled_in_flight_leaves_no_transaction_behind() {
    for driver in Driver::ALL {
        let installation = with_one_connection(&["CREATE TABLE note (title text)"]).await;
        installation.create("acme").await;
        let acme = installation.tables(*driver, "acme").await;
        for round in 1..=20 {
            // Warm, so that the first thing sent is BEGIN.
            warm_up(&acme).await;
            send_and_drop_unanswered(&acme.text(BACKEND).await, acme.begin()).await;
            assert!(acme.is_outside_transaction().await);
            acme.run("INSERT INTO note VALUES ('kept')").await.unwrap();

            let mut outside = installation.outside().await;
            let count = format!("SELECT count(*) FROM {}.note", acme.schema());
            let kept: i64 =
                sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut outside).await.unwrap();
            assert_eq!(kept, round, "the write of an innocent request was lost");
        }
    }
}

#[tokio::test]
async fn the_error_of_a_cancelled_query_reaches_nobody() {
    for driver in Driver::ALL {
        let installation = with_one_connection(&[]).await;
        installation.create("acme").await;
        let acme = installation.tables(*driver, "acme").await;
        let failing = "SELECT 1 / (pg_sleep(0.05)::text = 'x')::int";
        // Prepared and described first, so that only the execution is cut off.
        acme.run(failing).await.unwrap_err();
        assert!(send_and_drop(acme.run(failing)).await, "it sleeps for longer than that");
        assert_eq!(acme.text("SELECT 'fine'").await, "fine");
    }
}

/// The number of statements with this text that run on the server.
pub(super) async fn running(outside: &mut PgConnection, text: &str) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity \
                 WHERE state = 'active' AND query = $1 AND pid <> pg_backend_pid()";
    sqlx::query_scalar(count).bind(text).fetch_one(outside).await.unwrap()
}

#[tokio::test]
async fn the_statement_of_a_cancelled_request_ends_on_the_server() {
    for driver in Driver::ALL {
        let installation = with_one_connection(&[]).await;
        installation.create("acme").await;
        let acme = installation.tables(*driver, "acme").await;
        let mut outside = installation.outside().await;
        let waiting = "SELECT pg_sleep(30)";
        let working = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b";
        for statement in [waiting, working] {
            let request = acme.run(statement);
            tokio::time::timeout(Duration::from_millis(100), request).await.unwrap_err();
            let cancelled = Instant::now();
            assert_eq!(running(&mut outside, statement).await, 1);
            // The only slot of the pool is free at once.
            assert_eq!(acme.text("SELECT 'fine'").await, "fine");
            assert!(cancelled.elapsed() < Duration::from_millis(500), "{:?}", cancelled.elapsed());
            while running(&mut outside, statement).await > 0 {
                assert!(cancelled.elapsed() < Duration::from_secs(3), "the server goes on with: {statement}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test]
async fn the_server_looks_for_the_client_unless_it_cannot() {
    // More milliseconds than the server counts are refused like any are where it cannot look.
    let months = Duration::from_hours(24 * 90);
    for driver in Driver::ALL {
        for (interval, expect) in
            [(Duration::from_millis(700), "700ms"), (Duration::ZERO, "0"), (months, "0")]
        {
            let pool = PoolConfig {
                max_connections: 1,
                client_connection_check_interval: interval,
                ..PoolConfig::default()
            };
            let installation = installation(&[], pool).await;
            installation.create("acme").await;
            let acme = installation.tables(*driver, "acme").await;
            let show = "SHOW client_connection_check_interval";
            assert_eq!(acme.text(show).await, expect);
            acme.run("SET work_mem TO '1MB'").await.unwrap();
            assert_eq!(acme.text(show).await, expect, "after cleaning");
        }
    }
}

/// One connection, and as long to drain it as it takes.
async fn with_patience(tenant_sql: &[&str]) -> Installation {
    let pool =
        PoolConfig { max_connections: 1, drain_timeout: Duration::from_secs(5), ..PoolConfig::default() };
    installation(tenant_sql, pool).await
}

/// The number of connections that were drained, and of those that were closed.
fn drained_and_doubtful(installation: &Installation, driver: Driver) -> (u64, u64) {
    let counts = installation.counts(driver);
    (counts.drained, counts.doubtful)
}

#[tokio::test]
async fn a_statement_that_is_cut_off_and_soon_answered_keeps_its_connection() {
    for driver in Driver::ALL {
        let installation = with_patience(&[]).await;
        installation.create("acme").await;
        let acme = installation.tables(*driver, "acme").await;
        let before = acme.text(BACKEND).await;

        let waiting = "SELECT pg_sleep(0.05)";
        let failing = "SELECT 1 / (pg_sleep(0.05)::text = 'x')::int";
        acme.run(waiting).await.unwrap();
        acme.run(failing).await.unwrap_err();
        assert!(send_and_drop(acme.run(waiting)).await, "it sleeps for longer than that");
        assert_eq!(acme.text(BACKEND).await, before);
        assert!(send_and_drop(acme.run(failing)).await, "it sleeps for longer than that");
        assert_eq!(acme.text(BACKEND).await, before, "its error reaches nobody");
        assert_eq!(drained_and_doubtful(&installation, *driver), (2, 0));
        acme.run(waiting).await.unwrap();
        acme.run(failing).await.unwrap_err();
    }
}

#[tokio::test]
async fn what_a_drained_statement_leaves_reaches_nobody() {
    for driver in Driver::ALL {
        let installation = with_patience(&["CREATE TABLE note (title text)"]).await;
        installation.create("acme").await;
        let acme = installation.tables(*driver, "acme").await;
        let setting = "SELECT coalesce(current_setting('app.left', true), '')";

        let leave = "SELECT set_config('app.left', 'behind', false), pg_sleep(0.05)";
        acme.run(leave).await.unwrap();
        assert_eq!(acme.text(setting).await, "");
        assert!(send_and_drop(acme.run(leave)).await, "it sleeps for longer than that");
        assert_eq!(acme.text(setting).await, "", "a setting was inherited");
        assert_eq!(drained_and_doubtful(&installation, *driver), (1, 0));

        for left_open in ["BEGIN; SELECT pg_sleep(0.05)", "BEGIN; SELECT pg_sleep(0.05); SELECT nonsense"] {
            assert!(send_and_drop(acme.run_all(left_open)).await, "it sleeps for longer than that");
            assert!(acme.is_outside_transaction().await, "a transaction was inherited");
        }
        let (_, doubtful) = drained_and_doubtful(&installation, *driver);
        assert_eq!(doubtful, 2, "an open transaction is never cleaned");
    }
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
    assert_eq!(drained_and_doubtful(&installation, Driver::Sqlx), (0, cut_off));
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
    for driver in Driver::ALL {
        let installation = with_one_connection(&[]).await;
        let (acme, globex) = installation.pair(*driver).await;
        let schema = "SELECT current_schema()::text";
        for _ in 0..20 {
            assert_eq!(acme.text(schema).await, acme.schema());
            send_and_drop_unanswered(&acme.text(BACKEND).await, globex.run(schema)).await;
            assert_eq!(acme.text(schema).await, acme.schema());
        }
    }
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
    // Long enough to open a connection on a busy machine.
    let pool =
        PoolConfig { max_connections: 1, acquire_timeout: Duration::from_secs(1), ..PoolConfig::default() };
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
