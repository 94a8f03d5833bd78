//! Bringing tenants to a version, forwards and back.

use tenantry::migrate::{Direction, MigrateOptions};
use tenantry::{ErrorKind, Fleet, Migrations, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::{Client, Folder, builder, check_error, database, ledger, slug, table, unobserved};

async fn open(database: &ScratchDatabase, folder: &Folder) -> Tenancy {
    builder(database).migrations(folder.migrations()).connect().await.unwrap()
}

/// Three migrations, of which the last runs outside of a transaction in both directions.
fn there_and_back() -> Folder {
    let folder = Folder::new();
    folder.write("master/0001_plan.sql", "CREATE TABLE plan ()");
    folder.write("tenant/0001_note.up.sql", "CREATE TABLE note (id int, title text)");
    folder.write("tenant/0001_note.down.sql", "DROP TABLE note");
    folder.write("tenant/0002_done.up.sql", "ALTER TABLE note ADD COLUMN done bool");
    folder.write("tenant/0002_done.down.sql", "ALTER TABLE note DROP COLUMN done");
    let index = "-- no-transaction\nCREATE INDEX CONCURRENTLY note_title ON note (title)";
    folder.write("tenant/0003_title.up.sql", index);
    folder.write("tenant/0003_title.down.sql", "-- no-transaction\nDROP INDEX CONCURRENTLY note_title");
    folder
}

async fn fleet(slugs: &[&str]) -> (ScratchDatabase, Folder, Tenancy) {
    let (database, folder) = (database().await, there_and_back());
    let tenancy = open(&database, &folder).await;
    for slug in slugs {
        tenancy.create(NewTenant::new(*slug)).await.unwrap();
    }
    (database, folder, tenancy)
}

fn to(version: i64, fleet: Fleet) -> MigrateOptions {
    MigrateOptions { to: Some(version), ..fleet.into() }
}

async fn versions(database: &ScratchDatabase, tenancy: &Tenancy, name: &str) -> Vec<i64> {
    let tenant = tenancy.tenant(name).await.unwrap();
    let rows = ledger(&mut Client::owner(database).await, &tenant).await;
    assert!(rows.iter().all(|(_, success)| *success), "{rows:?}");
    rows.into_iter().map(|(version, _)| version).collect()
}

#[tokio::test]
async fn a_fleet_goes_back_and_forth() {
    let (database, _folder, tenancy) = fleet(&["acme", "globex"]).await;
    let acme = tenancy.tenant("acme").await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run(&format!("INSERT INTO {} VALUES (1, 'kept')", table(&acme, "note"))).await;
    let columns = "SELECT count(*) FROM pg_attribute WHERE attname = 'done' AND NOT attisdropped";
    let indexes = "SELECT count(*) FROM pg_class WHERE relname = 'note_title'";

    for _ in 0..2 {
        let summary = tenancy.migrate(to(1, Fleet::all()), unobserved).await.unwrap();
        assert_eq!((summary.migrated, summary.failed), (2, 0), "the master schema is left alone");
        assert_eq!(versions(&database, &tenancy, "globex").await, [1]);
        assert_eq!(client.value::<i64>(columns).await, 0);
        assert_eq!(client.value::<i64>(indexes).await, 0);
        let again = tenancy.migrate(to(1, Fleet::all()), unobserved).await.unwrap();
        assert_eq!((again.run, again.up_to_date), (None, 2));

        tenancy.migrate(to(2, Fleet::all()), unobserved).await.unwrap();
        assert_eq!(client.value::<i64>(columns).await, 2);
        assert_eq!(client.value::<i64>(indexes).await, 0);
        tenancy.migrate(Fleet::only([slug("acme"), slug("globex")]), unobserved).await.unwrap();
        assert_eq!(versions(&database, &tenancy, "globex").await, [1, 2, 3]);
        assert_eq!(client.value::<i64>(indexes).await, 2);
    }
    assert_eq!(client.value::<String>(&format!("SELECT title FROM {}", table(&acme, "note"))).await, "kept");
    let acme = tenancy.tenant("acme").await.unwrap();
    assert_eq!(acme.digest(), Some(&tenancy.migrations().tenant().digest()));

    let run = tenancy.runs(10).await.unwrap().pop().unwrap();
    assert_eq!(run.version, Some(1));
    let entries = tenancy.run_entries_after(&run, None, 10).await.unwrap();
    assert_eq!((entries[0].from_version, &*entries[0].undone), (Some(3), &[3, 2][..]));
}

#[tokio::test]
async fn one_tenant_goes_back_to_nothing_and_the_others_stay() {
    let (database, _folder, tenancy) = fleet(&["acme", "globex"]).await;
    let options = to(0, Fleet::only([slug("acme")]));
    let mut told = Vec::new();
    let tell = |preview: tenantry::migrate::Preview<'_>| {
        let changes = preview.changes.unwrap();
        told.extend(changes.iter().map(|it| (it.migration().version(), it.direction())));
    };
    tenancy.preview(options.clone(), tell).await.unwrap();
    assert_eq!(told, [(3, Direction::Down), (2, Direction::Down), (1, Direction::Down)]);
    tenancy.migrate(options, unobserved).await.unwrap();
    assert!(versions(&database, &tenancy, "acme").await.is_empty());
    assert_eq!(versions(&database, &tenancy, "globex").await, [1, 2, 3]);
    tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!(versions(&database, &tenancy, "acme").await, [1, 2, 3]);
}

#[tokio::test]
async fn what_cannot_be_undone_is_named_before_anything_is() {
    let (database, folder, _) = fleet(&[]).await;
    folder.write("tenant/0004_tag.sql", "CREATE TABLE tag ()");
    folder.write("tenant/0005_last.up.sql", "CREATE TABLE last ()");
    folder.write("tenant/0005_last.down.sql", "DROP TABLE last");
    let tenancy = open(&database, &folder).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut errors = Vec::new();
    let error = |preview: tenantry::migrate::Preview<'_>| errors.extend(preview.changes.err());
    tenancy.preview(to(3, Fleet::all()), error).await.unwrap();
    let says = ["0004_tag.sql` cannot be undone", "tenant `acme`", ".down.sql"];
    check_error(Err::<(), _>(errors.remove(0)), ErrorKind::Migration, &says);
    let summary = tenancy.migrate(to(3, Fleet::all()), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (0, 1));
    assert_eq!(versions(&database, &tenancy, "acme").await, [1, 2, 3, 4, 5]);
    let nowhere = tenancy.migrate(to(6, Fleet::all()), unobserved).await;
    check_error(nowhere, ErrorKind::InvalidInput, &["no migration with version 6"]);
}

#[tokio::test]
async fn a_way_back_that_fails_leaves_everything_as_it_was() {
    let (database, folder, _) = fleet(&["acme"]).await;
    folder.write("tenant/0002_done.down.sql", "ALTER TABLE note DROP COLUMN done; SELECT broken");
    folder.write("tenant/0003_title.down.sql", "-- no-transaction\nDROP INDEX CONCURRENTLY misspelt");
    let tenancy = open(&database, &folder).await;
    let acme = tenancy.tenant("acme").await.unwrap();
    let failed = async |version| {
        let summary = tenancy.migrate(to(version, Fleet::all()), unobserved).await.unwrap();
        assert_eq!(summary.failed, 1);
        tenancy.tenant("acme").await.unwrap().last_error().unwrap().to_owned()
    };
    assert!(failed(2).await.contains("0003_title.down.sql"));
    assert_eq!(versions(&database, &tenancy, "acme").await, [1, 2, 3]);

    let mut client = Client::owner(&database).await;
    client.run(&format!("DROP INDEX {}", table(&acme, "note_title"))).await;
    folder.write("tenant/0003_title.down.sql", "SELECT 1");
    let tenancy = open(&database, &folder).await;
    let summary = tenancy.migrate(to(1, Fleet::all()), unobserved).await.unwrap();
    assert_eq!(summary.failed, 1);
    let error = tenancy.tenant("acme").await.unwrap().last_error().unwrap().to_owned();
    assert!(error.contains("0002_done.down.sql:1:"), "{error}");
    assert_eq!(versions(&database, &tenancy, "acme").await, [1, 2, 3], "both were one transaction");
}

#[tokio::test]
async fn zero_undoes_everything_also_a_file_with_that_number() {
    let (database, folder) = (database().await, Folder::new());
    folder.write("tenant/00000000000000_setup.up.sql", "CREATE TABLE setup ()");
    folder.write("tenant/00000000000000_setup.down.sql", "DROP TABLE setup");
    folder.write("tenant/20240101000000_note.up.sql", "CREATE TABLE note ()");
    folder.write("tenant/20240101000000_note.down.sql", "DROP TABLE note");
    let tenancy = open(&database, &folder).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    for _ in 0..2 {
        tenancy.migrate(to(0, Fleet::all()), unobserved).await.unwrap();
        assert_eq!(versions(&database, &tenancy, "acme").await, [0_i64; 0]);
        let acme = tenancy.tenant("acme").await.unwrap();
        assert_eq!(acme.digest(), Some(&Migrations::none().tenant().digest()));
        tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
        assert_eq!(versions(&database, &tenancy, "acme").await, [0, 20_240_101_000_000]);
    }
}

#[tokio::test]
async fn a_way_back_that_is_empty_is_none_unless_it_says_so() {
    let (database, folder) = (database().await, Folder::new());
    folder.write("tenant/0001_note.up.sql", "CREATE TABLE IF NOT EXISTS note ()");
    folder.write("tenant/0001_note.down.sql", "-- Add down migration script here");
    let tenancy = open(&database, &folder).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let summary = tenancy.migrate(to(0, Fleet::all()), unobserved).await.unwrap();
    assert_eq!(summary.failed, 1);
    let acme = tenancy.tenant("acme").await.unwrap();
    let error = acme.last_error().unwrap();
    assert!(error.contains("0001_note.down.sql` holds no statement, and so it undoes nothing"), "{error}");
    assert_eq!(versions(&database, &tenancy, "acme").await, [1]);

    let allowed = "-- lint: allow empty-down, because nobody minds the table";
    folder.write("tenant/0001_note.down.sql", allowed);
    let tenancy = open(&database, &folder).await;
    assert_eq!(tenancy.migrate(to(0, Fleet::all()), unobserved).await.unwrap().migrated, 1);
    assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().migrated, 1);
}
