//! The comment by which a statement names its tenant on the server, whichever the driver.

use std::sync::{Arc, Mutex};

#[cfg(feature = "tokio-postgres")]
use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _};
use tenantry_embedded::ScratchDatabase;

use super::statements::Mood;
use crate::PoolConfig;
use crate::database::Comment;
use crate::fixture::{Driver, Installation, builder, installation};
use crate::pool::Traceparent;

const NOTE: &str = "CREATE TABLE note (title text)";
/// The text of the statement itself, as others see it.
const OWN_TEXT: &str =
    "SELECT query FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()";

/// One connection that keeps this many statements.
async fn with_comments(statements: usize) -> Installation {
    let pool = PoolConfig {
        max_connections: 1,
        statement_cache_capacity: statements,
        comment: Comment::Tenant,
        ..PoolConfig::default()
    };
    installation(&[NOTE], pool).await
}

/// The last text of the only session that ran one like this, seen by somebody else.
async fn text_of_session(installation: &Installation, like: &'static str) -> String {
    let select = "SELECT query FROM pg_stat_activity WHERE query LIKE $1 AND pid <> pg_backend_pid()";
    let select = sqlx::query_scalar(select).bind(like);
    select.fetch_one(&mut installation.outside().await).await.unwrap()
}

#[tokio::test]
async fn each_statement_names_its_tenant_on_the_server() {
    for driver in Driver::ALL {
        let installation = with_comments(100).await;
        let (acme, globex) = installation.pair(*driver).await;
        for (tables, slug) in [(&acme, "acme"), (&globex, "globex"), (&acme, "acme")] {
            let mark = format!("\n/*tenant='{slug}'*/");
            assert_eq!(tables.text(OWN_TEXT).await, format!("{OWN_TEXT}{mark}"), "{driver:?}");
            let mut tx = tables.begin().await.unwrap();
            assert_eq!(tx.text(OWN_TEXT).await, format!("{OWN_TEXT}{mark}"), "{driver:?}");
            tx.run("INSERT INTO note VALUES ('x') -- of a transaction").await.unwrap();
            let seen = text_of_session(&installation, "INSERT INTO note%").await;
            assert_eq!(seen, format!("INSERT INTO note VALUES ('x') -- of a transaction{mark}"));
            tx.rollback().await.unwrap();
        }
    }
}

const SEVERAL: &str = "SELECT 'several'; SELECT 2";
const COPY: &str = "COPY note FROM STDIN";

#[tokio::test]
async fn several_statements_and_rows_in_bulk_name_their_tenant_and_the_master_names_none() {
    let installation = with_comments(100).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    // In a transaction, so that nothing else is sent behind them.
    let mut tx = acme.begin().await.unwrap();
    sqlx::raw_sql(SEVERAL).execute(&mut *tx).await.unwrap();
    let seen = text_of_session(&installation, "SELECT 'several'%").await;
    assert_eq!(seen, format!("{SEVERAL}\n/*tenant='acme'*/"));
    tx.copy_in(COPY, "a\nb\n".as_bytes()).await.unwrap();
    assert_eq!(text_of_session(&installation, "COPY%").await, format!("{COPY}\n/*tenant='acme'*/"));
    tx.commit().await.unwrap();
    let own: String = sqlx::query_scalar(OWN_TEXT).fetch_one(&installation.tenancy.master()).await.unwrap();
    assert_eq!(own, OWN_TEXT);
}

#[cfg(feature = "tokio-postgres")]
#[tokio::test]
async fn so_they_do_through_tokio_postgres() {
    let installation = with_comments(100).await;
    let acme = installation.create("acme").await;
    let client = installation.tenancy.client(&acme).unwrap();
    let mut tx = client.begin().await.unwrap();
    tx.batch_execute(SEVERAL).await.unwrap();
    let seen = text_of_session(&installation, "SELECT 'several'%").await;
    assert_eq!(seen, format!("{SEVERAL}\n/*tenant='acme'*/"));
    tx.copy_in(COPY, "a\nb\n".as_bytes()).await.unwrap();
    assert_eq!(text_of_session(&installation, "COPY%").await, format!("{COPY}\n/*tenant='acme'*/"));
    tx.commit().await.unwrap();
    let rows: Vec<_> = client.fetch_owned(OWN_TEXT, Vec::new()).try_collect().await.unwrap();
    assert_eq!(rows[0].get::<_, &str>(0), format!("{OWN_TEXT}\n/*tenant='acme'*/"));
    let own = installation.tenancy.master_client().query_one(OWN_TEXT, &[]).await.unwrap();
    assert_eq!(own.get::<_, &str>(0), OWN_TEXT);
}

#[tokio::test]
async fn statements_are_prepared_once_for_each_tenant() {
    const TEXTS: [&str; 3] = ["SELECT 'a' FROM note", "SELECT 'b' FROM note", "SELECT 'c' FROM note"];
    let count = "SELECT count(*) || ' ' || sum(generic_plans + custom_plans) FROM pg_catalog.pg_prepared_statements \
                 WHERE statement ~ '^SELECT ''.'' FROM note\n/\\*tenant=''(acme|globex)''\\*/$'";
    for driver in Driver::ALL {
        let installation = with_comments(100).await;
        let (acme, globex) = installation.pair(*driver).await;
        for _ in 0..3 {
            for tables in [&acme, &globex] {
                for sql in TEXTS {
                    tables.run(sql).await.unwrap();
                }
            }
        }
        assert_eq!(acme.text(count).await, "6 18", "{driver:?}");
    }
}

#[tokio::test]
async fn a_connection_keeps_no_more_statements_than_it_may() {
    for driver in Driver::ALL {
        let installation = with_comments(5).await;
        let (acme, globex) = installation.pair(*driver).await;
        for number in 0..8 {
            for tables in [&acme, &globex] {
                tables.run(&format!("SELECT {number} FROM note")).await.unwrap();
            }
        }
        let count = acme.text("SELECT count(*)::text FROM pg_catalog.pg_prepared_statements").await;
        assert_eq!(count, "5", "{driver:?}");
    }
}

#[tokio::test]
async fn a_broken_text_stays_broken_and_takes_nothing_with_it() {
    for driver in Driver::ALL {
        let installation = with_comments(100).await;
        let (acme, globex) = installation.pair(*driver).await;
        for broken in ["SELECT 'x", "SELECT 'x' /* open", "SELECT $a$x", "SELECT \"x", "SELECT E'x\\'"] {
            acme.run(broken).await.unwrap_err();
            assert!(acme.run_all(broken).await.is_err(), "{driver:?}: {broken}");
            assert_eq!(globex.text("SELECT 'whole' -- to the end").await, "whole");
        }
    }
}

/// The text is known to the connection, but not as that of the tenant that has the type.
#[tokio::test]
async fn types_are_forgotten_also_where_they_were_met_by_a_known_text() {
    let installation = with_comments(100).await;
    for slug in ["acme", "globex", "initech"] {
        installation.create(slug).await;
    }
    let [acme, globex, initech] =
        [installation.db("acme").await, installation.db("globex").await, installation.db("initech").await];
    installation.run(&format!("CREATE TABLE {}.diary (mood text)", acme.tenant().schema())).await;
    for db in [&globex, &initech] {
        let schema = db.tenant().schema();
        let made = format!(
            "CREATE TYPE {schema}.mood AS ENUM ('happy'); CREATE TABLE {schema}.diary (mood {schema}.mood)"
        );
        installation.run(&made).await;
    }
    for db in [&acme, &globex] {
        let rows = sqlx::query("SELECT mood FROM diary").fetch_all(db).await.unwrap();
        assert!(rows.iter().all(|row| row.columns().len() == 1));
    }
    let insert = sqlx::query(AssertSqlSafe("INSERT INTO diary VALUES ($1)")).bind(Mood::Happy);
    insert.execute(&initech).await.unwrap();
}

/// The request that the application says it works for.
type Said = Arc<Mutex<Option<Traceparent>>>;

/// One connection, whose statements name the request.
async fn with_traces(comment: Comment) -> (Installation, Said) {
    let said = Said::default();
    let current = Arc::clone(&said);
    let database = Arc::new(ScratchDatabase::create().await.unwrap());
    let pool = PoolConfig { max_connections: 1, comment, ..PoolConfig::default() };
    let builder = builder(&database, &[NOTE], pool).traceparent(move || *current.lock().unwrap());
    (Installation { tenancy: builder.connect().await.unwrap(), database }, said)
}

fn place(number: u8, is_sampled: bool) -> Option<Traceparent> {
    Traceparent::new([number; 16], [number; 8], is_sampled)
}

const SEVENTH: &str = "traceparent='00-07070707070707070707070707070707-0707070707070707-01'";

#[tokio::test]
async fn a_statement_names_a_request_that_is_sampled_and_no_other() {
    for driver in Driver::ALL {
        let (installation, said) = with_traces(Comment::Tenant).await;
        let (acme, globex) = installation.pair(*driver).await;
        for (tables, slug) in [(&acme, "acme"), (&globex, "globex")] {
            let tenant = format!("{OWN_TEXT}\n/*tenant='{slug}'*/");
            let both = format!("{OWN_TEXT}\n/*tenant='{slug}',{SEVENTH}*/");
            for (request, expect) in [(None, &tenant), (place(7, true), &both), (place(7, false), &tenant)] {
                *said.lock().unwrap() = request;
                assert_eq!(&tables.text(OWN_TEXT).await, expect, "{driver:?}");
                let mut tx = tables.begin().await.unwrap();
                assert_eq!(&tx.text(OWN_TEXT).await, expect, "{driver:?}");
                tx.rollback().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_request_is_named_without_its_tenant_where_only_that_is_asked_for_and_by_the_master_too() {
    let (installation, said) = with_traces(Comment::Off).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    *said.lock().unwrap() = place(7, true);
    let expect = format!("{OWN_TEXT}\n/*{SEVENTH}*/");
    let own: String = sqlx::query_scalar(OWN_TEXT).fetch_one(&acme).await.unwrap();
    assert_eq!(own, expect);
    let own: String = sqlx::query_scalar(OWN_TEXT).fetch_one(&installation.tenancy.master()).await.unwrap();
    assert_eq!(own, expect);
    let mut tx = acme.begin().await.unwrap();
    sqlx::raw_sql(SEVERAL).execute(&mut *tx).await.unwrap();
    let seen = text_of_session(&installation, "SELECT 'several'%").await;
    assert_eq!(seen, format!("{SEVERAL}\n/*{SEVENTH}*/"));
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn no_prepared_statement_goes_for_a_request_that_is_sampled() {
    const TEXT: &str = "SELECT 'kept' FROM note";
    let count = "SELECT count(*) || ' ' || sum(generic_plans + custom_plans) FROM pg_catalog.pg_prepared_statements \
                 WHERE statement LIKE 'SELECT ''kept''%'";
    for driver in Driver::ALL {
        let (installation, said) = with_traces(Comment::Off).await;
        let (acme, _) = installation.pair(*driver).await;
        for number in 1..10 {
            acme.run(TEXT).await.unwrap();
            *said.lock().unwrap() = place(number, true);
            acme.run(TEXT).await.unwrap();
            *said.lock().unwrap() = None;
        }
        assert_eq!(acme.text(count).await, "1 9", "{driver:?}");
    }
}
