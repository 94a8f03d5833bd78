//! A copy in another database: like its source or not served, and finished or undone by whoever comes next.
#![allow(clippy::print_stdout, reason = "the number of boundaries is asked for")]

use std::process::Command;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_embedded::ScratchDatabase;

use super::crashes::{check_agreement, until_nobody_holds_a_lock};
use super::victim::{dies, victim_at};
use crate::error::ErrorKind;
use crate::fail_point::FailPoint;
use crate::fixture::{Installation, builder, pg_dump};
use crate::registry::AuditState;
use crate::tenant::{Alias, Status, Verb};
use crate::{CloneOptions, Cloned, DatabaseConfig, NewTenant, PoolConfig, Result, Tenancy};

const NOTE: &str =
    "CREATE TABLE note (id int PRIMARY KEY, title text); CREATE INDEX note_title ON note (title)";

/// Variables of the process that dies: its two databases.
const VICTIM_URL: &str = "TENANTRY_ELSEWHERE_VICTIM_URL";
const VICTIM_OTHER_URL: &str = "TENANTRY_ELSEWHERE_VICTIM_OTHER_URL";
/// Set where it imports a database.
const VICTIM_IMPORTS: &str = "TENANTRY_ELSEWHERE_VICTIM_IMPORTS";

fn eu() -> Alias {
    Alias::parse("eu").unwrap()
}

async fn open(database: &str, other: &str) -> Tenancy {
    crate::fixture::builder_at(database, &[NOTE], PoolConfig::default())
        .database_as(eu(), DatabaseConfig::from_url(other).unwrap())
        .connect()
        .await
        .unwrap()
}

/// An installation with two notes of `acme` in the default database, and another database.
async fn acme() -> (Installation, ScratchDatabase) {
    let other = ScratchDatabase::create().await.unwrap();
    let database = std::sync::Arc::new(ScratchDatabase::create().await.unwrap());
    let config = DatabaseConfig::from_url(other.url()).unwrap();
    let tenancy =
        builder(&database, &[NOTE], PoolConfig::default()).database_as(eu(), config).connect().await.unwrap();
    let installation = Installation { tenancy, database };
    installation.create("acme").await;
    sqlx::query("INSERT INTO note VALUES (1), (2)").execute(&installation.db("acme").await).await.unwrap();
    // Anybody may create there until PostgreSQL 14, which doctor tells of.
    installation.run_as_superuser("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    run(other.superuser_url(), "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    (installation, other)
}

async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}

async fn clone(tenancy: &Tenancy, url: &str) -> Result<Cloned> {
    let acme = tenancy.tenant("acme").await?;
    let dump = async |arguments: &[String]| Ok(pg_dump(url, arguments));
    tenancy.clone_tenant(&acme, NewTenant::new("copy").database(eu()), CloneOptions::default(), dump).await
}

async fn schemas(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let count = r"SELECT count(*) FROM pg_namespace WHERE nspname LIKE 't\_copy%'";
    sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_copy_in_another_database_that_is_not_like_its_source_is_never_served() {
    let (installation, other) = acme().await;
    let url = installation.database.url();
    clone(&installation.tenancy, url).await.unwrap();
    installation.run("DELETE FROM tenantry.tenant WHERE slug = 'copy'").await;
    // What is kept is not what it says any more.
    installation.run("UPDATE tenantry.structure SET post_data = replace(post_data, '(title)', '(id)')").await;
    let error = clone(&installation.tenancy, url).await.expect_err("it would have another index");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("index `note_title`"), "{error}");
    assert!(installation.tenancy.tenant("copy").await.is_err());
    assert_eq!(schemas(other.url()).await, 1, "that of the first, which has no row");
}

#[tokio::test]
async fn whoever_dies_while_copying_elsewhere_leaves_what_the_same_call_finishes_or_abort_removes() {
    let (installation, other) = acme().await;
    let (url, tenancy) = (installation.database.url(), &installation.tenancy);
    let mut elsewhere = PgConnection::connect(other.url()).await.unwrap();
    for point in FailPoint::OF_CLONE_ELSEWHERE {
        let is_half_made = matches!(point, FailPoint::RowEntered | FailPoint::SchemaCommitted);
        for is_given_up in [false, true].into_iter().take(1 + usize::from(is_half_made)) {
            run_victim(url, other.url(), point);
            until_nobody_holds_a_lock(&installation).await;
            until_nobody_works(&mut elsewhere).await;
            let left = tenancy.tenant("copy").await.ok().map(|copy| copy.status());
            let expect = match point {
                _ if is_half_made => Some(Status::Provisioning),
                FailPoint::AfterClone | FailPoint::StructureKept => Some(Status::Active),
                _ => None,
            };
            assert_eq!(left, expect, "{point:?}");
            let is_there = left.is_some() && point != FailPoint::RowEntered;
            assert_eq!(schemas(other.url()).await, i64::from(is_there), "{point:?}");
            if is_half_made {
                check_half_made(tenancy, point).await;
                if is_given_up {
                    let aborted = tenancy.abort_creation("copy").await.unwrap();
                    check_entries(tenancy, &aborted, AuditState::Undone).await;
                }
            }
            let cloned = clone(tenancy, url).await;
            match cloned {
                Ok(cloned) => assert_eq!(cloned.rows, 2, "{point:?}"),
                Err(error) => {
                    assert_eq!((error.kind(), left), (ErrorKind::AlreadyExists, Some(Status::Active)));
                }
            }
            let copy = tenancy.tenant("copy").await.unwrap();
            assert_eq!((copy.status(), copy.database()), (Status::Active, &eu()), "{point:?}");
            check_entries(tenancy, &copy, AuditState::Done).await;
            let db = tenancy.db(&copy).unwrap();
            let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await.unwrap();
            assert_eq!(notes, 2, "{point:?}");
            drop(db);
            assert_eq!(tenancy.doctor().await, [], "{point:?}");
            let deleted = tenancy.delete(&copy).await.unwrap();
            let now = crate::PurgeOptions { now: true, ..Default::default() };
            tenancy.purge(&deleted, now).await.unwrap();
            check_agreement(&installation, point).await;
            assert_eq!(schemas(other.url()).await, 0, "{point:?}");
        }
    }
    println!("{} boundaries", FailPoint::OF_CLONE_ELSEWHERE.len());
}

/// Doctor has the command that goes on, and nobody makes an empty schema where a copy was to be.
async fn check_half_made(tenancy: &Tenancy, point: FailPoint) {
    let is_there = point == FailPoint::SchemaCommitted;
    let findings = tenancy.doctor().await;
    let [finding] = &findings[..] else { panic!("{point:?}: {findings:?}") };
    let expect =
        if is_there { "tenantry create copy --database eu" } else { "tenantry create copy --abort --yes" };
    assert!(finding.mend.starts_with(expect), "{finding:?}");
    if !is_there {
        let refused = tenancy.create(NewTenant::new("copy").database(eu())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().contains("was to be made by `clone`"), "{refused}");
    }
}

async fn check_entries(tenancy: &Tenancy, copy: &crate::Tenant, ending: AuditState) {
    let entries = tenancy.audit(copy.id(), 10).await.unwrap();
    let clone = entries.iter().find(|entry| entry.verb == Verb::Clone.as_str()).unwrap();
    assert_eq!((clone.state, &clone.options["source"]), (ending, &"acme".into()));
    assert!(entries.iter().all(|entry| entry.state != AuditState::Begun), "{entries:?}");
}

/// The server notices a moment later that a process is gone.
async fn until_nobody_works(connection: &mut PgConnection) {
    let count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    for _ in 0..200 {
        let locks: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await.unwrap();
        if locks == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
}

/// Dies on the way, or fails this test.
fn run_victim(url: &str, other: &str, point: FailPoint) {
    dies(&mut copier_at(url, other, point));
}

fn copier_at(url: &str, other: &str, point: FailPoint) -> Command {
    let mut command = victim_at("invariants::elsewhere::victim", point);
    command.env(VICTIM_URL, url).env(VICTIM_OTHER_URL, other);
    command
}

#[tokio::test]
async fn whoever_dies_while_copying_in_pieces_leaves_what_the_same_call_makes_anew() {
    let (installation, other) = acme().await;
    let (url, tenancy) = (installation.database.url(), &installation.tenancy);
    let mut elsewhere = PgConnection::connect(other.url()).await.unwrap();
    for point in [FailPoint::RowEntered, FailPoint::CloneFilled, FailPoint::SchemaCommitted] {
        // There are locks for no table.
        dies(copier_at(url, other.url(), point).env("TENANTRY_LOCKS", "1"));
        until_nobody_holds_a_lock(&installation).await;
        until_nobody_works(&mut elsewhere).await;
        assert_eq!(tenancy.tenant("copy").await.unwrap().status(), Status::Provisioning, "{point:?}");
        assert_eq!(schemas(other.url()).await, i64::from(point != FailPoint::RowEntered), "{point:?}");
        check_half_made(tenancy, point).await;
        let again = copier_at(url, other.url(), FailPoint::InScratch).env("TENANTRY_LOCKS", "1").output();
        assert!(again.as_ref().unwrap().status.success(), "{again:?}");
        // Another process has made it.
        installation.until("copy", |copy| copy.status() == Status::Active).await;
        let copy = tenancy.tenant("copy").await.unwrap();
        let notes = "SELECT count(*) FROM note";
        let notes: i64 = sqlx::query_scalar(notes).fetch_one(&tenancy.db(&copy).unwrap()).await.unwrap();
        assert_eq!((notes, schemas(other.url()).await), (2, 1), "{point:?}");
        assert_eq!(tenancy.doctor().await, [], "{point:?}");
        let deleted = tenancy.delete(&copy).await.unwrap();
        tenancy.purge(&deleted, crate::PurgeOptions { now: true, ..Default::default() }).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_dies_while_importing_a_database_elsewhere_leaves_what_the_same_call_finishes() {
    let (installation, other) = acme().await;
    let shop = "CREATE SCHEMA shop; CREATE TABLE shop.note (id int PRIMARY KEY, title text);
                CREATE INDEX note_title ON shop.note (title); INSERT INTO shop.note VALUES (1), (2)";
    installation.run(shop).await;
    let (url, tenancy) = (installation.database.url(), &installation.tenancy);
    let mut elsewhere = PgConnection::connect(other.url()).await.unwrap();
    for point in [FailPoint::RowEntered, FailPoint::SchemaCommitted] {
        dies(copier_at(url, other.url(), point).env(VICTIM_IMPORTS, ""));
        until_nobody_holds_a_lock(&installation).await;
        until_nobody_works(&mut elsewhere).await;
        assert_eq!(tenancy.tenant("copy").await.unwrap().status(), Status::Provisioning, "{point:?}");
        let imported = import(tenancy, url).await.unwrap();
        assert_eq!((imported.rows, imported.version), (2, Some(1)), "{point:?}");
        assert_eq!(imported.tenant.database(), &eu(), "{point:?}");
        let again = import(tenancy, url).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{again}");
        let deleted = tenancy.delete(&imported.tenant).await.unwrap();
        tenancy.purge(&deleted, crate::PurgeOptions { now: true, ..Default::default() }).await.unwrap();
    }
}

/// Takes a schema of the default database for that of a customer.
async fn import(tenancy: &Tenancy, url: &str) -> Result<crate::ImportedDatabase> {
    let schema = crate::tenant::SchemaName::parse("shop")?;
    let source = crate::SourceDatabase::from_url(url)?.schema(schema).without_other_schemas();
    let dump = async |arguments: &[String]| Ok(pg_dump(url, arguments));
    tenancy.import_database(&source, NewTenant::new("copy").database(eu()), dump).await
}

/// The work of the process that dies. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let (Ok(url), Ok(other)) = (std::env::var(VICTIM_URL), std::env::var(VICTIM_OTHER_URL)) else { return };
    let tenancy = open(&url, &other).await;
    if std::env::var(VICTIM_IMPORTS).is_ok() {
        import(&tenancy, &url).await.unwrap();
    } else {
        clone(&tenancy, &url).await.unwrap();
    }
}
