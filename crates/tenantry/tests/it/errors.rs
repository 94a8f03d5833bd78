//! Errors of statements, as a program meets them: what it may try again, what it answers, what it logs.

use sqlx::postgres::PgPoolOptions;
use std::time::Duration;
use tenantry::tenant::SchemaName;
use tenantry::{Error, ErrorKind, NewTenant, TenantDb};
use tenantry_embedded::ScratchDatabase;

use crate::support::{builder, config, database, tenancy};

const NOTE: &str =
    "CREATE TABLE note (title text NOT NULL CONSTRAINT note_title_key UNIQUE CHECK (title <> ''))";

async fn db(database: &ScratchDatabase) -> TenantDb {
    let tenancy = tenancy(database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy.db(&acme).unwrap()
}

async fn insert(db: &TenantDb, title: Option<&str>) -> Error {
    let insert = sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title);
    insert.execute(db).await.map_err(Error::from).unwrap_err()
}

#[tokio::test]
async fn a_broken_constraint_is_named_and_no_attempt_mends_it() {
    let database = database().await;
    let db = db(&database).await;
    sqlx::query("INSERT INTO note (title) VALUES ('anvil')").execute(&db).await.unwrap();
    for (title, constraint, code) in [
        (Some("anvil"), Some("note_title_key"), "23505"),
        (Some(""), Some("note_title_check"), "23514"),
        (None, None, "23502"),
    ] {
        let error = insert(&db, title).await;
        assert_eq!((error.kind(), error.constraint()), (ErrorKind::Database, constraint), "{error:#}");
        assert_eq!(error.database_error().unwrap().code().as_deref(), Some(code));
        assert_eq!((error.is_permanent(), error.is_retryable(), error.status().as_u16()), (true, false, 500));
        let (brief, whole) = (error.to_string(), format!("{error:#}"));
        assert!(whole.starts_with(&brief) && whole.contains("violates"), "{whole}");
        assert_eq!(whole.matches("violates").count(), 1, "nothing is said twice: {whole}");
    }
}

#[tokio::test]
async fn the_programs_own_mistakes_with_types_are_not_the_databases() {
    let database = database().await;
    let db = db(&database).await;
    let number = sqlx::query_scalar::<_, i32>("SELECT 'text'::text").fetch_one(&db).await;
    let null = sqlx::query_scalar::<_, String>("SELECT NULL::text").fetch_one(&db).await;
    let error = Error::from(number.unwrap_err());
    for error in [&error, &Error::from(null.unwrap_err())] {
        assert_eq!((error.kind(), error.is_permanent()), (ErrorKind::Decode, true), "{error:#}");
        assert_eq!((error.status().as_u16(), error.database_code()), (500, None));
    }
    assert!(format!("{error:#}").contains("TEXT"), "{error:#}");
}

#[tokio::test]
async fn pools_of_others_that_are_full_or_closed_are_told_apart() {
    let database = database().await;
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_millis(50));
    let pool = pool.connect(database.url()).await.unwrap();
    let held = pool.acquire().await.unwrap();
    let full = Error::from(sqlx::query("SELECT 1").execute(&pool).await.unwrap_err());
    assert_eq!((full.kind(), full.is_retryable()), (ErrorKind::PoolTimeout, true));
    drop(held);
    pool.close().await;
    let closed = Error::from(sqlx::query("SELECT 1").execute(&pool).await.unwrap_err());
    assert_eq!(
        (closed.kind(), closed.is_retryable(), closed.is_permanent()),
        (ErrorKind::PoolClosed, false, false)
    );
    assert_eq!((full.status().as_u16(), closed.status().as_u16()), (503, 503));
}

#[tokio::test]
async fn what_somebody_can_mend_is_neither_permanent_nor_worth_an_attempt_at_once() {
    let database = database().await;
    let db = db(&database).await;
    let error = Error::from(sqlx::query("SELECT * FROM later").execute(&db).await.unwrap_err());
    assert_eq!(
        (error.is_permanent(), error.is_retryable()),
        (false, false),
        "a migration makes it: {error:#}"
    );
    let other = builder(&database).master_schema(SchemaName::parse("elsewhere").unwrap());
    let tenancy = other.database(config(&database)).connect().await.unwrap();
    let nobody = tenancy.tenant("nobody").await.unwrap_err();
    assert_eq!((nobody.is_permanent(), nobody.status().as_u16()), (true, 404));
    let taken = tenancy.create(NewTenant::new("acme")).await.unwrap_err();
    assert_eq!((taken.is_permanent(), taken.status().as_u16()), (true, 409));
}
