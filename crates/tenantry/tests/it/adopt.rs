//! Schemas that other tools have left become tenants, and tenants become schemas again.

use tenantry::lifecycle::SchemaChoice;
use tenantry::registry::AuditState;
use tenantry::tenant::{Alias, Status};
use tenantry::{ErrorKind, Fleet, NewTenant, PurgeOptions};

use crate::doctor::close_public;
use crate::support::{
    Client, check_error, database, domain, ledger, schema, slug, table, tenancy, unobserved,
};

const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY)";
const TITLE: &str = "ALTER TABLE note ADD COLUMN title text";
const DONE: &str = "ALTER TABLE note ADD COLUMN done boolean";

fn like(pattern: &str) -> SchemaChoice {
    SchemaChoice::Like(pattern.to_owned())
}

#[tokio::test]
async fn schemas_of_nobody_are_found_with_what_other_tools_have_noted() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE, TITLE, DONE]).await;
    tenancy.create(NewTenant::new("taken").existing_schema(schema("tenant_x"))).await.unwrap_err();
    let mut client = Client::owner(&database).await;
    client
        .run(
            r#"CREATE SCHEMA tenant_acme; CREATE TABLE tenant_acme.note (id int, title text);
               CREATE TABLE tenant_acme.schema_migrations (version bigint);
               INSERT INTO tenant_acme.schema_migrations VALUES (1), (2);
               CREATE SCHEMA "tenant_Big ""Shop"""; CREATE TABLE "tenant_Big ""Shop""".django_migrations
                   (id int, app text, name text);
               INSERT INTO "tenant_Big ""Shop""".django_migrations
                   VALUES (1, 'notes', '0001_initial'), (2, 'notes', '0002_title');
               CREATE SCHEMA tenant_empty; CREATE VIEW tenant_empty.goose_db_version AS SELECT 1 AS other;
               CREATE SCHEMA tenant_taken; CREATE SCHEMA another;
               CREATE TABLE schema_migrations (version bigint)"#,
        )
        .await;
    tenancy.create(NewTenant::new("taken").existing_schema(schema("tenant_taken"))).await.unwrap();
    let before: Vec<(String,)> = client.rows("SELECT pg_class::text FROM pg_class ORDER BY oid").await;
    let found = tenancy.adoptable(&Alias::default(), &like("tenant%")).await.unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|it| {
            let slug = it.slug.as_ref().map(tenantry::Slug::as_str);
            (it.schema.as_str(), slug, it.tables, it.tool.as_deref(), it.noted.as_deref(), it.version)
        })
        .collect();
    let rails = "rails, dbmate, golang-migrate or ecto";
    assert_eq!(
        told,
        [
            ("tenant_Big \"Shop\"", Some("big--shop"), 1, Some("django"), Some("notes.0002_title"), None),
            ("tenant_acme", Some("acme"), 2, Some(rails), Some("2"), Some(2)),
            ("tenant_empty", Some("empty"), 0, None, None, None),
        ]
    );
    let after: Vec<(String,)> = client.rows("SELECT pg_class::text FROM pg_class ORDER BY oid").await;
    assert_eq!(before, after, "nothing is changed");

    // Shared schemas and those of PostgreSQL are nobody's, whatever they are like.
    let all = tenancy.adoptable(&Alias::default(), &like("%")).await.unwrap();
    assert_eq!(all.len(), 4, "{all:?}");
    let named = SchemaChoice::Named(vec![schema("another"), schema("public"), schema("missing")]);
    assert_eq!(tenancy.adoptable(&Alias::default(), &named).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_adopted_schema_goes_on_where_its_files_end() {
    let database = database().await;
    close_public(&database).await;
    let tenancy = tenancy(&database, &[NOTE, TITLE, DONE]).await;
    let mut client = Client::owner(&database).await;
    client
        .run(&format!("CREATE SCHEMA old; SET search_path TO old; {NOTE}; {TITLE}; RESET search_path"))
        .await;
    client.run("INSERT INTO old.note VALUES (1, 'kept')").await;
    let new = || NewTenant::new("acme").existing_schema(schema("old")).domain(domain("acme.org"));
    check_error(
        tenancy.create(new().applied_through(7)).await,
        ErrorKind::InvalidInput,
        &["no file has", "7"],
    );
    assert_eq!(client.count("tenantry.tenant").await, 0);
    let acme = tenancy.create(new().applied_through(2)).await.unwrap();
    assert_eq!(ledger(&mut client, &acme).await, [(1, true), (2, true)]);
    let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 0));
    assert_eq!(ledger(&mut client, &acme).await, [(1, true), (2, true), (3, true)]);
    assert_eq!(client.count("old.note WHERE title = 'kept' AND done IS NULL").await, 1);
    assert_eq!(tenancy.doctor().await, []);
}

#[tokio::test]
async fn a_released_tenant_leaves_its_schema_and_comes_back_as_it_was() {
    let database = database().await;
    close_public(&database).await;
    let tenancy = tenancy(&database, &[NOTE, TITLE]).await;
    let mut tenant = tenancy.create(NewTenant::new("acme").domain(domain("acme.org"))).await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run(&format!("INSERT INTO {} VALUES (1, 'kept')", table(&tenant, "note"))).await;
    for _ in 0..2 {
        let db = tenancy.db(&tenant).unwrap();
        tenancy.release(&tenant).await.unwrap();
        check_error(tenancy.tenant("acme").await, ErrorKind::UnknownTenant, &[]);
        let refused = db.acquire().await.err().map(tenantry::Error::from);
        check_error::<()>(Err(refused.unwrap()), ErrorKind::UnknownTenant, &["acme"]);
        check_error(tenancy.release(&tenant).await, ErrorKind::UnknownTenant, &[]);
        assert_eq!(client.count("tenantry.domain").await, 0);
        assert_eq!(client.count(&format!("{} WHERE title = 'kept'", table(&tenant, "note"))).await, 1);
        let entry = &tenancy.audit(tenant.id(), 1).await.unwrap()[0];
        assert_eq!((entry.verb.as_str(), entry.state), ("release", AuditState::Done));
        assert_eq!(entry.options["schema"], tenant.schema().as_str());
        assert_eq!(tenancy.doctor().await, [], "it was released on purpose");

        let new = NewTenant::new("acme").existing_schema(tenant.schema().clone());
        let back = tenancy.create(new.domain(domain("acme.org"))).await.unwrap();
        assert_eq!(
            (back.schema(), back.digest(), back.status()),
            (tenant.schema(), tenant.digest(), Status::Active)
        );
        assert_eq!(back.slug(), &slug("acme"));
        tenant = back;
    }
    // One that is deleted may be let go, too; one that is being purged may not.
    tenancy.delete(&tenant).await.unwrap();
    client.run("UPDATE tenantry.tenant SET status = 'purging'").await;
    check_error(tenancy.release(&tenant).await, ErrorKind::TenantUnavailable, &["is purging"]);
    tenancy.purge(&tenant, PurgeOptions::default()).await.unwrap();
}
