//! A process that dies while it writes or imports an archive leaves what the same call finishes.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::crashes::{check_agreement, open, until_nobody_holds_a_lock};
use crate::archive::{ArchiveFile, verify};
use crate::error::ErrorKind;
use crate::fail_point::FailPoint;
use crate::testing::{Installation, installation, pg_dump};
use crate::{ExportOptions, FromArchive, ImportedTenant, Result, Tenancy};

const FILES: [&str; 2] = ["CREATE TABLE note (id int PRIMARY KEY)", "ALTER TABLE note ADD title text"];

/// Variables of the process that dies: the database it works in, and the archive.
const VICTIM_URL: &str = "TENANTRY_ARCHIVE_VICTIM_URL";
const VICTIM_FILE: &str = "TENANTRY_ARCHIVE_VICTIM_FILE";

async fn export(tenancy: &Tenancy, url: &str, file: &Path) -> Result<()> {
    let acme = tenancy.tenant("acme").await?;
    let dump = async |arguments: &[String]| Ok::<_, crate::Error>(pg_dump(url, arguments));
    let place = ArchiveFile::create(file, false)?;
    tenancy.export(&acme, place.writer()?, &ExportOptions::default(), dump).await?;
    place.keep()
}

async fn import(tenancy: &Tenancy, file: &Path) -> Result<ImportedTenant> {
    let file = file.to_owned();
    let open = move || Ok(Box::new(std::fs::File::open(&file)?) as Box<_>);
    tenancy.import(open, &FromArchive::default().slug("copy")).await
}

/// An installation with two notes of `acme`, and a place for its archive.
async fn acme() -> (Installation, PathBuf) {
    let installation = installation(&FILES[..1], crate::PoolConfig::default()).await;
    installation.create("acme").await;
    sqlx::query("INSERT INTO note VALUES (1), (2)").execute(&installation.db("acme").await).await.unwrap();
    let file = std::env::temp_dir().join(format!("tenantry-{}.tar.zst", uuid::Uuid::new_v4()));
    (installation, file)
}

#[tokio::test]
async fn whoever_dies_while_exporting_leaves_no_file_and_the_same_call_writes_it() {
    let (installation, file) = acme().await;
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
    }
}

#[tokio::test]
async fn whoever_dies_while_importing_leaves_nothing_or_what_the_same_call_finishes() {
    for point in FailPoint::OF_IMPORT {
        let (installation, file) = acme().await;
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
        std::fs::remove_file(&file).unwrap();
    }
}

/// Dies on the way, or fails this test.
fn run_victim(url: &str, file: &Path, point: FailPoint) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "invariants::archives::victim", "--nocapture"])
        .env("TENANTRY_DIE_AT", point.name())
        .env(VICTIM_URL, url)
        .env(VICTIM_FILE, file)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{point:?} was not reached");
    assert!(output.status.code().is_none(), "it died of something else: {output:?}");
}

/// The work of the process that dies. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let (Ok(url), Ok(file)) = (std::env::var(VICTIM_URL), std::env::var(VICTIM_FILE)) else { return };
    let file = PathBuf::from(file);
    let die_at = std::env::var("TENANTRY_DIE_AT").unwrap();
    if FailPoint::OF_EXPORT.iter().any(|point| point.name() == die_at) {
        export(&open(&url, &FILES[..1]).await, &url, &file).await.unwrap();
    } else {
        import(&open(&url, &FILES).await, &file).await.unwrap();
    }
}
