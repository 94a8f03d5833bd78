//! Schemas built ahead of time.

use tenantry::{ErrorKind, Fleet, NewTenant, SpareSummary, Tenancy};

use crate::support::{Client, Folder, builder, database, domain, ledger, unobserved};

const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY); CREATE FUNCTION twice(n int) RETURNS int \
                    LANGUAGE sql AS 'SELECT 2 * n'";

async fn check_filled(tenancy: &Tenancy, count: u32, made: usize, removed: usize) {
    assert_eq!(tenancy.fill_spares(count).await.unwrap(), SpareSummary { made, removed });
}

async fn count(tenancy: &Tenancy) -> usize {
    tenancy.spares().await.unwrap().len()
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
