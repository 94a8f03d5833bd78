//! Tenants that need the same few columns are migrated together; each of them as if it were alone.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use tenantry::migrate::{Limits, MigrateOptions};
use tenantry::observe::Outcome;
use tenantry::{DatabaseConfig, Fleet, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::proxy::Proxy;
use crate::support::{Client, Folder, builder, database, ledger, table};

const NOTE: &str = "CREATE TABLE note (id int)";

/// One after the other, unless they are together; and nobody waits for long.
fn options() -> MigrateOptions {
    MigrateOptions {
        jobs: NonZeroU32::MIN,
        attempts: NonZeroU32::MIN,
        limits: Limits { lock_timeout: Duration::from_millis(300), ..Limits::default() },
        ..MigrateOptions::default()
    }
}

async fn fleet() -> (ScratchDatabase, Folder) {
    let (database, folder) = (database().await, Folder::of(&[NOTE]));
    let tenancy = open(&database, &folder).await;
    for number in 10..30 {
        tenancy.create(NewTenant::new(format!("tenant-{number}"))).await.unwrap();
    }
    (database, folder)
}

async fn open(database: &ScratchDatabase, folder: &Folder) -> Tenancy {
    builder(database).migrations(folder.migrations()).connect().await.unwrap()
}

/// The number of transactions in which the tenants have applied a version.
async fn transactions(database: &ScratchDatabase, tenancy: &Tenancy, version: i64) -> usize {
    let mut client = Client::owner(database).await;
    let mut transactions = Vec::new();
    for tenant in tenancy.tenants_after("", 100).await.unwrap() {
        let rows = table(&tenant, "_sqlx_migrations");
        let xmin = format!("SELECT xmin::text FROM {rows} WHERE version = {version} AND success");
        transactions.push(client.value::<String>(&xmin).await);
    }
    assert_eq!(transactions.len(), 20);
    transactions.sort();
    transactions.dedup();
    transactions.len()
}

#[tokio::test]
async fn new_columns_of_several_tenants_share_a_transaction_and_nothing_else_does() {
    let (database, folder) = fleet().await;
    let mut least = usize::MAX;
    // A machine that is busy may find no tenant quick enough, at first.
    for version in 2..10 {
        folder.write(
            &format!("tenant/000{version}_column.sql"),
            &format!("ALTER TABLE note ADD c{version} int"),
        );
        let tenancy = open(&database, &folder).await;
        let applied = Mutex::new(Vec::new());
        let observe = |outcome: &Outcome<'_>| applied.lock().unwrap().push(outcome.applied.to_vec());
        let summary = tenancy.migrate(options(), observe).await.unwrap();
        assert_eq!((summary.migrated, summary.failed), (20, 0));
        let of_tenants = |applied: &&Vec<i64>| **applied == [version];
        assert_eq!(applied.lock().unwrap().iter().filter(of_tenants).count(), 20);
        for tenant in tenancy.tenants_after("", 100).await.unwrap() {
            let column = format!("SELECT c{version} FROM {}", table(&tenant, "note"));
            Client::owner(&database).await.run(&column).await;
        }
        let run = tenancy.runs(1).await.unwrap().remove(0);
        assert_eq!(run.migrated, 20, "{run:?}");
        assert_eq!(tenancy.migrate(options(), |_: &Outcome<'_>| {}).await.unwrap().migrated, 0);
        least = transactions(&database, &tenancy, version).await;
        if least < 20 {
            break;
        }
    }
    assert!(least < 20, "each tenant had a transaction of its own");

    folder.write("tenant/0010_table.sql", "CREATE TABLE word (id int)");
    let tenancy = open(&database, &folder).await;
    assert_eq!(tenancy.migrate(options(), |_: &Outcome<'_>| {}).await.unwrap().migrated, 20);
    assert_eq!(transactions(&database, &tenancy, 10).await, 20);
}

#[tokio::test]
async fn what_was_committed_is_in_the_diary_even_if_nobody_heard_of_it() {
    let (database, folder) = fleet().await;
    let proxy = Proxy::to(database.url()).await;
    for version in 2..10 {
        let column = format!("ALTER TABLE note ADD c{version} int");
        folder.write(&format!("tenant/000{version}_column.sql"), &column);
        let config = DatabaseConfig::from_url(&proxy.url(database.url())).unwrap();
        let tenancy = Tenancy::builder().database(config).migrations(folder.migrations());
        let tenancy = tenancy.connect().await.unwrap();
        proxy.lose_commit_of(&column, 2);
        let summary = tenancy.migrate(options(), |_: &Outcome<'_>| {}).await.unwrap();
        assert_eq!((summary.migrated, summary.failed), (20, 0));
        let run = tenancy.runs(1).await.unwrap().remove(0);
        let diary = tenancy.run_entries_after(&run, None, 100).await.unwrap();
        let tenants = diary.iter().filter(|entry| entry.slug.is_some());
        assert!(tenants.clone().all(|entry| entry.applied == [version]), "{diary:?}");
        assert_eq!(tenants.count(), 20);
        // A machine that is busy may find no tenant quick enough, at first.
        if proxy.lost() > 0 {
            return;
        }
    }
    panic!("each tenant had a transaction of its own");
}

#[tokio::test]
async fn who_fails_or_is_in_the_way_among_several_is_found_and_the_others_go_on() {
    let (database, folder) = fleet().await;
    folder.write("tenant/0002_done.sql", "ALTER TABLE note ADD done bool");
    let tenancy = open(&database, &folder).await;
    let tenant = async |number: u32| tenancy.tenant(&format!("tenant-{number}")).await.unwrap();
    let (locked, other, ahead, gone) =
        (tenant(15).await, tenant(19).await, tenant(22).await, tenant(27).await);
    let mut report = Client::owner(&database).await;
    report.run("BEGIN").await;
    report.count(&table(&locked, "note")).await;
    let mut client = Client::owner(&database).await;
    client.run(&format!("ALTER TABLE {} ADD done text", table(&other, "note"))).await;
    // It has applied the file, and the registry does not know.
    let only = Fleet::only([ahead.slug().clone()]);
    tenancy.migrate(MigrateOptions { fleet: only, ..options() }, |_: &Outcome<'_>| {}).await.unwrap();
    let forget = format!(
        "UPDATE tenantry.applied SET (version, digest) =
             (SELECT version, digest FROM tenantry.applied WHERE schema_name = '{}')
         WHERE schema_name = '{}'",
        other.schema(),
        ahead.schema()
    );
    client.run(&forget).await;
    client.run(&format!("DROP SCHEMA \"{}\" CASCADE", gone.schema())).await;

    let errors = Mutex::new(Vec::new());
    let observe = |outcome: &Outcome<'_>| {
        if let (Some(tenant), Some(error)) = (outcome.tenant, outcome.error) {
            errors.lock().unwrap().push((tenant.slug().to_string(), error.to_string()));
        }
    };
    let summary = tenancy.migrate(options(), observe).await.unwrap();
    assert_eq!((summary.migrated, summary.up_to_date, summary.failed), (16, 2, 3), "{errors:?}");
    let mut errors = errors.into_inner().unwrap();
    errors.sort();
    for ((who, error), (expect, part)) in errors.iter().zip([
        ("tenant-15", "canceling statement due to lock timeout"),
        ("tenant-19", "0002_done.sql:1: column \"done\" of relation \"note\" already exists"),
        ("tenant-27", "schema"),
    ]) {
        assert!(who == expect && error.contains(part), "{who}: {error}");
    }
    for number in 10..30 {
        let done = matches!(number, 15 | 19 | 27);
        if number != 27 {
            let expect: &[_] = if done { &[(1, true)] } else { &[(1, true), (2, true)] };
            assert_eq!(ledger(&mut client, &tenant(number).await).await, expect, "tenant-{number}");
        }
    }
}

#[tokio::test]
async fn nobody_stands_still_for_a_neighbour_that_is_in_the_way() {
    let (database, folder) = fleet().await;
    folder.write("tenant/0002_done.sql", "ALTER TABLE note ADD done bool");
    let tenancy = open(&database, &folder).await;
    let mut report = Client::owner(&database).await;
    report.run("BEGIN").await;
    report.count(&table(&tenancy.tenant("tenant-12").await.unwrap(), "note")).await;
    let others = tenancy.tenants_after("", 100).await.unwrap().into_iter();
    let others: Vec<_> = others.filter(|tenant| tenant.slug().as_str() != "tenant-12").collect();

    let mut reader = Client::owner(&database).await;
    reader.run("SET lock_timeout TO '1s'").await;
    let read = async {
        loop {
            for tenant in &others {
                reader.run(&format!("SELECT count(*) FROM {}", table(tenant, "note"))).await;
            }
        }
    };
    // Longer than anybody reads for.
    let limits = Limits { lock_timeout: Duration::from_secs(3), ..Limits::default() };
    let options = MigrateOptions { limits, ..options() };
    let summary = tokio::select! {
        summary = tenancy.migrate(options, |_: &Outcome<'_>| {}) => summary.unwrap(),
        () = read => unreachable!(),
    };
    assert_eq!((summary.migrated, summary.failed), (19, 1));
}

#[tokio::test]
async fn what_a_lone_tenant_committed_is_told_even_if_nobody_heard_of_it() {
    let (database, folder) = (database().await, Folder::of(&[NOTE]));
    open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    let proxy = Proxy::to(database.url()).await;
    // Files that are sent with the lock, and one that has to wait for it.
    folder.write("tenant/0002_title.up.sql", "ALTER TABLE note ADD title text");
    folder.write("tenant/0002_title.down.sql", "ALTER TABLE note DROP title");
    let index = "-- no-transaction\nCREATE INDEX CONCURRENTLY note_title ON note (title)";
    let ways = [
        (None, "ADD title", &[2][..], &[][..]),
        (Some(1), "DROP title", &[], &[2]),
        (None, "ADD body", &[2, 3, 4], &[]),
    ];
    for (to, text, applied, undone) in ways {
        if text == "ADD body" {
            folder.write("tenant/0003_index.sql", index);
            folder.write("tenant/0004_body.sql", "ALTER TABLE note ADD body text");
        }
        let config = DatabaseConfig::from_url(&proxy.url(database.url())).unwrap();
        let tenancy = Tenancy::builder().database(config).migrations(folder.migrations());
        let tenancy = tenancy.connect().await.unwrap();
        let before = proxy.lost();
        proxy.lose_commit_of(text, 1);
        let options = MigrateOptions { to, ..options() };
        let summary = tenancy.migrate(options, |_: &Outcome<'_>| {}).await.unwrap();
        assert_eq!(proxy.lost(), before + 1, "{text}");
        assert_eq!((summary.migrated, summary.failed), (1, 0), "{text}");
        let run = tenancy.runs(1).await.unwrap().remove(0);
        let diary = tenancy.run_entries_after(&run, None, 10).await.unwrap();
        let told: Vec<_> = diary.iter().map(|entry| (&*entry.applied, &*entry.undone)).collect();
        assert_eq!(told, [(applied, undone)], "{text}: {diary:?}");
        assert_eq!(tenancy.tenant("acme").await.unwrap().last_error(), None, "{text}");
    }
    // What did not come to its commit is told as what it is.
    let config = DatabaseConfig::from_url(&proxy.url(database.url())).unwrap();
    folder.write("tenant/0005_cut.sql", "CREATE TABLE cut (); SELECT pg_terminate_backend(pg_backend_pid())");
    let tenancy = Tenancy::builder().database(config).migrations(folder.migrations());
    let tenancy = tenancy.connect().await.unwrap();
    let summary = tenancy.migrate(options(), |_: &Outcome<'_>| {}).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (0, 1));
    assert!(tenancy.tenant("acme").await.unwrap().last_error().is_some());
}
