//! A tenant that is made in several transactions is served when all of it is there, whoever dies on the way.

use std::process::{Command, Output};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::crashes::{check_agreement, open, until_nobody_holds_a_lock};
use crate::error::ErrorKind;
use crate::fail_point::FailPoint;
use crate::fixture::{Installation, TemporaryDirectory, installation, pg_dump};
use crate::tenant::{SchemaName, Status};
use crate::{CloneOptions, NewTenant, PurgeOptions, Result, SourceDatabase, Tenancy};
#[cfg(feature = "archive")]
use crate::{ExportOptions, FromArchive, archive::ArchiveFile};

const FILES: [&str; 1] = ["CREATE TABLE note (id int PRIMARY KEY, title text); CREATE INDEX ON note (title)"];

/// Variables of the process that dies: the database it works in, the place of an archive, and what it does.
const VICTIM_URL: &str = "TENANTRY_PIECES_VICTIM_URL";
const VICTIM_FOLDER: &str = "TENANTRY_PIECES_VICTIM_FOLDER";
const VICTIM_WORK: &str = "TENANTRY_PIECES_VICTIM_WORK";
const VICTIM_LIES: &str = "TENANTRY_PIECES_VICTIM_LIES";
/// Set, the clone is made anonymous; to `in-pieces`, its rows may be committed before.
const VICTIM_ANONYMIZES: &str = "TENANTRY_PIECES_VICTIM_ANONYMIZES";

/// The locks of a server with PostgreSQL's own settings: 64 for each of 100 connections.
const DEFAULT_ROOM: i64 = 64 * 100;

/// The ways to a tenant `copy` that may take several transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// By several sessions.
    Clone,
    Database,
    #[cfg(feature = "archive")]
    Archive,
}

/// The ground on which they work.
struct Ground<'a> {
    tenancy: &'a Tenancy,
    url: &'a str,
    folder: &'a std::path::Path,
    /// Dumps tell of another structure than there is.
    lies: bool,
}

impl Work {
    const ALL: &[Self] = &[
        Self::Clone,
        Self::Database,
        #[cfg(feature = "archive")]
        Self::Archive,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Clone => "clone",
            Self::Database => "database",
            #[cfg(feature = "archive")]
            Self::Archive => "archive",
        }
    }

    /// The boundaries between its transactions, and one within the last of them.
    fn points(self) -> [FailPoint; 4] {
        let [begun, filled] = match self {
            Self::Clone => [FailPoint::CloneBegun, FailPoint::CloneFilled],
            Self::Database => [FailPoint::DatabaseTables, FailPoint::DatabaseRows],
            #[cfg(feature = "archive")]
            Self::Archive => [FailPoint::ImportBegun, FailPoint::ImportFilled],
        };
        [FailPoint::RowEntered, begun, filled, FailPoint::SchemaCommitted]
    }

    /// Makes `copy`, and answers with the number of rows.
    async fn run(self, ground: &Ground<'_>) -> Result<u64> {
        let Ground { tenancy, url, .. } = *ground;
        let dump = async |arguments: &[String]| Ok::<_, crate::Error>(ground.dump(arguments));
        match self {
            Self::Clone => {
                let acme = tenancy.tenant("acme").await?;
                let options = clone_options();
                Ok(tenancy.clone_tenant(&acme, NewTenant::new("copy"), options, dump).await?.rows)
            }
            Self::Database => {
                let schema = tenancy.tenant("acme").await?.schema().clone();
                let schema = SchemaName::parse(schema.as_str())?;
                let source = SourceDatabase::from_url(url)?.schema(schema).without_other_schemas();
                Ok(tenancy.import_database(&source, NewTenant::new("copy"), dump).await?.rows)
            }
            #[cfg(feature = "archive")]
            Self::Archive => {
                let file = ground.folder.join("acme.tar.zst");
                let open = move || Ok(Box::new(std::fs::File::open(&file)?) as Box<_>);
                Ok(tenancy.import(open, &FromArchive::default().slug("copy")).await?.rows)
            }
        }
    }
}

fn clone_options() -> CloneOptions {
    let Ok(how) = std::env::var(VICTIM_ANONYMIZES) else { return CloneOptions::default() };
    let options = CloneOptions::default().anonymize("a.sql", "UPDATE note SET title = 'somebody'");
    if how == "in-pieces" { options.anonymize_in_pieces() } else { options }
}

impl Ground<'_> {
    fn dump(&self, arguments: &[String]) -> String {
        let index = if self.lies { "(id)" } else { "(title)" };
        pg_dump(self.url, arguments).replace("(title)", index)
    }

    #[cfg(feature = "archive")]
    async fn export(&self) {
        let acme = self.tenancy.tenant("acme").await.unwrap();
        let dump = async |arguments: &[String]| Ok::<_, crate::Error>(self.dump(arguments));
        let place = ArchiveFile::create(self.folder.join("acme.tar.zst"), false).unwrap();
        let to = place.writer().unwrap();
        self.tenancy.export(&acme, to, &ExportOptions::default(), dump).await.unwrap();
        place.keep().unwrap();
    }

    #[cfg(not(feature = "archive"))]
    #[allow(clippy::unused_async, reason = "as with archives")]
    async fn export(&self) {}

    /// A process in which one transaction has locks for so many, and whatever there is is much.
    fn victim(&self, work: &str, locks: i64) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "invariants::in_pieces::victim", "--nocapture"])
            .env("TENANTRY_LOCKS", locks.to_string())
            .env("TENANTRY_MANY_BYTES", "0")
            .env(VICTIM_URL, self.url)
            .env(VICTIM_FOLDER, self.folder)
            .env(VICTIM_WORK, work);
        command
    }

    async fn purge_copy(&self) {
        let copy = self.tenancy.tenant("copy").await.unwrap();
        let deleted = self.tenancy.delete(&copy).await.unwrap();
        let now = PurgeOptions { now: true, ..PurgeOptions::default() };
        self.tenancy.purge(&deleted, now).await.unwrap();
    }
}

async fn acme() -> (Installation, TemporaryDirectory) {
    let installation = installation(&FILES, crate::PoolConfig::default()).await;
    installation.run_as_superuser("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    sqlx::query("INSERT INTO note VALUES (1), (2)").execute(&acme).await.unwrap();
    (installation, TemporaryDirectory::new())
}

fn check_death(output: &Output, what: &str) {
    assert!(!output.status.success(), "{what} was not reached");
    assert!(output.status.code().is_none(), "it died of something else: {output:?}");
}

#[tokio::test]
async fn whoever_dies_between_two_transactions_leaves_what_the_same_call_finishes() {
    let (installation, folder) = acme().await;
    let (url, tenancy) = (installation.database.url(), &installation.tenancy);
    let ground = Ground { tenancy, url, folder: folder.path(), lies: false };
    ground.export().await;
    for work in Work::ALL {
        for point in work.points() {
            let what = format!("{work:?} at {point:?}");
            let dies = ground.victim(work.name(), 1).env("TENANTRY_DIE_AT", point.name()).output().unwrap();
            check_death(&dies, &what);
            until_nobody_holds_a_lock(&installation).await;
            // Nobody was served, and whoever asks is told what to do.
            let copy = tenancy.tenant("copy").await.unwrap();
            assert_eq!(copy.status(), Status::Provisioning, "{what}");
            let refused = tenancy.db(&copy).err().map(|error| error.kind());
            assert_eq!(refused, Some(ErrorKind::TenantUnavailable), "{what}");
            let findings = tenancy.doctor().await;
            assert!(findings[0].mend.starts_with("tenantry create copy"), "{what}: {findings:?}");

            work.run(&ground).await.unwrap();
            installation.until("copy", |copy| copy.status() == Status::Active).await;
            let copy = installation.db("copy").await;
            let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&copy).await.unwrap();
            assert_eq!(notes, 2, "{what}");
            drop(copy);
            until_nobody_holds_a_lock(&installation).await;
            check_agreement(&installation, point).await;
            assert_eq!(tenancy.doctor().await, [], "{what}");
            ground.purge_copy().await;
        }
    }
}

#[tokio::test]
async fn what_fails_between_two_transactions_leaves_nothing() {
    let (installation, folder) = acme().await;
    let (url, tenancy) = (installation.database.url(), &installation.tenancy);
    let ground = Ground { tenancy, url, folder: folder.path(), lies: true };
    ground.export().await;
    for work in Work::ALL {
        let output = ground.victim(work.name(), 1).env(VICTIM_LIES, "").output().unwrap();
        assert_eq!(output.status.code(), Some(101), "{work:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("would differ from"), "{work:?}: {said}");
        until_nobody_holds_a_lock(&installation).await;
        check_agreement(&installation, FailPoint::CloneFilled).await;
        assert!(tenancy.tenant("copy").await.is_err(), "{work:?}");
    }
}

#[tokio::test]
async fn no_row_is_committed_before_it_is_anonymous_unless_that_is_allowed() {
    let (installation, folder) = acme().await;
    let (url, tenancy) = (installation.database.url(), &installation.tenancy);
    let ground = Ground { tenancy, url, folder: folder.path(), lies: false };
    let anonymize = |how: &str| ground.victim("clone", 1).env(VICTIM_ANONYMIZES, how).output().unwrap();
    let refused = anonymize("at-once");
    let said = String::from_utf8_lossy(&refused.stderr);
    let says = "would be committed before they are anonymous";
    assert!(!refused.status.success() && said.contains(says), "{said}");
    let mut outside = installation.outside().await;
    let tenants = sqlx::query_scalar("SELECT count(*) FROM tenantry.tenant").fetch_one(&mut outside);
    assert_eq!(tenants.await.unwrap_or(0_i64), 1);

    let allowed = anonymize("in-pieces");
    assert!(allowed.status.success(), "{allowed:?}");
    installation.until("copy", |copy| copy.status() == Status::Active).await;
    let named = "SELECT count(*) FROM note WHERE title = 'somebody'";
    let named: i64 = sqlx::query_scalar(named).fetch_one(&installation.db("copy").await).await.unwrap();
    assert_eq!(named, 2);
}

#[tokio::test]
async fn seven_hundred_tables_are_carried_by_a_server_as_it_is_installed() {
    let (installation, folder) = acme().await;
    let (url, tenancy) = (installation.database.url(), &installation.tenancy);
    let ground = Ground { tenancy, url, folder: folder.path(), lies: false };
    let schema = tenancy.tenant("acme").await.unwrap().schema().clone();
    for from in (0..700).step_by(100) {
        let upto = from + 99;
        installation
            .run(&format!(
                r#"DO $$ BEGIN FOR i IN {from}..{upto} LOOP
                    EXECUTE format('CREATE TABLE "{schema}".t%s (id int PRIMARY KEY, b text)', i);
                END LOOP; INSERT INTO "{schema}".t{from} VALUES (1, 'x'); END $$"#
            ))
            .await;
    }
    let mut watch = PgConnection::connect(url).await.unwrap();
    for work in Work::ALL.iter().skip(1) {
        let mut process = ground.victim(work.name(), DEFAULT_ROOM).spawn().unwrap();
        let mut most = 0;
        let status = loop {
            if let Some(status) = process.try_wait().unwrap() {
                break status;
            }
            let held = "SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid() AND database =
                        (SELECT oid FROM pg_database WHERE datname = current_database())";
            let held: i64 = sqlx::query_scalar(held).fetch_one(&mut watch).await.unwrap();
            most = most.max(held);
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(status.success(), "{work:?}");
        assert!(most > 50 && most < DEFAULT_ROOM, "{work:?}: {most} locks of {DEFAULT_ROOM}");
        installation.until("copy", |copy| copy.status() == Status::Active).await;
        let copy = installation.db("copy").await;
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
        let tables: i64 = sqlx::query_scalar(tables).fetch_one(&copy).await.unwrap();
        assert_eq!(tables, 702, "{work:?}");
        drop(copy);
        ground.purge_copy().await;
    }
}

/// The work of another process. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let [Ok(url), Ok(folder), Ok(work)] = [VICTIM_URL, VICTIM_FOLDER, VICTIM_WORK].map(std::env::var) else {
        return;
    };
    let tenancy = open(&url, &FILES).await;
    let lies = std::env::var(VICTIM_LIES).is_ok();
    let ground = Ground { tenancy: &tenancy, url: &url, folder: folder.as_ref(), lies };
    let work = Work::ALL.iter().find(|known| known.name() == work).unwrap();
    #[cfg(feature = "archive")]
    if *work == Work::Archive && std::env::var("TENANTRY_LOCKS").unwrap() != "1" {
        ground.export().await;
    }
    work.run(&ground).await.unwrap();
}
