use std::{collections::HashSet, time::Instant};

use sqlx::Row as _;
use tenantry_embedded::{ScratchDatabase, ScratchPooler};

use crate::bench::{ask, connect, run};

#[tokio::test]
async fn a_fresh_database_is_empty_and_takes_milliseconds() {
    let _first = ScratchDatabase::create().await.unwrap();
    let mut fastest = f64::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        let database = ScratchDatabase::create().await.unwrap();
        fastest = fastest.min(start.elapsed().as_secs_f64());
        let tables: i64 =
            ask(database.url(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await;
        assert_eq!(tables, 0);
    }
    eprintln!("fresh database: {:.1} ms", fastest * 1000.0);
    assert!(fastest < 0.25, "the fastest of ten took {fastest} s");
}

#[tokio::test]
async fn a_pooler_lends_one_session_to_all() {
    use sqlx::Connection as _;

    let database = ScratchDatabase::create().await.unwrap();
    let pooler = ScratchPooler::start(&[database.url()], 1).await.unwrap();
    let options: sqlx::postgres::PgConnectOptions = pooler.url(database.url()).parse().unwrap();
    let mut processes = HashSet::new();
    for _ in 0..3 {
        let mut client =
            sqlx::PgConnection::connect_with(&options.clone().extra_float_digits(None)).await.unwrap();
        let row = sqlx::raw_sql("SELECT pg_backend_pid()::text").fetch_one(&mut client).await.unwrap();
        processes.insert(row.get::<String, _>(0));
    }
    assert_eq!(processes.len(), 1);
}

#[tokio::test]
async fn databases_do_not_see_each_other() {
    let (one, other) = tokio::try_join!(ScratchDatabase::create(), ScratchDatabase::create()).unwrap();
    assert_ne!(one.name(), other.name());
    run(one.url(), "CREATE TABLE mine (id int)").await;
    let seen: bool = ask(other.url(), "SELECT to_regclass('mine') IS NOT NULL").await;
    assert!(!seen);
}

#[tokio::test]
async fn the_owner_may_do_anything_in_its_database_but_is_no_superuser() {
    let database = ScratchDatabase::create().await.unwrap();
    let name: String = ask(database.url(), "SELECT current_database()::text").await;
    assert_eq!(name, database.name());
    let plain = "SELECT NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)
                 FROM pg_roles WHERE rolname = current_user";
    assert!(ask::<bool>(database.url(), plain).await);
    run(database.url(), "CREATE SCHEMA shop CREATE TABLE shelf (id int)").await;
    run(database.url(), "DROP SCHEMA shop CASCADE").await;
}

#[tokio::test]
async fn the_superuser_is_one() {
    let database = ScratchDatabase::create().await.unwrap();
    assert_eq!(ask::<String>(database.superuser_url(), "SHOW is_superuser").await, "on");
    let name: String = ask(database.superuser_url(), "SELECT current_database()::text").await;
    assert_eq!(name, database.name());
}

#[tokio::test]
async fn nobody_gets_in_without_the_password_or_from_elsewhere() {
    let database = ScratchDatabase::create().await.unwrap();
    let (before, after) = database.url().split_once('@').unwrap();
    let (role, _) = before.rsplit_once(':').unwrap();
    for url in [format!("{role}@{after}"), format!("{role}:wrong@{after}")] {
        assert!(<sqlx::PgConnection as sqlx::Connection>::connect(&url).await.is_err());
    }
    assert_eq!(ask::<String>(database.url(), "SHOW listen_addresses").await, "127.0.0.1");
}

#[tokio::test]
async fn text_is_utf_8() {
    let database = ScratchDatabase::create().await.unwrap();
    assert_eq!(ask::<String>(database.url(), "SELECT current_setting('server_encoding')").await, "UTF8");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_ask_at_once() {
    let asked: Vec<_> = (0..40).map(|_| tokio::spawn(ScratchDatabase::create())).collect();
    let mut databases = Vec::new();
    for one in asked {
        databases.push(one.await.unwrap().unwrap());
    }
    let names: HashSet<_> = databases.iter().map(ScratchDatabase::name).collect();
    assert_eq!(names.len(), 40);
}

#[tokio::test]
async fn a_database_goes_with_its_value_even_if_somebody_is_connected() {
    let witness = ScratchDatabase::create().await.unwrap();
    let database = ScratchDatabase::create().await.unwrap();
    let _connected = connect(database.url()).await;
    let name = database.name().to_owned();
    drop(database);
    let mut witness = connect(witness.url()).await;
    for _ in 0..500 {
        let query = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) \
             OR EXISTS (SELECT FROM pg_roles WHERE rolname = $1)";
        let there: bool = sqlx::query_scalar(query).bind(&name).fetch_one(&mut witness).await.unwrap();
        if !there {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{name} is still there");
}

#[test]
fn a_database_may_be_used_by_one_runtime_after_the_other() {
    for _ in 0..3 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let database = ScratchDatabase::create().await.unwrap();
            assert_eq!(ask::<i32>(database.url(), "SELECT 1").await, 1);
        });
    }
}

#[tokio::test]
async fn a_request_that_is_cancelled_disturbs_nobody() {
    for _ in 0..5 {
        let request = ScratchDatabase::create();
        let _ = tokio::time::timeout(std::time::Duration::from_millis(1), request).await;
    }
    assert_eq!(ask::<i32>(ScratchDatabase::create().await.unwrap().url(), "SELECT 1").await, 1);
}
