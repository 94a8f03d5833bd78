use sqlx::Executor as _;
use sqlx::postgres::PgPoolOptions;
use tenantry::tenant::Alias;
use tenantry::{Error, ErrorKind};

use super::{Behind, create, text};

/// Statements that only a session can run, and what the hint names instead.
const REFUSED: &[(&str, &str)] = &[
    ("SET statement_timeout TO '1s'", "SET LOCAL"),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET LOCAL"),
    ("SELECT set_config('app.actor', 'me', false)", "true"),
    ("RESET ALL", "ends with the transaction"),
    ("LISTEN changes", "past the pooler"),
    ("UNLISTEN *", "past the pooler"),
    ("PREPARE one AS SELECT 1", "the statement itself"),
    ("EXECUTE one", "the statement itself"),
    ("DEALLOCATE ALL", "the statement itself"),
    ("DECLARE one CURSOR WITH HOLD FOR SELECT 1", "leave `WITH HOLD` out"),
    ("COPY note TO STDOUT", "past the pooler"),
    ("LOAD 'plpgsql'", "session_preload_libraries"),
    ("DISCARD ALL", "leave it out"),
    ("CREATE TEMP TABLE one (id int)", "ON COMMIT DROP"),
    ("SELECT 1 AS id INTO TEMP one", "ON COMMIT DROP"),
    ("SELECT pg_advisory_lock(1)", "pg_advisory_xact_lock"),
    ("BEGIN", "db.begin()"),
    ("COMMIT", "tx.commit()"),
    ("SELECT 1; COMMIT; SELECT 2", "tx.commit()"),
    ("VACUUM note", "direct_url"),
    ("CREATE INDEX CONCURRENTLY ON note (id)", "direct_url"),
];

#[track_caller]
fn check<T>(what: &str, result: Result<T, sqlx::Error>, hint: &str) {
    let Err(error) = result else { panic!("{what} is not refused") };
    let error = Error::from(error);
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}: {error:?}");
    assert!(error.to_string().contains("in transaction mode"), "{what}: {error}");
    assert!(error.hint().unwrap().contains(hint), "{what}: {error:?}");
}

#[tokio::test]
async fn what_needs_a_session_is_refused_before_anything_is_sent() {
    let behind = Behind::with_sessions(1).await;
    let tenancy = behind.tenancy(&["CREATE TABLE note (id int)"]).await;
    let acme = create(&tenancy, "acme").await;
    let before = tenancy.status().pools;
    for (sql, hint) in REFUSED {
        check(sql, sqlx::query(*sql).execute(&acme).await, hint);
        check(sql, sqlx::raw_sql(*sql).fetch_optional(&acme).await, hint);
    }
    check("acquire", acme.acquire().await, "begin()");
    check("prepare", (&acme).prepare(sqlx::SqlStr::from_static("SELECT 1")).await, "begin()");
    check("describe", (&acme).describe(sqlx::SqlStr::from_static("SELECT 1")).await, "begin()");
    let stock = tenancy.stock_pool(&Alias::default(), PgPoolOptions::new());
    check("stock pool", stock.map_err(sqlx::Error::from), "begin()");
    assert_eq!(tenancy.status().pools, before, "something was sent");
}

#[tokio::test]
async fn a_refusal_does_not_end_the_transaction() {
    let behind = Behind::with_sessions(1).await;
    let tenancy = behind.tenancy(&["CREATE TABLE note (id int)"]).await;
    let acme = create(&tenancy, "acme").await;
    let mut tx = acme.begin().await.unwrap();
    sqlx::query("INSERT INTO note VALUES (1)").execute(&mut *tx).await.unwrap();
    for (sql, hint) in REFUSED {
        check(sql, sqlx::query(*sql).execute(&mut *tx).await, hint);
    }
    check("the bare connection", tx.as_pg_connection().map(drop), "begin()");
    tx.commit().await.unwrap();
    assert_eq!(text(&acme, "SELECT count(*)::text FROM note").await, "1");
}
