//! Warnings about the files that a fleet is about to apply.

use tenantry::migrate::MigrateOptions;
use tenantry::tenant::Alias;
use tenantry::{ErrorKind, Fleet, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::{
    Client, Folder, builder, check_error, config, database, slug, tenant_files, unobserved,
};

const BAD: &str = "CREATE TABLE IF NOT EXISTS shared (CHECK (true))";

async fn open(database: &ScratchDatabase, folder: &Folder) -> Tenancy {
    builder(database).migrations(folder.migrations()).connect().await.unwrap()
}

/// The versions that are warned of, those of the master schema first.
async fn warned(tenancy: &Tenancy, fleet: Fleet) -> Vec<i64> {
    tenancy.lint(fleet).await.unwrap().iter().map(tenantry::migrate::Warning::version).collect()
}

#[tokio::test]
async fn only_files_that_somebody_has_not_applied_are_warned_of() {
    let database = database().await;
    let folder = Folder::of(&[BAD]);
    folder.write("master/0050_trigram.sql", "CREATE EXTENSION pg_trgm");
    folder.write("tenant/0003_late.sql", BAD);
    let tenancy = open(&database, &folder).await;
    assert_eq!(warned(&tenancy, Fleet::all()).await, [50], "without tenants, their files are not pending");
    for name in ["acme", "globex"] {
        tenancy.create(NewTenant::new(name)).await.unwrap();
    }
    assert_eq!(warned(&tenancy, Fleet::all()).await, [50]);

    folder.write("tenant/0002_between.sql", BAD);
    folder.write("tenant/0004_fine.sql", "SELECT 1");
    let tenancy = open(&database, &folder).await;
    assert_eq!(warned(&tenancy, Fleet::all()).await, [50, 2]);
    let late = |name| MigrateOptions { allow_out_of_order: true, ..Fleet::only([slug(name)]).into() };
    tenancy.migrate(late("acme"), unobserved).await.unwrap();
    assert_eq!(warned(&tenancy, Fleet::all()).await, [50, 2], "globex has not applied it yet");
    assert_eq!(warned(&tenancy, Fleet::only([slug("globex")])).await, [2]);
    assert!(warned(&tenancy, Fleet::only([slug("acme")])).await.is_empty());
    check_error(tenancy.lint(Fleet::only([slug("nobody")])).await, ErrorKind::UnknownTenant, &["nobody"]);

    tenancy.migrate(late("globex"), unobserved).await.unwrap();
    Client::owner(&database).await.run("UPDATE tenantry.tenant SET status = 'deleted'").await;
    assert_eq!(warned(&tenancy, Fleet::all()).await, [50]);
}

#[tokio::test]
async fn a_tenant_without_a_summary_is_asked_for_its_ledger() {
    let database = database().await;
    let folder = Folder::of(&[BAD, "SELECT 1", BAD]);
    let tenancy = open(&database, &folder).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run("DELETE FROM tenantry.applied").await;
    assert!(warned(&tenancy, Fleet::all()).await.is_empty());
    let acme = tenancy.tenant("acme").await.unwrap();
    client.run(&format!("DELETE FROM \"{}\"._sqlx_migrations WHERE version > 1", acme.schema())).await;
    assert_eq!(warned(&tenancy, Fleet::all()).await, [3]);
}

#[tokio::test]
async fn tenants_in_other_databases_count() {
    let (here, there) = (database().await, database().await);
    let eu = Alias::parse("eu").unwrap();
    let open = async |files: &[&str]| {
        let builder = builder(&here).database_as(eu.clone(), config(&there));
        builder.migrations(tenant_files(files)).connect().await.unwrap()
    };
    let tenancy = open(&[BAD]).await;
    tenancy.create(NewTenant::new("acme").database(eu.clone())).await.unwrap();
    assert!(warned(&tenancy, Fleet::all()).await.is_empty());
    let tenancy = open(&[BAD, BAD]).await;
    assert_eq!(warned(&tenancy, Fleet::all()).await, [2]);
}

#[tokio::test]
async fn extension_schemas_are_those_of_the_installation() {
    let database = database().await;
    let files = ["SELECT geo.f(1)", "SELECT extensions.f(1)"];
    let schemas = [tenantry::tenant::SchemaName::parse("geo").unwrap()];
    let builder = builder(&database).extension_schemas(schemas.clone()).migrations(tenant_files(&[]));
    let tenancy = builder.connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let builder = crate::support::builder(&database).extension_schemas(schemas);
    let tenancy = builder.migrations(tenant_files(&files)).connect().await.unwrap();
    assert_eq!(warned(&tenancy, Fleet::all()).await, [2]);
    assert_eq!(tenancy.migrations().lint()[0].version(), 1, "which has the default");
}

#[tokio::test]
async fn what_is_applied_is_not_warned_of_when_the_way_is_blocked() {
    let database = database().await;
    let folder = Folder::of(&[BAD, "CREATE TABLE note ()"]);
    let tenancy = open(&database, &folder).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    // There is no way back, and nothing is pending.
    let back = MigrateOptions { to: Some(1), ..Fleet::all().into() };
    assert_eq!(tenancy.lint(back).await.unwrap(), []);
}
