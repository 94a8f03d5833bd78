//! Schemas that other tools have left become tenants, and tenants become schemas again.

mod of_type;
mod own_name;
mod strangers;

use tenantry::doctor::Check;
use tenantry::lifecycle::{Adoptable, SchemaChoice};
use tenantry::registry::AuditState;
use tenantry::tenant::{Alias, Status};
use tenantry::{Adoption, ErrorKind, Fleet, NewTenant, PurgeOptions};

use crate::doctor::close_public;
use crate::support::{
    Client, builder, check_error, config, database, domain, ledger, schema, slug, table, tenancy,
    tenant_files, unobserved,
};

const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY)";
const TITLE: &str = "ALTER TABLE note ADD COLUMN title text";
const DONE: &str = "ALTER TABLE note ADD COLUMN done boolean";

fn like(pattern: &str) -> SchemaChoice {
    SchemaChoice::Like(pattern.to_owned())
}

#[tokio::test]
async fn schemas_of_nobody_are_found_and_compared_with_what_the_files_make() {
    let database = database().await;
    let done = "UPDATE note SET title = ''";
    let tenancy = tenancy(&database, &[NOTE, TITLE, done, DONE]).await;
    tenancy.create(NewTenant::new("taken").existing_schema(schema("tenant_x"))).await.unwrap_err();
    let mut client = Client::owner(&database).await;
    let acme = "note (id int PRIMARY KEY, title text)";
    client
        .run(&format!(
            r#"CREATE SCHEMA tenant_acme; CREATE TABLE tenant_acme.{acme};
               CREATE TABLE tenant_acme.schema_migrations (version bigint);
               INSERT INTO tenant_acme.schema_migrations VALUES (1), (2);
               CREATE SCHEMA "tenant_Big ""Shop"""; CREATE TABLE "tenant_Big ""Shop""".django_migrations
                   (id serial PRIMARY KEY, app text, name text);
               INSERT INTO "tenant_Big ""Shop""".django_migrations
                   VALUES (1, 'notes', '0001_initial'), (2, 'notes', '0002_title');
               CREATE TABLE "tenant_Big ""Shop""".{acme};
               CREATE SCHEMA tenant_bad; CREATE TABLE tenant_bad.note (id bigint PRIMARY KEY, title text);
               CREATE TABLE tenant_bad.tag (name text PRIMARY KEY);
               CREATE SCHEMA tenant_empty; CREATE SCHEMA tenant_taken; CREATE SCHEMA another;
               CREATE TABLE goose_db_version (version_id bigint, is_applied bool);
               INSERT INTO goose_db_version VALUES (4, true)"#
        ))
        .await;
    tenancy.create(NewTenant::new("taken").existing_schema(schema("tenant_taken"))).await.unwrap();
    let before: Vec<(String,)> = client.rows("SELECT pg_class::text FROM pg_class ORDER BY oid").await;
    let found = tenancy.adoptable(&Alias::default(), &like("tenant%")).await.unwrap();
    let wrong = ["table `tag` is extra", "column `note.done` is missing", "column `note.id` is another"];
    let wrong = wrong.map(str::to_owned).to_vec();
    let told: Vec<_> = found
        .iter()
        .map(|it| {
            let also = it.also.as_slice();
            (
                it.schema.as_str(),
                it.noted.as_deref(),
                it.tables,
                it.version,
                also,
                it.nearest,
                it.differences.clone(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("tenant_Big \"Shop\"", Some("notes.0002_title"), 2, Some(3), &[2][..], None, vec![]),
            ("tenant_acme", Some("2"), 2, Some(2), &[3], None, vec![]),
            ("tenant_bad", Some("4"), 2, None, &[], Some(4), wrong),
            ("tenant_empty", Some("4"), 0, None, &[], None, vec![]),
        ]
    );
    let ledgers: Vec<_> = found.iter().map(|it| it.ledger.as_deref().unwrap()).collect();
    let own = ["tenant_Big \"Shop\".django_migrations", "tenant_acme.schema_migrations"];
    assert_eq!(ledgers[..2], own);
    assert_eq!(ledgers[2..], ["public.goose_db_version"; 2]);
    let after: Vec<(String,)> = client.rows("SELECT pg_class::text FROM pg_class ORDER BY oid").await;
    assert_eq!(before, after, "nothing is changed");

    // Shared schemas and those of PostgreSQL are nobody's, whatever they are like.
    let all = tenancy.adoptable(&Alias::default(), &like("%")).await.unwrap();
    assert_eq!(all.len(), 5, "{all:?}");
    let named = SchemaChoice::Named(vec![schema("another"), schema("public"), schema("missing")]);
    assert_eq!(tenancy.adoptable(&Alias::default(), &named).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_schema_is_adopted_at_the_version_that_it_is_equal_to_whatever_its_name() {
    let (main, other) = (database().await, database().await);
    close_public(&main).await;
    close_public(&other).await;
    let eu = Alias::parse("eu").unwrap();
    let files = || tenant_files(&[NOTE, TITLE, DONE]);
    let tenancy =
        builder(&main).database_as(eu.clone(), config(&other)).migrations(files()).connect().await.unwrap();
    let long = format!("Straße-{}", "ü".repeat(27));
    assert_eq!(long.len(), 62);
    for (alias, place) in [(Alias::default(), &main), (eu, &other)] {
        let mut client = Client::owner(place).await;
        let names = ["Tenant \"A\"", "größe-1", "UPPER", "a.b", "o'neil", "note", &long];
        for (count, name) in (0..).zip(names) {
            let sql = [NOTE, TITLE, DONE][..count % 4].join(";");
            let quoted = name.replace('"', "\"\"");
            client.run(&format!("CREATE SCHEMA \"{quoted}\"; SET search_path TO \"{quoted}\"; {sql}")).await;
        }
        client.run("RESET search_path").await;
        let choice = SchemaChoice::Named(names.map(schema).to_vec());
        for round in 0..2 {
            let found = tenancy.adoptable(&alias, &choice).await.unwrap();
            assert_eq!(found.len(), names.len(), "{round}");
            for found in found {
                let count = names.iter().position(|name| *name == found.schema.as_str()).unwrap();
                let version = Some(i64::try_from(count % 4).unwrap()).filter(|version| *version > 0);
                assert_eq!((found.version, found.nearest), (version, None), "{round}: {found:?}");
                let adoption = Adoption::of(found).slug(slug(&format!("{alias}-{count}")));
                let tenant = tenancy.adopt(&adoption).await.unwrap();
                let applied = ledger(&mut client, &tenant).await;
                assert_eq!(applied.last().map(|(version, _)| *version), version);
                if round == 0 {
                    tenancy.release(&tenant).await.unwrap();
                }
            }
        }
    }
    assert_eq!(tenancy.doctor().await.iter().filter(|it| it.check != Check::Behind).count(), 0);
    let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (12, 0), "but for the two that had everything");
    assert_eq!(tenancy.doctor().await, []);
}

#[tokio::test]
async fn a_schema_that_differs_is_adopted_on_demand_only() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE, TITLE, DONE]).await;
    let mut client = Client::owner(&database).await;
    let odd =
        |number: i32| format!("CREATE SCHEMA t_{number}; CREATE TABLE t_{number}.note (id int, title text)");
    client.run(&format!("{}; {}; {}", odd(1), odd(2), odd(3))).await;
    let found = tenancy.adoptable(&Alias::default(), &like("t\\__")).await.unwrap();
    let [one, two, three] = <[Adoptable; 3]>::try_from(found).unwrap();
    let refused = tenancy.adopt(&Adoption::of(one.clone())).await;
    let says = [
        "it differs from version 2",
        "column `note.id` is another",
        "constraint `note.note_pkey` is missing",
    ];
    check_error(refused, ErrorKind::Migration, &says);
    assert_eq!(client.count("tenantry.tenant").await, 0);
    let nearest = tenancy.adopt(&Adoption::of(one).slug(slug("one")).allow_differences(true)).await.unwrap();
    assert_eq!(ledger(&mut client, &nearest).await, [(1, true), (2, true)]);
    let told = tenancy.adopt(&Adoption::of(two).slug(slug("two")).applied_through(Some(1))).await.unwrap();
    assert_eq!(ledger(&mut client, &told).await, [(1, true)]);
    // A ledger in sqlx's format is believed by the next run, so the schema has to be what it says.
    client.run("CREATE TABLE t_3._sqlx_migrations (LIKE t_1._sqlx_migrations INCLUDING ALL)").await;
    client.run("INSERT INTO t_3._sqlx_migrations SELECT * FROM t_1._sqlx_migrations").await;
    client.run("ALTER TABLE t_3.note ADD PRIMARY KEY (id), ADD COLUMN done boolean").await;
    let found = tenancy.adoptable(&Alias::default(), &SchemaChoice::Named(vec![three.schema])).await.unwrap();
    assert_eq!((found[0].version, found[0].nearest), (None, Some(2)));
    check_error(
        tenancy.adopt(&Adoption::of(found[0].clone())).await,
        ErrorKind::Migration,
        &["column `note.done` is extra"],
    );
}

#[tokio::test]
async fn files_that_cannot_be_replayed_are_told() {
    let database = database().await;
    let needs_rows = "DO $$ BEGIN PERFORM 1 / count(*) FROM note; END $$";
    let tenancy = tenancy(&database, &[NOTE, needs_rows, DONE]).await;
    let mut client = Client::owner(&database).await;
    client.run(&format!("CREATE SCHEMA a_1; SET search_path TO a_1; {NOTE}")).await;
    client.run(&format!("CREATE SCHEMA a_2; SET search_path TO a_2; {NOTE}; {DONE}")).await;
    let found = tenancy.adoptable(&Alias::default(), &like("a\\__")).await.unwrap();
    assert_eq!((found[0].version, &found[0].unknown), (Some(1), &None));
    let unknown = found[1].unknown.as_deref().unwrap();
    assert!(
        unknown.contains("from version 2 on cannot be replayed") && unknown.contains("division"),
        "{unknown}"
    );
    check_error(
        tenancy.adopt(&Adoption::of(found[1].clone())).await,
        ErrorKind::Migration,
        &["cannot be replayed"],
    );
    tenancy.adopt(&Adoption::of(found[1].clone()).slug(slug("two")).applied_through(Some(3))).await.unwrap();
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
