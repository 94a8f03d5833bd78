//! Files that are not what the fleet has applied, and what people may say of that.

use std::sync::Mutex;

use sqlx::AssertSqlSafe;
use tenantry::migrate::{Mark, Marking, Migrations};
use tenantry::observe::Outcome;
use tenantry::{ErrorKind, Fleet, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::{Client, Folder, builder, check_error, database, ledger, slug, unobserved};

const NOTE: &str = "CREATE TABLE note (id int);\n-- a tpyo\n";

async fn open(database: &ScratchDatabase, folder: &Folder) -> Tenancy {
    builder(database).migrations(folder.read()).connect().await.unwrap()
}

/// Tenants that have applied these files.
async fn fleet(files: &[&str], slugs: &[&str]) -> (ScratchDatabase, Folder) {
    let (database, folder) = (database().await, Folder::of(files));
    let tenancy = open(&database, &folder).await;
    for slug in slugs {
        tenancy.create(NewTenant::new(*slug)).await.unwrap();
    }
    (database, folder)
}

async fn check_create_refused(tenancy: &Tenancy, says: &[&str]) {
    check_error(tenancy.create(NewTenant::new("late")).await, ErrorKind::Migration, says);
    check_error(tenancy.fill_spares(1).await, ErrorKind::Migration, says);
    check_error(tenancy.tenant("late").await, ErrorKind::UnknownTenant, &[]);
}

#[tokio::test]
async fn a_changed_file_is_one_finding_until_somebody_says_that_it_does_not_matter() {
    let (database, folder) = fleet(&[NOTE], &["acme", "globex", "initech"]).await;
    folder.write("tenant/0001_step.sql", &NOTE.replace("tpyo", "typo"));
    folder.write("tenant/0002_more.sql", "CREATE TABLE more ()");
    let tenancy = open(&database, &folder).await;
    let says = ["0001_step.sql` was changed after it had been applied (3 tenants, the first is `acme`)"];
    let error = check_error(tenancy.migrate(Fleet::all(), unobserved).await, ErrorKind::Migration, &says);
    assert_eq!(error.to_string().matches("was changed").count(), 1);
    let says = ["would not be like tenant `", "0001_step.sql` was changed", "--mark-applied 1"];
    check_create_refused(&tenancy, &says).await;

    let one = tenancy.mark(&Fleet::only([slug("acme")]), 1, Mark::Applied).await.unwrap();
    assert_eq!(one, Marking { marked: 1, untouched: 0 });
    let says = ["(2 tenants, the first is `globex`)"];
    check_error(tenancy.migrate(Fleet::all(), unobserved).await, ErrorKind::Migration, &says);
    let all = tenancy.mark(&Fleet::all(), 1, Mark::Applied).await.unwrap();
    assert_eq!(all, Marking { marked: 2, untouched: 1 });
    assert_eq!(tenancy.mark(&Fleet::all(), 1, Mark::Applied).await.unwrap().marked, 0);
    // A version that is pending stays so, whatever is said of it, and one without a file cannot be meant.
    assert_eq!(tenancy.mark(&Fleet::all(), 2, Mark::Applied).await.unwrap().marked, 0);
    assert_eq!(tenancy.mark(&Fleet::all(), 1, Mark::Pending).await.unwrap().marked, 0);
    check_error(tenancy.mark(&Fleet::all(), 9, Mark::Applied).await, ErrorKind::InvalidInput, &["version 9"]);

    let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (3, 0));
    let late = tenancy.create(NewTenant::new("late")).await.unwrap();
    assert_eq!(late.digest(), tenancy.tenant("acme").await.unwrap().digest());
}

#[tokio::test]
async fn a_changed_file_of_the_master_schema_is_marked_as_well() {
    let (database, folder) = (database().await, Folder::new());
    folder.write("master/0001_plan.sql", "CREATE TABLE plan ()");
    open(&database, &folder).await.migrate(Fleet::all(), unobserved).await.unwrap();
    folder.write("master/0001_plan.sql", "CREATE TABLE plan (); -- of all");
    let tenancy = open(&database, &folder).await;
    let says = ["0001_plan.sql` was changed after it had been applied (the master schema)"];
    check_error(tenancy.migrate(Fleet::all(), unobserved).await, ErrorKind::Migration, &says);
    assert_eq!(tenancy.mark_master(1, Mark::Applied).await.unwrap(), Marking { marked: 1, untouched: 0 });
    assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().failed, 0);
}

#[tokio::test]
async fn other_line_ends_are_named_as_that() {
    let crlf = NOTE.replace('\n', "\r\n");
    for (eol, before, after) in [("lf", NOTE, &*crlf), ("crlf", &*crlf, NOTE)] {
        let (database, folder) = fleet(&[before], &["acme"]).await;
        folder.write("tenant/0001_step.sql", after);
        let tenancy = open(&database, &folder).await;
        let attribute = format!("`*.sql text eol={eol}` into .gitattributes");
        let says = ["in its line ends, and in nothing else", attribute.as_str()];
        check_error(tenancy.migrate(Fleet::all(), unobserved).await, ErrorKind::Migration, &says);
        check_create_refused(&tenancy, &says).await;
        folder.write("tenant/0001_step.sql", before);
        open(&database, &folder).await.create(NewTenant::new("late")).await.unwrap();
    }
}

#[tokio::test]
async fn files_that_are_gone_are_one_sentence_and_no_tenant_is_made_of_the_rest() {
    let files: Vec<_> = (0..12).map(|number| format!("CREATE TABLE t{number} ()")).collect();
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let (database, folder) = fleet(&files, &["acme"]).await;
    for number in 1..12 {
        folder.remove(&format!("tenant/{number:04}_step.sql"));
    }
    let tenancy = open(&database, &folder).await;
    let gone = "11 versions are applied and have no file (1 to 11)";
    check_create_refused(&tenancy, &[gone, "tenant `acme`", "deploy the release that has it"]).await;
    let failure = Mutex::new(String::new());
    let observer = |outcome: &Outcome<'_>| {
        if let Some(error) = outcome.error {
            *failure.lock().unwrap() = error.to_string();
        }
    };
    assert_eq!(tenancy.migrate(Fleet::all(), observer).await.unwrap().failed, 1);
    let failure = failure.into_inner().unwrap();
    assert!(failure.starts_with(gone), "{failure}");

    folder.remove("tenant/0012_step.sql");
    let says = ["12 versions are applied and have no file (1 to 12)"];
    check_create_refused(&open(&database, &folder).await, &says).await;
    // What has no files on purpose leaves its tables to something else.
    let other = builder(&database).migrations(Migrations::none()).connect().await.unwrap();
    other.create(NewTenant::new("late")).await.unwrap();
}

#[tokio::test]
async fn a_tenant_that_is_behind_keeps_nobody_from_growing() {
    let (database, folder) = fleet(&[NOTE], &["acme"]).await;
    folder.write("tenant/0003_more.sql", "CREATE TABLE more ()");
    open(&database, &folder).await.migrate(Fleet::all(), unobserved).await.unwrap();
    // Neither the first files nor all of them, and nothing that the files do not have.
    folder.write("tenant/0002_late.sql", "CREATE TABLE late ()");
    open(&database, &folder).await.create(NewTenant::new("late")).await.unwrap();
}

#[tokio::test]
async fn a_file_that_may_not_run_stops_only_those_who_have_not_applied_it() {
    let (database, folder) = fleet(&[NOTE], &["acme", "globex"]).await;
    folder.write("tenant/0002_commit.sql", "SELECT 1;\nCOMMIT;");
    let refusal = "0002_commit.sql:2: `COMMIT` is not allowed in a migration";
    let tenancy = open(&database, &folder).await;
    let says = [refusal, "(2 tenants, the first is `acme`)", "leave it out"];
    check_error(tenancy.migrate(Fleet::all(), unobserved).await, ErrorKind::Migration, &says);
    check_create_refused(&tenancy, &[refusal]).await;
    assert_eq!(tenancy.migrations().mistakes().len(), 1);

    // As after another tool that has applied it.
    let mut client = Client::owner(&database).await;
    let file = tenancy.migrations().tenant().get(2).unwrap();
    for slug in ["acme", "globex"] {
        let schema = tenancy.tenant(slug).await.unwrap().schema().clone();
        let values = "(2, 'commit', now(), true, $1, 1)";
        let insert = AssertSqlSafe(format!("INSERT INTO \"{schema}\"._sqlx_migrations VALUES {values}"));
        sqlx::query(insert).bind(file.checksum()).execute(client.connection()).await.unwrap();
    }
    client.run("DELETE FROM tenantry.applied").await;
    folder.write("tenant/0003_more.sql", "CREATE TABLE more ()");
    let tenancy = open(&database, &folder).await;
    assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().failed, 0);
    let acme = tenancy.tenant("acme").await.unwrap();
    assert_eq!(ledger(&mut client, &acme).await, [(1, true), (2, true), (3, true)]);
    check_create_refused(&tenancy, &[refusal]).await;
}

#[tokio::test]
async fn files_that_cannot_be_told_apart_stop_who_needs_them_and_nobody_else() {
    let (database, folder) = fleet(&[NOTE], &["acme"]).await;
    folder.write("tenant/0002-more.sql", "CREATE TABLE more ()");
    let tenancy = open(&database, &folder).await;
    let says = ["tenant/0002-more.sql: the version is not followed by `_`", "name it like `0002_more.sql`"];
    check_error(tenancy.migrate(Fleet::all(), unobserved).await, ErrorKind::Migration, &says);
    check_error(tenancy.preview(Fleet::all(), |_| ()).await, ErrorKind::Migration, &says);
    check_error(tenancy.lint(Fleet::all()).await, ErrorKind::Migration, &says);
    check_create_refused(&tenancy, &says).await;
    let acme = tenancy.tenant("acme").await.unwrap();
    let db = tenancy.db(&acme).unwrap();
    let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await.unwrap();
    assert_eq!(notes, 0);
}

#[tokio::test]
async fn a_stale_baseline_stops_new_tenants_only() {
    let (database, folder) = fleet(&[NOTE], &["acme"]).await;
    let head = format!("-- version: 1\n-- digest: {}\n", "0".repeat(64));
    folder.write("tenant/baseline.sql", &head);
    folder.write("tenant/0002_more.sql", "CREATE TABLE more ()");
    let tenancy = open(&database, &folder).await;
    assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().migrated, 1);
    check_create_refused(&tenancy, &["baseline.sql: it was made from other files"]).await;
}
