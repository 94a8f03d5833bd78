//! 6. Registry and schemas agree after any crash.
//!
//! The process that dies is this test's own program once more, told which test to run and where to die.
#![allow(clippy::print_stdout)]

use sqlx::{Connection as _, PgConnection};

use super::victim::{dies, victim_at};
use crate::fail_point::FailPoint;
use crate::fixture::{Installation, installation};
use crate::migrate::{BaselineOptions, MigrateOptions};
use crate::observe::Outcome;
use crate::registry::{AuditState, RunState};
use crate::tenant::{SchemaName, Status, Suspension};
use crate::{Fleet, NewTenant};

const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY)";

/// Variables of the process that dies, beside where: the database it works in,
const VICTIM_URL: &str = "TENANTRY_VICTIM_URL";
/// and how many files of [`RELEASE`] it has.
const VICTIM_FILES: &str = "TENANTRY_VICTIM_FILES";

#[tokio::test]
async fn whoever_dies_while_making_a_tenant_leaves_all_of_it_or_nothing() {
    for point in FailPoint::OF_CREATION {
        let installation = installation(&[NOTE], crate::PoolConfig::default()).await;
        // Where a spare is claimed, there is one.
        if matches!(point, FailPoint::BeforeClaim | FailPoint::AfterClaim) {
            installation.tenancy.fill_spares(1).await.unwrap();
        }
        run_victim(&installation, point, 1);
        check_agreement(&installation, point).await;

        let made = installation.tenancy.create(NewTenant::new("acme")).await;
        assert_eq!(
            made.is_ok(),
            point != FailPoint::AfterCreate && point != FailPoint::AfterClaim,
            "{point:?}"
        );
        let acme = installation.tenancy.tenant("acme").await.unwrap();
        let db = installation.tenancy.db(&acme).unwrap();
        let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await.unwrap();
        assert_eq!(notes, 0);
        check_agreement(&installation, point).await;
    }
}

/// The files that are migrated when the process dies: some that share a transaction, one that runs outside of any, and
/// one behind it.
const RELEASE: [&str; 5] = [
    NOTE,
    "ALTER TABLE note ADD COLUMN title text",
    "INSERT INTO note VALUES (1, 'once')",
    "-- no-transaction\nCREATE INDEX CONCURRENTLY note_title ON note (title)",
    "INSERT INTO note VALUES (2, 'once')",
];

#[tokio::test]
async fn whoever_dies_while_migrating_leaves_a_run_that_goes_on() {
    let whole = FailPoint::OF_MIGRATION.map(|point| (point, RELEASE.len()));
    // Without the others, the files that share a transaction are sent with the lock.
    let at_once = [FailPoint::BeforeMigrate, FailPoint::AfterMigrate].map(|point| (point, 3));
    for (point, files) in whole.into_iter().chain(at_once) {
        let installation = installation(&[NOTE], crate::PoolConfig::default()).await;
        for slug in ["acme", "globex", "initech"] {
            installation.create(slug).await;
        }
        run_victim(&installation, point, files);

        let tenancy = open(installation.database.url(), &RELEASE[..files]).await;
        let runs = tenancy.runs(1).await.unwrap();
        assert_eq!(runs.is_empty(), point == FailPoint::BeforeRun, "{point:?}");
        let run = runs.first();
        let options = run.map_or_else(MigrateOptions::default, |run| {
            assert_eq!(run.state, RunState::Interrupted, "{point:?}");
            MigrateOptions::resuming(run).unwrap()
        });
        let summary = tenancy.migrate(options, |_: &Outcome<'_>| {}).await.unwrap();
        assert_eq!((summary.migrated + summary.up_to_date, summary.failed), (4, 0), "{point:?}");
        for slug in ["acme", "globex", "initech"] {
            let tenant = tenancy.tenant(slug).await.unwrap();
            assert_eq!(tenant.digest(), Some(&tenancy.migrations().tenant().digest()), "{point:?}");
            let db = tenancy.db(&tenant).unwrap();
            let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await.unwrap();
            assert_eq!(notes, if files == 3 { 1 } else { 2 }, "{point:?}: each file once");
        }
        let run = &tenancy.runs(1).await.unwrap()[0];
        assert_eq!(run.state, RunState::Done, "{point:?}");
        let diary = tenancy.run_entries_after(run, None, 10).await.unwrap();
        let told: Vec<_> =
            diary.iter().map(|entry| (entry.slug.as_deref(), entry.from_version, &*entry.applied)).collect();
        let versions: Vec<_> = (2..=i64::try_from(files).unwrap()).collect();
        let expect = ["acme", "globex", "initech"].map(|slug| (Some(slug), Some(1), &*versions));
        assert_eq!(told, expect, "{point:?}: the diary tells of everything, whoever did it");
        check_agreement(&installation, point).await;
    }
}

#[tokio::test]
async fn whoever_dies_while_suspending_or_resuming_has_done_it_or_not() {
    for point in FailPoint::OF_SUSPENSION {
        let installation = installation(&[NOTE], crate::PoolConfig::default()).await;
        let tenancy = &installation.tenancy;
        let acme = installation.create("acme").await;
        let suspends = matches!(point, FailPoint::BeforeSuspend | FailPoint::AfterSuspend);
        if !suspends {
            tenancy.suspend(&acme, Suspension::new()).await.unwrap();
        }
        run_victim(&installation, point, 1);
        let is_done = matches!(point, FailPoint::AfterSuspend | FailPoint::AfterResume);
        let verb = if suspends { "suspend" } else { "resume" };
        let entered = async || {
            let entries = tenancy.audit(acme.id(), 10).await.unwrap();
            assert!(entries.iter().all(|entry| entry.state == AuditState::Done), "{point:?}");
            entries.iter().filter(|entry| entry.verb == verb).count()
        };
        assert_eq!(entered().await, usize::from(is_done), "{point:?}");

        let wanted = if suspends { Status::Suspended } else { Status::Active };
        for _ in 0..2 {
            let done = if suspends {
                tenancy.suspend(&acme, Suspension::new()).await
            } else {
                tenancy.resume(&acme).await
            };
            assert_eq!(done.unwrap().status(), wanted, "{point:?}");
            assert_eq!(entered().await, 1, "{point:?}");
        }
        tenancy.resume(&acme).await.unwrap();
        check_agreement(&installation, point).await;
    }
    println!("{} boundaries", FailPoint::OF_SUSPENSION.len());
}

#[tokio::test]
async fn whoever_migrates_next_completes_the_diary_of_who_died() {
    let installation = installation(&[NOTE], crate::PoolConfig::default()).await;
    // More than are under way at a time, so that something is left to do.
    let slugs: Vec<_> = (10..20).map(|number| format!("t{number}")).collect();
    for slug in &slugs {
        installation.create(slug).await;
    }
    run_victim(&installation, FailPoint::AfterMigrate, 3);
    let tenancy = open(installation.database.url(), &RELEASE[..3]).await;
    let run = tenancy.runs(1).await.unwrap().remove(0);
    assert!(tenancy.run_entries_after(&run, None, 20).await.unwrap().is_empty(), "it came to write nothing");

    let summary = tenancy.migrate(Fleet::all(), |_: &Outcome<'_>| {}).await.unwrap();
    let [first, second] = [run.id, summary.run.unwrap()];
    let mut migrated = Vec::new();
    for (id, state) in [(first, RunState::Stopped), (second, RunState::Done)] {
        let run = tenancy.run(id).await.unwrap().unwrap();
        assert_eq!(run.state, state);
        let diary = tenancy.run_entries_after(&run, None, 20).await.unwrap();
        assert_eq!(run.migrated, i64::try_from(diary.len()).unwrap());
        assert!(diary.iter().all(|entry| entry.applied == [2, 3] && entry.error.is_none()), "{diary:?}");
        migrated.extend(diary.into_iter().filter_map(|entry| entry.slug));
        assert!(!migrated.is_empty(), "the one that died had migrated somebody");
    }
    migrated.sort();
    assert_eq!(migrated, slugs, "each once");
}

#[tokio::test]
async fn who_finds_nothing_left_to_do_completes_the_diary_of_who_died() {
    let installation = installation(&[NOTE], crate::PoolConfig::default()).await;
    installation.create("acme").await;
    run_victim(&installation, FailPoint::AfterMigrate, 3);
    let tenancy = open(installation.database.url(), &RELEASE[..3]).await;
    // The server may need a moment until it gives the lock back.
    for _ in 0..100 {
        let summary = tenancy.migrate(Fleet::all(), |_: &Outcome<'_>| {}).await.unwrap();
        assert_eq!((summary.run, summary.migrated, summary.up_to_date), (None, 0, 2));
        if tenancy.runs(1).await.unwrap()[0].ended_at.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let runs = tenancy.runs(2).await.unwrap();
    let [run] = &runs[..] else { panic!("{runs:?}") };
    assert_eq!((run.state, run.error.as_deref()), (RunState::Stopped, Some("it was interrupted")));
    let diary = tenancy.run_entries_after(run, None, 10).await.unwrap();
    let told: Vec<_> = diary.iter().map(|entry| (entry.slug.as_deref(), &*entry.applied)).collect();
    assert_eq!(told, [(Some("acme"), &[2, 3][..])]);
    check_agreement(&installation, FailPoint::AfterMigrate).await;
}

#[tokio::test]
async fn whoever_dies_while_making_a_baseline_leaves_a_schema_that_the_next_one_removes() {
    let installation = installation(&[NOTE], crate::PoolConfig::default()).await;
    run_victim(&installation, FailPoint::InScratch, 1);
    let mut connection = PgConnection::connect(installation.database.url()).await.unwrap();
    assert_eq!(scratch_schemas(&mut connection).await, 1);
    // Its session may need a moment to end, and with it the lock.
    for _ in 0..100 {
        let no_dump = async |_: &[String]| Err(crate::Error::invalid_input("no dump"));
        let made = installation.tenancy.make_baseline(BaselineOptions::default(), no_dump).await;
        assert!(made.is_err());
        if scratch_schemas(&mut connection).await == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(scratch_schemas(&mut connection).await, 0);
    check_agreement(&installation, FailPoint::InScratch).await;
}

#[tokio::test]
async fn whoever_dies_while_cloning_leaves_all_of_it_or_nothing() {
    for point in FailPoint::OF_CLONE {
        let installation = installation(&[NOTE], crate::PoolConfig::default()).await;
        installation.create("acme").await;
        let acme = installation.db("acme").await;
        sqlx::query("INSERT INTO note VALUES (1), (2)").execute(&acme).await.unwrap();
        run_victim(&installation, point, 1);
        let is_made = matches!(point, FailPoint::AfterClone | FailPoint::StructureKept);
        until_nobody_holds_a_lock(&installation).await;
        check_agreement(&installation, point).await;
        assert_eq!(installation.tenancy.tenant("copy").await.is_ok(), is_made, "{point:?}");

        let cloned = clone_acme(&installation.tenancy, installation.database.url()).await;
        match cloned {
            Ok(_) => assert!(!is_made, "{point:?}"),
            Err(error) => {
                assert_eq!((error.kind(), is_made), (crate::ErrorKind::AlreadyExists, true), "{error}");
            }
        }
        let copy = installation.db("copy").await;
        let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&copy).await.unwrap();
        assert_eq!(notes, 2, "{point:?}");
        until_nobody_holds_a_lock(&installation).await;
        check_agreement(&installation, point).await;
    }
}

async fn clone_acme(tenancy: &crate::Tenancy, url: &str) -> crate::Result<crate::Cloned> {
    let acme = tenancy.tenant("acme").await?;
    let dump = async |arguments: &[String]| Ok(crate::fixture::pg_dump(url, arguments));
    tenancy.clone_tenant(&acme, NewTenant::new("copy"), crate::CloneOptions::default(), dump).await
}

#[tokio::test]
async fn whoever_dies_while_importing_a_database_leaves_all_of_it_or_nothing() {
    let installation = installation(&[NOTE], crate::PoolConfig::default()).await;
    let shop = "CREATE SCHEMA shop; CREATE TABLE shop.note (id int PRIMARY KEY); INSERT INTO shop.note VALUES (1), (2)";
    installation.run(shop).await;
    for point in FailPoint::OF_DATABASE {
        run_victim(&installation, point, 1);
        let is_made = point == FailPoint::AfterDatabase;
        until_nobody_holds_a_lock(&installation).await;
        check_agreement(&installation, point).await;
        assert_eq!(installation.tenancy.tenant("copy").await.is_ok(), is_made, "{point:?}");
        let imported = import_shop(&installation.tenancy, installation.database.url()).await;
        match imported {
            Ok(imported) => assert_eq!((is_made, imported.rows), (false, 2), "{point:?}"),
            Err(error) => {
                assert_eq!((error.kind(), is_made), (crate::ErrorKind::AlreadyExists, true), "{error}");
            }
        }
        until_nobody_holds_a_lock(&installation).await;
        check_agreement(&installation, point).await;
        let copy = installation.tenancy.tenant("copy").await.unwrap();
        let deleted = installation.tenancy.delete(&copy).await.unwrap();
        installation
            .tenancy
            .purge(&deleted, crate::PurgeOptions { now: true, ..Default::default() })
            .await
            .unwrap();
    }
}

/// Takes a schema of the same database for that of a customer.
async fn import_shop(tenancy: &crate::Tenancy, url: &str) -> crate::Result<crate::ImportedDatabase> {
    let source =
        crate::SourceDatabase::from_url(url)?.schema(SchemaName::parse("shop")?).without_other_schemas();
    let dump = async |arguments: &[String]| Ok(crate::fixture::pg_dump(url, arguments));
    tenancy.import_database(&source, NewTenant::new("copy"), dump).await
}

/// The server notices a moment later that a process is gone.
pub(super) async fn until_nobody_holds_a_lock(installation: &Installation) {
    let mut connection = installation.outside().await;
    let count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    for _ in 0..100 {
        let locks: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
        if locks == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn scratch_schemas(connection: &mut PgConnection) -> i64 {
    let count = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'tenantry\\_baseline\\_%'";
    sqlx::query_scalar(count).fetch_one(connection).await.unwrap()
}

pub(super) async fn open(url: &str, tenant_sql: &[&str]) -> crate::Tenancy {
    crate::Tenancy::builder()
        .database(crate::DatabaseConfig::from_url(url).unwrap())
        .migrations(crate::fixture::migrations(tenant_sql))
        .connect()
        .await
        .unwrap()
}

/// Dies on the way, or fails this test.
fn run_victim(installation: &Installation, point: FailPoint, files: usize) {
    dies(
        victim_at("invariants::crashes::victim", point)
            .env(VICTIM_URL, installation.database.url())
            .env(VICTIM_FILES, files.to_string()),
    );
}

/// The work of the process that dies. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let Ok(url) = std::env::var(VICTIM_URL) else { return };
    let die_at = std::env::var("TENANTRY_DIE_AT").unwrap();
    let files: usize = std::env::var(VICTIM_FILES).unwrap().parse().unwrap();
    let tenancy = open(&url, &RELEASE[..files]).await;
    let is_one_of = |points: &[FailPoint]| points.iter().any(|point| point.name() == die_at);
    if is_one_of(&FailPoint::OF_MIGRATION) {
        tenancy.migrate(Fleet::all(), |_: &Outcome<'_>| {}).await.unwrap();
    } else if is_one_of(&[FailPoint::BeforeFill, FailPoint::AfterFill]) {
        tenancy.fill_spares(1).await.unwrap();
    } else if is_one_of(&[FailPoint::BeforeSuspend, FailPoint::AfterSuspend]) {
        let acme = tenancy.tenant("acme").await.unwrap();
        tenancy.suspend(&acme, Suspension::new()).await.unwrap();
    } else if is_one_of(&[FailPoint::BeforeResume, FailPoint::AfterResume]) {
        let acme = tenancy.tenant("acme").await.unwrap();
        tenancy.resume(&acme).await.unwrap();
    } else if die_at == FailPoint::InScratch.name() {
        let no_dump = async |_: &[String]| Err(crate::Error::invalid_input("no dump"));
        tenancy.make_baseline(BaselineOptions::default(), no_dump).await.unwrap();
    } else if is_one_of(&FailPoint::OF_CLONE) {
        clone_acme(&tenancy, &url).await.unwrap();
    } else if is_one_of(&FailPoint::OF_DATABASE) {
        import_shop(&tenancy, &url).await.unwrap();
    } else {
        tenancy.create(NewTenant::new("acme")).await.unwrap();
    }
}

/// The schemas there are, those that belong to somebody, and those that have applied something are the
/// same, and nobody holds a lock.
pub(super) async fn check_agreement(installation: &Installation, point: FailPoint) {
    let mut connection = PgConnection::connect(installation.database.url()).await.unwrap();
    let schemas = r"SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 't\_%' OR nspname LIKE 'tenantry\_spare%'
                   ORDER BY 1";
    let owned = "SELECT schema_name FROM tenantry.tenant WHERE status = 'active'
                 UNION ALL SELECT schema_name FROM tenantry.spare ORDER BY 1";
    let applied = "SELECT schema_name FROM tenantry.applied WHERE schema_name <> 'public' ORDER BY 1";
    let mut found: Vec<Vec<String>> = Vec::new();
    for query in [schemas, owned, applied] {
        found.push(sqlx::query_scalar(query).fetch_all(&mut connection).await.unwrap());
    }
    assert_eq!(found[0], found[1], "{point:?}");
    assert_eq!(found[0], found[2], "{point:?}");
    let locks: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(locks, 0, "{point:?}");
}
