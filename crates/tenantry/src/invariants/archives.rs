//! A process that dies while it writes or imports an archive leaves what the same call finishes.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{Connection as _, PgConnection};

use super::crashes::{check_agreement, open, until_nobody_holds_a_lock};
use super::victim::{dies, victim_at};
use crate::archive::{ArchiveFile, verify};
use crate::error::ErrorKind;
use crate::fail_point::FailPoint;
use crate::fixture::{Installation, TemporaryDirectory, installation, pg_dump};
use crate::registry::AuditState;
use crate::tenant::{Alias, Status};
use crate::{ExportOptions, FromArchive, ImportedTenant, Result, Tenancy};

const FILES: [&str; 2] = ["CREATE TABLE note (id int PRIMARY KEY)", "ALTER TABLE note ADD title text"];

/// Variables of the process that dies: the database it works in, and the archive.
const VICTIM_URL: &str = "TENANTRY_ARCHIVE_VICTIM_URL";
const VICTIM_FILE: &str = "TENANTRY_ARCHIVE_VICTIM_FILE";
/// Set where the archive is imported into another database.
const VICTIM_OTHER_URL: &str = "TENANTRY_ARCHIVE_VICTIM_OTHER_URL";

async fn export(tenancy: &Tenancy, url: &str, file: &Path) -> Result<()> {
    let acme = tenancy.tenant("acme").await?;
    let dump = async |arguments: &[String]| Ok::<_, crate::Error>(pg_dump(url, arguments));
    let place = ArchiveFile::create(file, false)?;
    tenancy.export(&acme, place.writer()?, &ExportOptions::default(), dump).await?;
    place.keep()
}

async fn import(tenancy: &Tenancy, file: &Path) -> Result<ImportedTenant> {
    import_as(tenancy, file, &FromArchive::default().slug("copy")).await
}

async fn import_as(tenancy: &Tenancy, file: &Path, order: &FromArchive) -> Result<ImportedTenant> {
    let file = file.to_owned();
    let open = move || Ok(Box::new(std::fs::File::open(&file)?) as Box<_>);
    tenancy.import(open, order).await
}

/// An installation with two notes of `acme`, and a place for its archive.
async fn acme() -> (Installation, TemporaryDirectory) {
    let installation = installation(&FILES[..1], crate::PoolConfig::default()).await;
    // Anybody may create there until PostgreSQL 14, which doctor tells of.
    installation.run_as_superuser("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    installation.create("acme").await;
    sqlx::query("INSERT INTO note VALUES (1), (2)").execute(&installation.db("acme").await).await.unwrap();
    (installation, TemporaryDirectory::new())
}

fn archive_in(folder: &TemporaryDirectory) -> PathBuf {
    folder.path().join("acme.tar.zst")
}

#[tokio::test]
async fn whoever_dies_while_exporting_leaves_no_file_and_the_same_call_writes_it() {
    let (installation, folder) = acme().await;
    let file = archive_in(&folder);
    let url = installation.database.url();
    for point in FailPoint::OF_EXPORT {
        run_victim(url, &file, point);
        assert!(!file.exists(), "{point:?}");
        until_nobody_holds_a_lock(&installation).await;
        export(&installation.tenancy, url, &file).await.unwrap();
        let rows = verify(std::fs::File::open(&file).unwrap()).unwrap().manifest.rows();
        assert_eq!(rows, 2, "{point:?}");
        std::fs::remove_file(&file).unwrap();
        until_nobody_holds_a_lock(&installation).await;
        check_agreement(&installation, point).await;
        assert_eq!(installation.tenancy.doctor().await, [], "{point:?}");
    }
}

#[tokio::test]
async fn whoever_dies_while_importing_leaves_nothing_or_what_the_same_call_finishes() {
    for point in FailPoint::OF_IMPORT {
        let (installation, folder) = acme().await;
        let file = archive_in(&folder);
        let url = installation.database.url();
        export(&installation.tenancy, url, &file).await.unwrap();
        run_victim(url, &file, point);
        until_nobody_holds_a_lock(&installation).await;
        let is_made = matches!(point, FailPoint::AfterImport | FailPoint::ImportMigrated);
        assert_eq!(installation.tenancy.tenant("copy").await.is_ok(), is_made, "{point:?}");
        if !is_made {
            check_agreement(&installation, point).await;
        }
        let newer = open(url, &FILES).await;
        let imported = import(&newer, &file).await.unwrap();
        assert_eq!(imported.migrated.is_empty(), point == FailPoint::ImportMigrated, "{point:?}");
        let copy = newer.db(&imported.tenant).unwrap();
        let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note WHERE title IS NULL")
            .fetch_one(&copy)
            .await
            .unwrap();
        assert_eq!(notes, 2, "{point:?}");
        let again = import(&newer, &file).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{again}");
        until_nobody_holds_a_lock(&installation).await;
        check_agreement(&installation, point).await;
        newer.migrate(crate::Fleet::all(), |_: &crate::observe::Outcome<'_>| {}).await.unwrap();
        assert_eq!(newer.doctor().await, [], "{point:?}");
    }
}

#[tokio::test]
async fn a_tenant_that_is_not_like_its_archive_is_never_served() {
    let note = "CREATE TABLE note (id int, title text); CREATE INDEX note_title ON note (title)";
    let installation = installation(&[note], crate::PoolConfig::default()).await;
    let acme = installation.create("acme").await;
    let url = installation.database.url();
    let folder = TemporaryDirectory::new();
    let file = archive_in(&folder);
    let place = ArchiveFile::create(&file, false).unwrap();
    // It says something else than the tenant.
    let dump = async |arguments: &[String]| {
        Ok::<_, crate::Error>(pg_dump(url, arguments).replace("(title)", "(id)"))
    };
    installation
        .tenancy
        .export(&acme, place.writer().unwrap(), &ExportOptions::default(), dump)
        .await
        .unwrap();
    place.keep().unwrap();
    let error = import(&installation.tenancy, &file).await.expect_err("it would have another index");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("would differ from the one that was exported"), "{error}");
    assert!(installation.tenancy.tenant("copy").await.is_err());
}

#[tokio::test]
async fn whoever_dies_while_importing_elsewhere_leaves_what_the_same_call_or_create_finishes() {
    let (installation, folder) = acme().await;
    let file = archive_in(&folder);
    let other = tenantry_embedded::ScratchDatabase::create().await.unwrap();
    let url = installation.database.url();
    export(&installation.tenancy, url, &file).await.unwrap();
    let newer = open_both(url, other.url()).await;
    let mut elsewhere = PgConnection::connect(other.superuser_url()).await.unwrap();
    sqlx::raw_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC").execute(&mut elsewhere).await.unwrap();
    newer.migrate(crate::Fleet::all(), |_: &crate::observe::Outcome<'_>| {}).await.unwrap();
    for point in [FailPoint::RowEntered, FailPoint::SchemaCommitted, FailPoint::ImportMigrated] {
        for by_create in [false, true].into_iter().take(1 + usize::from(point != FailPoint::RowEntered)) {
            run_victim_elsewhere(url, other.url(), &file, point);
            until_nobody_holds_a_lock(&installation).await;
            let copy = newer.tenant("copy").await.unwrap();
            assert_eq!(copy.status(), Status::Provisioning, "{point:?}");
            if by_create {
                newer.create(crate::NewTenant::new("copy").database(eu())).await.unwrap();
            } else {
                let imported = import_as(&newer, &file, &elsewhere_as_copy()).await.unwrap();
                assert_eq!(imported.rows, 2, "{point:?}");
            }
            let copy = newer.tenant("copy").await.unwrap();
            assert_eq!((copy.status(), copy.database()), (Status::Active, &eu()), "{point:?}");
            let entries = newer.audit(copy.id(), 5).await.unwrap();
            assert!(entries.iter().all(|entry| entry.state == AuditState::Done), "{point:?}: {entries:?}");
            let notes = "SELECT count(*) FROM note WHERE title IS NULL";
            let notes: i64 = sqlx::query_scalar(notes).fetch_one(&newer.db(&copy).unwrap()).await.unwrap();
            assert_eq!(notes, 2, "{point:?}");
            assert_eq!(newer.doctor().await, [], "{point:?}");
            let deleted = newer.delete(&copy).await.unwrap();
            let now = crate::PurgeOptions { now: true, ..Default::default() };
            newer.purge(&deleted, now).await.unwrap();
        }
    }
}

fn eu() -> Alias {
    Alias::parse("eu").unwrap()
}

fn elsewhere_as_copy() -> FromArchive {
    FromArchive::default().slug("copy").database(eu())
}

async fn open_both(url: &str, other: &str) -> Tenancy {
    crate::fixture::builder_at(url, &FILES, crate::PoolConfig::default())
        .database_as(eu(), crate::DatabaseConfig::from_url(other).unwrap())
        .connect()
        .await
        .unwrap()
}

fn run_victim_elsewhere(url: &str, other: &str, file: &Path, point: FailPoint) {
    dies(importer_at(url, file, point).env(VICTIM_OTHER_URL, other));
}

/// Dies on the way, or fails this test.
fn run_victim(url: &str, file: &Path, point: FailPoint) {
    dies(&mut importer_at(url, file, point));
}

fn importer_at(url: &str, file: &Path, point: FailPoint) -> Command {
    let mut command = victim_at("invariants::archives::victim", point);
    command.env(VICTIM_URL, url).env(VICTIM_FILE, file);
    command
}

/// The work of the process that dies. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let (Ok(url), Ok(file)) = (std::env::var(VICTIM_URL), std::env::var(VICTIM_FILE)) else { return };
    let file = PathBuf::from(file);
    let die_at = std::env::var("TENANTRY_DIE_AT").unwrap();
    if let Ok(other) = std::env::var(VICTIM_OTHER_URL) {
        import_as(&open_both(&url, &other).await, &file, &elsewhere_as_copy()).await.unwrap();
    } else if FailPoint::OF_EXPORT.iter().any(|point| point.name() == die_at) {
        export(&open(&url, &FILES[..1]).await, &url, &file).await.unwrap();
    } else {
        import(&open(&url, &FILES).await, &file).await.unwrap();
    }
}
