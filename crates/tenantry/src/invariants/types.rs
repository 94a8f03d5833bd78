//! 6. A change of type ends, whoever dies in the middle of it.
//!
//! The process that dies is this test's own program once more, told which test to run and where to die.
#![allow(clippy::print_stdout)]

use std::sync::Mutex;

use super::victim::{dies, victim_at};
use crate::database::Period;
use crate::doctor::{Check, Finding};
use crate::fail_point::FailPoint;
use crate::fixture::{Installation, TemporaryDirectory, builder_at, installation};
use crate::lifecycle::FormerFiles;
use crate::observe::Outcome;
use crate::registry::AuditState;
use crate::tenant::{Tenant, TypeName};
use crate::{ErrorKind, Fleet, NewTenant, PoolConfig, PurgeOptions, Tenancy};

const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY)";

/// The variable of the process that dies: the database it works in.
const VICTIM_URL: &str = "TENANTRY_VICTIM_URL";

fn type_name(name: &str) -> TypeName {
    TypeName::parse(name).unwrap()
}

/// File 1 of all tenants; 2 of the type `pro`, which can be undone; 2 and 4 of the type `gold`.
async fn open(url: &str) -> Tenancy {
    let directory = TemporaryDirectory::new();
    for (file, sql) in [
        (
            "pro/2_report.up.sql",
            "CREATE TABLE report (id int); INSERT INTO note SELECT 1 + count(*) FROM note",
        ),
        ("pro/2_report.down.sql", "DROP TABLE report"),
        ("gold/2_vault.sql", "CREATE TABLE vault (id int)"),
        ("gold/4_key.sql", "ALTER TABLE vault ADD key text"),
    ] {
        let path = directory.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, sql).unwrap();
    }
    let migrations = crate::fixture::migrations(&[NOTE]);
    let migrations = migrations.with_type_dir(type_name("pro"), directory.path().join("pro")).unwrap();
    let migrations = migrations.with_type_dir(type_name("gold"), directory.path().join("gold")).unwrap();
    builder_at(url, &[], PoolConfig::default()).migrations(migrations).connect().await.unwrap()
}

async fn half_made(tenancy: &Tenancy) -> Vec<Finding> {
    let mut findings = tenancy.doctor().await;
    // Of the installation: its login, and `public`, which PostgreSQL 14 leaves open.
    findings.retain(|finding| !matches!(finding.check, Check::Superuser | Check::MayCreate));
    findings
}

async fn check_whole(installation: &Installation, tenancy: &Tenancy, name: &str, point: FailPoint) {
    let acme = tenancy.tenant("acme").await.unwrap();
    assert_eq!(acme.type_name().map(TypeName::as_str), Some(name), "{point:?}");
    let files = tenancy.migrations().of_type(acme.type_name()).unwrap();
    assert_eq!(acme.digest(), Some(&files.digest()), "{point:?}");
    let versions: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT version FROM {}._sqlx_migrations WHERE success ORDER BY 1",
        acme.schema()
    )))
    .fetch_all(&mut installation.outside().await)
    .await
    .unwrap();
    let expect: Vec<_> = files.iter().map(crate::migrate::Migration::version).collect();
    assert_eq!(versions, expect, "{point:?}");
    let entries = tenancy.audit(acme.id(), 10).await.unwrap();
    assert!(entries.iter().all(|entry| entry.state != AuditState::Begun), "{point:?}: {entries:?}");
    assert_eq!(half_made(tenancy).await, [], "{point:?}");
}

#[tokio::test]
async fn whoever_dies_while_changing_a_type_leaves_what_the_same_call_finishes_or_another_undoes() {
    let installation = installation(&[NOTE], PoolConfig::default()).await;
    let tenancy = open(installation.database.url()).await;
    for point in FailPoint::OF_TYPE_CHANGE {
        let (pro, gold) = (type_name("pro"), type_name("gold"));
        let acme = tenancy.create(NewTenant::new("acme").of_type(pro.clone())).await.unwrap();
        run_victim(&installation, point);
        until_nobody_holds_a_lock(&installation).await;

        let is_begun = !matches!(point, FailPoint::BeforeTypeChange | FailPoint::AfterTypeEnds);
        let findings = half_made(&tenancy).await;
        let told: Vec<_> = findings.iter().filter(|finding| finding.check == Check::HalfMade).collect();
        assert_eq!(told.len(), usize::from(is_begun), "{point:?}: {findings:?}");
        assert!(told.iter().all(|finding| finding.mend == "tenantry set acme --type gold --undo --yes"));
        // A run in between spoils nothing, and leaves the schema alone where it cannot tell what is right.
        let run = tenancy.migrate(Fleet::all(), |_: &Outcome<'_>| {}).await.unwrap();
        assert_eq!(run.failed, usize::from(point == FailPoint::LedgerMoved), "{point:?}");

        let change = async |to: &TypeName| tenancy.set_type(&acme, Some(to), FormerFiles::Undo).await;
        change(&gold).await.unwrap();
        check_whole(&installation, &tenancy, "gold", point).await;
        change(&gold).await.unwrap();
        // Its files cannot be undone, so what they made stays.
        let error = change(&pro).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Migration, "{error}");
        tenancy.set_type(&acme, Some(&pro), FormerFiles::Keep).await.unwrap();
        check_whole(&installation, &tenancy, "pro", point).await;
        // And there again, after another death, from which another change leads back.
        run_victim(&installation, point);
        until_nobody_holds_a_lock(&installation).await;
        tenancy.set_type(&acme, Some(&pro), FormerFiles::Keep).await.unwrap();
        check_whole(&installation, &tenancy, "pro", point).await;
        tenancy.set_type(&acme, Some(&gold), FormerFiles::Undo).await.unwrap();
        check_whole(&installation, &tenancy, "gold", point).await;
        tenancy.delete_for(&acme, Period::days(0)).await.unwrap();
        tenancy.purge(&acme, PurgeOptions::default()).await.unwrap();
    }
    println!("{} boundaries", FailPoint::OF_TYPE_CHANGE.len());
}

#[tokio::test]
async fn a_run_leaves_a_tenant_alone_whose_type_is_half_changed() {
    let installation = installation(&[NOTE], PoolConfig::default()).await;
    let tenancy = open(installation.database.url()).await;
    let acme = tenancy.create(NewTenant::new("acme").of_type(type_name("pro"))).await.unwrap();
    let notes = async |tenant: &Tenant| -> i64 {
        let count = "SELECT count(*) FROM note";
        sqlx::query_scalar(count).fetch_one(&tenancy.db(tenant).unwrap()).await.unwrap()
    };
    assert_eq!(notes(&acme).await, 1, "a file of the type has put a row there");
    // As a change leaves it that came to the ledger and not to the registry: the files of the type are out of it.
    installation
        .run(&format!(
            "DELETE FROM {schema}._sqlx_migrations WHERE version = 2; DROP TABLE {schema}.report;
             UPDATE tenantry.applied SET ledger_type = 'none', digest = '\\x{digest}' WHERE schema_name = '{schema}'",
            schema = acme.schema(),
            digest = tenancy.migrations().tenant().digest(),
        ))
        .await;
    for _ in 0..2 {
        let errors = Mutex::new(Vec::new());
        let note = |outcome: &Outcome<'_>| {
            errors.lock().unwrap().extend(outcome.error.map(ToString::to_string));
        };
        let run = tenancy.migrate(Fleet::all(), &note).await.unwrap();
        assert_eq!(run.failed, 1);
        let errors = errors.into_inner().unwrap();
        assert!(errors[0].contains("the type of the tenant is being changed"), "{errors:?}");
        assert_eq!(notes(&acme).await, 1, "the file did not run once more");
    }
}

/// The server notices a moment later that a process is gone.
async fn until_nobody_holds_a_lock(installation: &Installation) {
    let mut connection = installation.outside().await;
    let count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    for _ in 0..100 {
        let locks: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
        if locks == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Dies on the way, or fails this test.
fn run_victim(installation: &Installation, point: FailPoint) {
    dies(victim_at("invariants::types::victim", point).env(VICTIM_URL, installation.database.url()));
}

/// The work of the process that dies. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let Ok(url) = std::env::var(VICTIM_URL) else { return };
    let tenancy = open(&url).await;
    let acme = tenancy.tenant("acme").await.unwrap();
    tenancy.set_type(&acme, Some(&type_name("gold")), FormerFiles::Undo).await.unwrap();
}
