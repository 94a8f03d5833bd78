//! 6. What was undone is in the diary, also where whoever undid it died before it wrote that down.

use std::path::Path;

use super::crashes::until_nobody_holds_a_lock;
use super::victim::{dies, victim_at};
use crate::fail_point::FailPoint;
use crate::fixture::{Installation, TemporaryDirectory, installation};
use crate::migrate::{MigrateOptions, Migrations};
use crate::observe::Outcome;
use crate::registry::{Run, RunEntry};
use crate::{Fleet, NewTenant, PoolConfig, Tenancy};

/// Variables of the process that dies: its database and its files.
const VICTIM_URL: &str = "TENANTRY_UNDOING_URL";
const VICTIM_FOLDER: &str = "TENANTRY_UNDOING_FOLDER";

/// Files that share a transaction on the way back, and one before them that is in none.
const FILES: [(&str, &str, &str); 4] = [
    ("0001_note", "CREATE TABLE note (id int)", "DROP TABLE note"),
    ("0002_title", "ALTER TABLE note ADD title text", "ALTER TABLE note DROP title"),
    ("0003_body", "ALTER TABLE note ADD body text", "ALTER TABLE note DROP body"),
    (
        "0004_index",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY note_title ON note (title)",
        "-- no-transaction\nDROP INDEX CONCURRENTLY note_title",
    ),
];
const SLUGS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

async fn open(url: &str, folder: &Path) -> Tenancy {
    let files = Migrations::from_dirs(folder.join("master"), folder.join("tenant")).unwrap();
    let database = crate::DatabaseConfig::from_url(url).unwrap();
    Tenancy::builder().database(database).migrations(files).connect().await.unwrap()
}

fn back() -> MigrateOptions {
    MigrateOptions { to: Some(1), ..Fleet::all().into() }
}

#[tokio::test]
async fn what_was_undone_is_in_the_diary_of_who_died() {
    let installation = installation(&[], PoolConfig::default()).await;
    let folder = TemporaryDirectory::new();
    for part in ["master", "tenant"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
    }
    for (name, up, down) in FILES {
        std::fs::write(folder.path().join(format!("tenant/{name}.up.sql")), up).unwrap();
        std::fs::write(folder.path().join(format!("tenant/{name}.down.sql")), down).unwrap();
    }
    let tenancy = open(installation.database.url(), folder.path()).await;
    for slug in SLUGS {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    for (point, resumes) in
        [(FailPoint::AfterMigrate, true), (FailPoint::AfterFinish, true), (FailPoint::AfterMigrate, false)]
    {
        die_at(point, &installation, folder.path());
        until_nobody_holds_a_lock(&installation).await;
        let run = tenancy.runs(1).await.unwrap().remove(0);
        let mut undone = Vec::new();
        for slug in SLUGS {
            undone.push((slug, undone_in(&installation, &tenancy, slug).await));
        }
        assert!(undone.iter().any(|(_, versions)| !versions.is_empty()), "{point:?}");
        if resumes {
            let rest = MigrateOptions::resuming(&run).unwrap();
            let summary = tenancy.migrate(rest, |_: &Outcome<'_>| {}).await.unwrap();
            assert_eq!(summary.failed, 0, "{point:?}");
            undone = SLUGS.iter().map(|slug| (*slug, vec![4, 3, 2])).collect();
        }
        tenancy.migrate(Fleet::all(), |_: &Outcome<'_>| {}).await.unwrap();
        undone.retain(|(_, versions)| !versions.is_empty());
        let diary = diary(&tenancy, &run).await;
        let told: Vec<_> =
            diary.iter().map(|entry| (entry.slug.as_deref().unwrap(), entry.undone.clone())).collect();
        assert_eq!(told, undone, "{point:?}");
        for entry in diary {
            assert_eq!(entry.from_version, Some(4), "{point:?}: {entry:?}");
            // Where the process died in the middle of the file without a transaction, that turns out to be applied.
            assert!(entry.applied.is_empty() || entry.applied == [4], "{point:?}: {entry:?}");
            let is_back = entry.undone == [4, 3, 2];
            assert_eq!(entry.error.is_none(), is_back, "{point:?}: {entry:?}");
        }
    }
}

async fn diary(tenancy: &Tenancy, run: &Run) -> Vec<RunEntry> {
    tenancy.run_entries_after(run, None, 100).await.unwrap()
}

/// The versions that the ledger lacks, the newest first. One that was being undone is marked in it.
async fn undone_in(installation: &Installation, tenancy: &Tenancy, slug: &str) -> Vec<i64> {
    let tenant = tenancy.tenant(slug).await.unwrap();
    let missing = format!(
        "SELECT version FROM generate_series(4, 1, -1) AS version \
         WHERE version NOT IN (SELECT version FROM \"{}\"._sqlx_migrations)",
        tenant.schema()
    );
    let missing = sqlx::query_scalar::<_, i32>(sqlx::AssertSqlSafe(missing));
    let missing = missing.fetch_all(&mut installation.outside().await).await.unwrap();
    missing.into_iter().map(i64::from).collect()
}

fn die_at(point: FailPoint, installation: &Installation, folder: &Path) {
    let mut victim = victim_at("invariants::undone::victim", point);
    dies(victim.env(VICTIM_URL, installation.database.url()).env(VICTIM_FOLDER, folder));
}

/// The work of the process that dies. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let Ok(url) = std::env::var(VICTIM_URL) else { return };
    let folder = std::env::var(VICTIM_FOLDER).unwrap();
    open(&url, folder.as_ref()).await.migrate(back(), |_: &Outcome<'_>| {}).await.unwrap();
}
