//! The ledger is sqlx's own: either tool goes on where the other one stopped.

use sqlx::migrate::{MigrateError, Migrator};
use tenantry::{ErrorKind, Fleet, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::{Client, Folder, builder, check_error, database, ledger, table, unobserved};

const FILES: [&str; 3] = [
    "CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text)",
    "-- no-transaction\nCREATE INDEX CONCURRENTLY note_title ON note (title)",
    "CREATE TYPE mood AS ENUM ('happy'); ALTER TABLE note ADD COLUMN mood mood",
];

async fn open(database: &ScratchDatabase, folder: &Folder) -> Tenancy {
    builder(database).migrations(folder.migrations()).connect().await.unwrap()
}

/// Lets sqlx migrate the schema the client is pointed at.
async fn sqlx_migrate(folder: &Folder, client: &mut Client) -> Result<(), MigrateError> {
    Migrator::new(folder.tenant()).await.unwrap().run(client.connection()).await
}

async fn installed(client: &mut Client) -> Vec<(i64, String)> {
    client.rows("SELECT version, installed_on::text FROM _sqlx_migrations ORDER BY version").await
}

#[tokio::test]
async fn sqlx_finds_nothing_to_do_after_us() {
    let database = database().await;
    let folder = Folder::of(&FILES);
    let tenancy = open(&database, &folder).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();

    let mut client = Client::owner(&database).await;
    client.run(&format!("SET search_path TO \"{}\"", acme.schema())).await;
    let before = installed(&mut client).await;
    sqlx_migrate(&folder, &mut client).await.unwrap();
    assert_eq!(installed(&mut client).await, before, "it applied something again");
    let times: Vec<(i64,)> = client.rows("SELECT execution_time FROM _sqlx_migrations").await;
    assert!(times.iter().all(|(time,)| *time > 0), "every row has its time: {times:?}");

    folder.write("tenant/0004_body.sql", "ALTER TABLE note ADD COLUMN body text");
    sqlx_migrate(&folder, &mut client).await.unwrap();
    assert_eq!(ledger(&mut client, &acme).await.len(), 4);
}

#[tokio::test]
async fn we_find_nothing_to_do_after_sqlx_and_record_what_it_did() {
    let database = database().await;
    let folder = Folder::of(&FILES[..1]);
    let acme = open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    assert!(!acme.owns_types());

    for (number, sql) in (1..).zip(FILES).skip(1) {
        folder.write(&format!("tenant/{number:04}_step.sql"), sql);
    }
    let mut client = Client::owner(&database).await;
    client.run(&format!("SET search_path TO \"{}\"", acme.schema())).await;
    sqlx_migrate(&folder, &mut client).await.unwrap();
    let before = installed(&mut client).await;

    let tenancy = open(&database, &folder).await;
    for _ in 0..2 {
        let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
        assert_eq!((summary.migrated, summary.up_to_date, summary.failed), (0, 2, 0), "master and acme");
    }
    assert_eq!(installed(&mut client).await, before);
    let acme = tenancy.tenant("acme").await.unwrap();
    assert_eq!(acme.digest(), Some(&tenancy.migrations().tenant().digest()));
    assert!(acme.owns_types());
}

#[tokio::test]
async fn sqlx_refuses_what_we_marked_as_interrupted() {
    let database = database().await;
    let folder = Folder::of(&["CREATE TABLE note (id int)", "-- no-transaction\nSELECT 1 / 0"]);
    let tenancy = open(&database, &folder).await;
    check_error(tenancy.create(NewTenant::new("acme")).await, ErrorKind::Migration, &["division by zero"]);
    let acme = tenancy.tenant("acme").await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run(&format!("SET search_path TO \"{}\"", acme.schema())).await;
    let error = sqlx_migrate(&folder, &mut client).await.unwrap_err();
    assert!(matches!(error, MigrateError::Dirty(2)), "{error:?}");
}

type Column = (String, String, String, Option<String>);
type Row = (i64, String, bool, Vec<u8>);

#[tokio::test]
async fn the_ledger_table_is_the_one_sqlx_makes() {
    let database = database().await;
    let folder = Folder::of(&FILES[..1]);
    let acme = open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run("CREATE SCHEMA theirs; SET search_path TO theirs").await;
    sqlx_migrate(&folder, &mut client).await.unwrap();

    let columns = |schema: &str| {
        format!(
            "SELECT column_name::text, data_type::text, is_nullable::text, column_default::text \
             FROM information_schema.columns WHERE table_name = '_sqlx_migrations' AND table_schema = '{schema}' \
             ORDER BY ordinal_position"
        )
    };
    let ours: Vec<Column> = client.rows(&columns(acme.schema().as_str())).await;
    let theirs: Vec<Column> = client.rows(&columns("theirs")).await;
    assert_eq!(ours, theirs);
    let select = |table: &str| format!("SELECT version, description, success, checksum FROM {table}");
    let ours: Vec<Row> = client.rows(&select(&table(&acme, "_sqlx_migrations"))).await;
    let theirs: Vec<Row> = client.rows(&select("theirs._sqlx_migrations")).await;
    assert_eq!(ours, theirs);
}
