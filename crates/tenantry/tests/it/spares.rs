//! Schemas built ahead of time.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tenantry::observe::{Step, Steps};
use tenantry::registry::Spare;
use tenantry::{DatabaseConfig, ErrorKind, Fleet, KeepSpares, NewTenant, SpareSummary, Tenancy};
use tenantry_embedded::ScratchServer;

use crate::support::{
    Client, Folder, builder, check_error, database, domain, eventually, ledger, random_up_to, unobserved,
};

const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY); CREATE FUNCTION twice(n int) RETURNS int \
                    LANGUAGE sql AS 'SELECT 2 * n'";

async fn check_filled(tenancy: &Tenancy, count: u32, made: usize, removed: usize) {
    assert_eq!(tenancy.fill_spares(count).await.unwrap(), SpareSummary { made, removed });
}

async fn count(tenancy: &Tenancy) -> usize {
    tenancy.spares().await.unwrap().len()
}

/// Has enough after some steps, and remembers them.
struct Enough {
    after: usize,
    seen: Mutex<Vec<(String, u64, Option<u64>)>>,
}

impl Steps for &Enough {
    fn step(&self, step: Step<'_>) {
        self.seen.lock().unwrap().push((step.what.to_owned(), step.done, step.of));
    }

    fn is_cancelled(&self) -> bool {
        self.seen.lock().unwrap().len() >= self.after
    }
}

#[tokio::test]
async fn who_fills_is_told_of_each_spare_and_may_have_enough() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let steps = Enough { after: 2, seen: Mutex::default() };
    let summary = tenancy.fill_spares_observed(5, &steps).await.unwrap();
    assert_eq!(summary, SpareSummary { made: 2, removed: 0 });
    assert_eq!(count(&tenancy).await, 2, "none is left half-made");
    let making = |done| ("making spares".to_owned(), done, Some(5));
    assert_eq!(*steps.seen.lock().unwrap(), [making(1), making(2)]);
    check_filled(&tenancy, 5, 3, 0).await;
}

#[tokio::test]
async fn a_tenant_made_of_a_spare_is_like_any_other() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    check_filled(&tenancy, 1, 1, 0).await;
    check_filled(&tenancy, 1, 0, 0).await;
    let mut client = Client::owner(&database).await;
    let before: i64 = client.value("SELECT oid::bigint FROM pg_class WHERE relname = 'note'").await;

    let acme = tenancy.create(NewTenant::new("acme").domain(domain("acme.test"))).await.unwrap();
    assert_eq!(count(&tenancy).await, 0);
    let after: i64 = client.value("SELECT oid::bigint FROM pg_class WHERE relname = 'note'").await;
    assert_eq!(before, after, "it was made of the spare");
    assert!(acme.schema().as_str().starts_with("t_acme_"));
    assert_eq!(acme.digest(), Some(&tenancy.migrations().tenant().digest()));
    assert_eq!(ledger(&mut client, &acme).await, [(1, true)]);

    let db = tenancy.db(&acme).unwrap();
    sqlx::query("INSERT INTO note VALUES (twice(21))").execute(&db).await.unwrap();
    folder.write("tenant/0002_done.sql", "ALTER TABLE note ADD done bool");
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().migrated, 1);
}

#[tokio::test]
async fn a_spare_goes_to_one_tenant_only() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    // Two at once make no more than one.
    let (first, second) = tokio::join!(tenancy.fill_spares(8), tenancy.fill_spares(8));
    assert_eq!(first.unwrap().made + second.unwrap().made, 8);

    let creates = (0..16).map(|number| tenancy.create(NewTenant::new(format!("tenant-{number}"))));
    let tenants = futures_util::future::try_join_all(creates).await.unwrap();
    assert_eq!(count(&tenancy).await, 0);
    let mut client = Client::owner(&database).await;
    let tables = client.count("pg_class WHERE relname = 'note'").await;
    assert_eq!(tables, 16);
    for tenant in &tenants {
        let db = tenancy.db(tenant).unwrap();
        sqlx::query("INSERT INTO note VALUES (1)").execute(&db).await.unwrap();
    }
    assert_eq!(client.count("pg_namespace WHERE nspname LIKE 'tenantry_spare%'").await, 0);
}

#[tokio::test]
async fn a_stale_spare_is_never_handed_out() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    check_filled(&tenancy, 2, 2, 0).await;
    folder.write("tenant/0002_tag.sql", "CREATE TABLE tag (name text)");
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    sqlx::query("INSERT INTO tag VALUES ('new')").execute(&tenancy.db(&acme).unwrap()).await.unwrap();
    assert!(tenancy.spares().await.unwrap().iter().all(|spare| !spare.is_current));
    check_filled(&tenancy, 1, 1, 2).await;
    assert_eq!(count(&tenancy).await, 1);
}

#[tokio::test]
async fn a_spare_that_was_dropped_by_hand_is_passed_over() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    check_filled(&tenancy, 1, 1, 0).await;
    let schema = tenancy.spares().await.unwrap()[0].schema.to_string();
    Client::owner(&database).await.run(&format!("DROP SCHEMA {schema} CASCADE")).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    sqlx::query("INSERT INTO note VALUES (1)").execute(&tenancy.db(&acme).unwrap()).await.unwrap();
    assert_eq!(count(&tenancy).await, 0);
}

#[tokio::test]
async fn a_slug_that_is_taken_costs_no_spare() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    tenancy.create(NewTenant::new("acme").domain(domain("acme.test"))).await.unwrap();
    check_filled(&tenancy, 1, 1, 0).await;
    let error = tenancy.create(NewTenant::new("globex").domain(domain("acme.test"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(count(&tenancy).await, 1);
}

#[tokio::test]
async fn what_a_rename_would_break_is_refused_and_leaves_nothing() {
    let database = database().await;
    let own =
        "CREATE FUNCTION own() RETURNS text LANGUAGE sql SET search_path FROM CURRENT AS 'SELECT 1::text'";
    for (file, part) in [(own, "function `own` names its own schema"), ("-- no-transaction\nVACUUM", "0001_")]
    {
        let folder = Folder::of(&[file]);
        let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
        let error = tenancy.fill_spares(1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(part), "{error}");
    }
    let mut client = Client::owner(&database).await;
    assert_eq!(client.count("pg_namespace WHERE nspname LIKE 'tenantry_spare%'").await, 0);
    assert_eq!(client.count("tenantry.spare").await, 0);
}

#[tokio::test]
async fn files_that_cannot_share_a_transaction_make_a_spare_one_by_one() {
    let database = database().await;
    let files = [
        "CREATE TYPE state AS ENUM ('a'); CREATE TABLE note (id int, state state)",
        "ALTER TYPE state ADD VALUE 'b'",
        "CREATE INDEX note_b ON note (id) WHERE state = 'b'",
    ];
    let folder = Folder::of(&files);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    check_filled(&tenancy, 2, 2, 0).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    assert_eq!(count(&tenancy).await, 1, "it was made of one of them");
    sqlx::query("INSERT INTO note VALUES (1, 'b')").execute(&tenancy.db(&acme).unwrap()).await.unwrap();

    folder.write("tenant/0004_bad.sql", "ALTER TABLE nothing ADD x int");
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let error =
        check_error(tenancy.fill_spares(1).await, ErrorKind::Migration, &["0004_bad.sql", "spare schema"]);
    assert_eq!(error.database_code().as_deref(), Some("42P01"));
    let mut client = Client::owner(&database).await;
    assert_eq!(client.count("pg_namespace WHERE nspname LIKE 'tenantry_spare%'").await, 0);
    assert_eq!(client.count("tenantry.spare").await, 0);
}

fn keep(count: u32) -> KeepSpares {
    KeepSpares { count, interval: Duration::from_millis(300), ..KeepSpares::default() }
}

/// Long enough that nothing happens by the timer.
fn keep_patiently(count: u32) -> KeepSpares {
    KeepSpares { count, interval: Duration::from_hours(1), ..KeepSpares::default() }
}

async fn until_there_are(tenancy: &Tenancy, spares: usize) {
    eventually("as many spares as are kept", async || {
        tenancy
            .spares()
            .await
            .is_ok_and(|found| found.iter().filter(|spare| spare.is_current).count() == spares)
    })
    .await;
}

/// Schemas of spares, and whether each is in the list: one that is half-made would not be.
async fn check_whole(client: &mut Client) {
    let schemas = client.count("pg_namespace WHERE nspname LIKE 'tenantry_spare%'").await;
    assert_eq!(schemas, client.count("tenantry.spare JOIN pg_namespace ON nspname = schema_name").await);
}

#[tokio::test]
async fn a_spare_that_was_taken_is_made_again_by_itself() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let keeper = tenancy.keep_spares(keep_patiently(2)).unwrap();
    until_there_are(&tenancy, 2).await;
    for slug in ["acme", "globex", "initech"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
        until_there_are(&tenancy, 2).await;
    }
    keeper.stop().await;
    tenancy.create(NewTenant::new("hooli")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(count(&tenancy).await, 1, "nobody makes any after it was stopped");
}

#[tokio::test]
async fn who_keep_spares_together_make_no_more_than_each_would_alone() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let mut tenancies = Vec::new();
    for _ in 0..2 {
        tenancies.push(builder(&database).migrations(folder.migrations()).connect().await.unwrap());
    }
    let keepers = tenancies.iter().map(|tenancy| tenancy.keep_spares(keep(3)).unwrap());
    let keepers: Vec<_> = keepers.collect();
    let mut client = Client::owner(&database).await;
    until_there_are(&tenancies[0], 3).await;
    for number in 0..6 {
        let tenancy = &tenancies[number % 2];
        tenancy.create(NewTenant::new(format!("t{number}"))).await.unwrap();
        assert!(client.count("tenantry.spare").await <= 3);
    }
    until_there_are(&tenancies[1], 3).await;
    // What a third party takes is found by the timer.
    client.run("DELETE FROM tenantry.spare").await;
    until_there_are(&tenancies[0], 3).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(client.count("tenantry.spare").await, 3);
    drop(keepers);
}

#[tokio::test]
async fn stopping_at_any_moment_leaves_no_half_made_spare() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let mut client = Client::owner(&database).await;
    // On a busy machine, a spare takes many times as long as on an idle one.
    let begun = Instant::now();
    tenancy.fill_spares(1).await.unwrap();
    let longest = 4 * begun.elapsed();
    for round in 1..20 {
        let keeper = tenancy.keep_spares(keep_patiently(3 * round)).unwrap();
        tokio::time::sleep(random_up_to(longest)).await;
        keeper.stop().await;
        check_whole(&mut client).await;
    }
    assert!(count(&tenancy).await > 1, "it had time to make some");
    eventually("nobody holds the lock of those who make spares", async || {
        client
            .count(
                "pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database \
                      WHERE datname = current_database())",
            )
            .await
            == 0
    })
    .await;
}

#[tokio::test]
async fn spares_of_another_version_are_replaced_and_not_fought_over() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let old = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    folder.write("tenant/0002_tag.sql", "CREATE TABLE tag (name text)");
    let new = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let keepers = [old.keep_spares(keep(2)).unwrap(), new.keep_spares(keep(2)).unwrap()];
    until_there_are(&old, 2).await;
    until_there_are(&new, 2).await;
    let before = new.spares().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let schemas = |spares: &[Spare]| spares.iter().map(|spare| spare.schema.clone()).collect::<Vec<_>>();
    assert_eq!(schemas(&new.spares().await.unwrap()), schemas(&before), "each leaves the other's alone");

    let [keeper, _of_the_new] = keepers;
    keeper.stop().await;
    let age = "UPDATE tenantry.spare SET created_at = created_at - interval '1 hour'";
    Client::owner(&database).await.run(age).await;
    eventually("what the version before has left is removed", async || {
        let left = new.spares().await.unwrap();
        left.len() == 2 && left.iter().all(|spare| spare.is_current)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_has_its_spares_again() {
    let mut server = ScratchServer::start().await.unwrap();
    let database = server.database("app").await.unwrap();
    let config = DatabaseConfig::from_url(database.url()).unwrap();
    let folder = Folder::of(&[NOTE]);
    let builder = Tenancy::builder().database(config).install(true);
    let tenancy = builder.migrations(folder.migrations()).connect().await.unwrap();
    let keeper = tenancy.keep_spares(keep(2)).unwrap();
    until_there_are(&tenancy, 2).await;
    server.kill().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    server.start_again().await.unwrap();
    Client::connect(database.url()).await.run("DELETE FROM tenantry.spare").await;
    until_there_are(&tenancy, 2).await;
    keeper.stop().await;
}

#[tokio::test]
async fn who_can_never_make_spares_is_told_at_once() {
    let database = database().await;
    let folder = Folder::of(&["-- no-transaction\nVACUUM"]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    check_error(tenancy.keep_spares(keep(1)), ErrorKind::Unsupported, &["0001_"]);
}
