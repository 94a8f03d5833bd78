//! Registering a schema that is already there.

use tenantry::tenant::{Alias, Status};
use tenantry::{ErrorKind, Fleet, NewTenant};

use crate::support::{
    Client, Folder, builder, check_error, config, database, domain, ledger, schema, tenancy, unobserved,
};

#[tokio::test]
async fn it_is_served_as_it_is_and_keeps_its_data() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let mut client = Client::owner(&database).await;
    client
        .run(
            "CREATE SCHEMA \"Old \"\"Acme\"\" '1'\";
              CREATE TABLE \"Old \"\"Acme\"\" '1'\".note AS SELECT 'kept' AS title;
              CREATE TYPE \"Old \"\"Acme\"\" '1'\".mood AS ENUM ('happy')",
        )
        .await;
    let name = schema("Old \"Acme\" '1'");
    let new = NewTenant::new("acme").existing_schema(name.clone()).domain(domain("acme.test"));
    let acme = tenancy.create(new).await.unwrap();
    assert_eq!((acme.schema(), acme.status(), acme.owns_types()), (&name, Status::Active, true));
    let title: String =
        sqlx::query_scalar("SELECT title FROM note").fetch_one(&tenancy.db(&acme).unwrap()).await.unwrap();
    assert_eq!(title, "kept");
    assert_eq!(ledger(&mut client, &acme).await, []);
}

#[tokio::test]
async fn what_its_ledger_holds_is_not_applied_again() {
    let database = database().await;
    let folder = Folder::of(&["CREATE TABLE note (id int)"]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run("CREATE SCHEMA legacy; SET search_path TO legacy").await;
    sqlx::migrate::Migrator::new(folder.tenant()).await.unwrap().run(client.connection()).await.unwrap();

    let acme = tenancy.create(NewTenant::new("acme").existing_schema(schema("legacy"))).await.unwrap();
    assert_eq!(acme.digest(), Some(&tenancy.migrations().tenant().digest()), "the ledger was read");

    folder.write("tenant/0002_title.sql", "ALTER TABLE note ADD COLUMN title text");
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 0));
    assert_eq!(ledger(&mut client, &acme).await, [(1, true), (2, true)]);
}

#[tokio::test]
async fn it_is_not_migrated_now_but_with_the_next_run() {
    let database = database().await;
    let tenancy = tenancy(&database, &["CREATE TABLE note (id int)"]).await;
    let mut client = Client::owner(&database).await;
    client.run("CREATE SCHEMA legacy").await;
    let acme = tenancy.create(NewTenant::new("acme").existing_schema(schema("legacy"))).await.unwrap();
    assert_eq!(ledger(&mut client, &acme).await, []);
    tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!(ledger(&mut client, &acme).await, [(1, true)]);
}

#[tokio::test]
async fn a_schema_that_is_missing_is_named() {
    let (main, eu) = (database().await, database().await);
    let tenancy =
        builder(&main).database_as(Alias::parse("eu").unwrap(), config(&eu)).connect().await.unwrap();
    for alias in ["default", "eu"] {
        let new =
            NewTenant::new("acme").database(Alias::parse(alias).unwrap()).existing_schema(schema("legacy"));
        let says = [format!("no schema `legacy` in database `{alias}`"), "leave `--schema` out".to_owned()];
        let error = check_error(
            tenancy.create(new).await,
            ErrorKind::MissingSchema,
            &says.each_ref().map(String::as_str),
        );
        assert_eq!(error.tenant().unwrap().as_str(), "acme");
        assert_eq!(Client::owner(&main).await.count("tenantry.tenant").await, 0);
    }
}

#[tokio::test]
async fn a_schema_in_another_database_is_registered_there() {
    let (main, eu) = (database().await, database().await);
    let alias = Alias::parse("eu").unwrap();
    let tenancy = builder(&main).database_as(alias.clone(), config(&eu)).connect().await.unwrap();
    Client::owner(&eu)
        .await
        .run("CREATE SCHEMA legacy; CREATE TABLE legacy.note AS SELECT 'kept' AS title")
        .await;
    let new = NewTenant::new("acme").database(alias).existing_schema(schema("legacy"));
    let acme = tenancy.create(new).await.unwrap();
    let title: String =
        sqlx::query_scalar("SELECT title FROM note").fetch_one(&tenancy.db(&acme).unwrap()).await.unwrap();
    assert_eq!(title, "kept");
}

#[tokio::test]
async fn shared_schemas_belong_to_nobody() {
    let database = database().await;
    let tenancy = builder(&database)
        .master_schema(schema("shop"))
        .extension_schemas([schema("ext")])
        .connect()
        .await
        .unwrap();
    for shared in ["shop", "ext"] {
        let new = NewTenant::new("acme").existing_schema(schema(shared));
        check_error(tenancy.create(new).await, ErrorKind::InvalidInput, &[shared, "is shared"]);
    }
    for reserved in ["tenantry", "tenantry_void", "pg_catalog", "information_schema"] {
        tenantry::tenant::SchemaName::parse(reserved).unwrap_err();
    }
    assert_eq!(Client::owner(&database).await.count("tenantry.tenant").await, 0);
}

#[tokio::test]
async fn a_schema_belongs_to_one_tenant() {
    let (main, eu) = (database().await, database().await);
    let alias = Alias::parse("eu").unwrap();
    let tenancy = builder(&main).database_as(alias.clone(), config(&eu)).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let stolen =
        NewTenant::new("globex").existing_schema(acme.schema().clone()).domain(domain("globex.test"));
    let says = [acme.schema().as_str(), "already belongs to a tenant"];
    check_error(tenancy.create(stolen).await, ErrorKind::AlreadyExists, &says);

    Client::owner(&eu).await.run("CREATE SCHEMA legacy").await;
    let legacy = |slug: &str| NewTenant::new(slug).database(alias.clone()).existing_schema(schema("legacy"));
    tenancy.create(legacy("old")).await.unwrap();
    check_error(
        tenancy.create(legacy("older")).await,
        ErrorKind::AlreadyExists,
        &["`legacy`", "already belongs"],
    );
    let mut client = Client::owner(&main).await;
    assert_eq!(client.count("tenantry.tenant").await, 2);
    assert_eq!(client.count("tenantry.domain").await, 0);
}

#[tokio::test]
async fn a_half_made_tenant_is_not_given_another_schema() {
    let database = database().await;
    let folder = Folder::of(&["-- no-transaction\nSELECT broken"]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap_err();
    Client::owner(&database).await.run("CREATE SCHEMA legacy").await;
    folder.write("tenant/0001_step.sql", "-- no-transaction\nSELECT 1");
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let other = NewTenant::new("acme").existing_schema(schema("legacy"));
    check_error(
        tenancy.create(other).await,
        ErrorKind::AlreadyExists,
        &["`acme` already exists and is provisioning", "abort"],
    );
    tenancy.create(NewTenant::new("acme")).await.unwrap();
}

#[tokio::test]
async fn a_schema_of_somebody_else_is_refused_with_the_reason() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    Client::superuser(&database).await.run("CREATE SCHEMA foreign_schema").await;
    let created = tenancy.create(NewTenant::new("acme").existing_schema(schema("foreign_schema"))).await;
    let error = created.unwrap_err();
    let text = crate::support::report(&error);
    assert!(text.contains("permission denied for schema foreign_schema"), "{text}");
    assert_eq!(Client::owner(&database).await.count("tenantry.tenant").await, 0);
}
