use tenantry::tenant::Alias;
use tenantry::{Adoption, NewTenant};

use super::{NOTE, like};
use crate::doctor::close_public;
use crate::roles::two_logins;
use crate::support::{Client, builder, database, slug, tenancy, tenant_files};

#[tokio::test]
async fn other_owners_and_privileges_beyond_those_of_a_new_tenant_are_told() {
    let database = database().await;
    let owner: String = Client::owner(&database).await.value("SELECT current_user::text").await;
    let make = format!(
        "CREATE SCHEMA shop_a AUTHORIZATION {owner}; SET search_path TO shop_a; {NOTE};
         ALTER TABLE note OWNER TO {owner};
         CREATE SCHEMA shop_b AUTHORIZATION {owner}; SET search_path TO shop_b; {NOTE}; CREATE TABLE tag (id int);
         GRANT SELECT ON note, tag TO pg_monitor; GRANT INSERT ON tag TO PUBLIC"
    );
    Client::superuser(&database).await.run(&make).await;
    let owns = format!(
        "role `postgres` owns `note` and 1 more: migrations run as `{owner}`, which cannot change what it owns"
    );
    // Beside what the files make, and where they make nothing.
    let compared = [owns.as_str(), "grant `SELECT on note to pg_monitor` is extra"].join("\n");
    let alone = [
        owns.as_str(),
        "role `PUBLIC` has privileges on `tag`, which no new tenant has",
        "role `pg_monitor` has privileges on `note` and 1 more, which no new tenant has",
    ]
    .join("\n");
    for (files, expect) in [(&[NOTE][..], compared), (&[][..], alone)] {
        let tenancy = tenancy(&database, files).await;
        let found = tenancy.adoptable(&Alias::default(), &like("shop%")).await.unwrap();
        let notes: Vec<_> = found.iter().map(|found| found.notes.join("\n")).collect();
        assert_eq!(notes, [String::new(), expect]);
        assert_eq!(found[0].mend, None);
    }
}

#[tokio::test]
async fn privileges_that_differ_from_the_files_are_told_before_a_schema_is_adopted_and_after_it() {
    let logins = two_logins().await;
    close_public(&logins.database).await;
    let taken = format!("REVOKE INSERT ON note FROM {}", logins.application);
    let granted = "GRANT SELECT ON note TO pg_monitor";
    let files = tenant_files(&[NOTE, &taken, granted]);
    let tenancy = logins.builder().migrations(files).connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut owner = Client::owner(&logins.database).await;
    let make = |name: &str, sql: &str| {
        format!("CREATE SCHEMA {name}; SET search_path TO {name}; {NOTE}; {sql}; RESET search_path")
    };
    owner.run(&make("old_a", "SELECT 1")).await;
    owner.run(&make("old_b", granted)).await;
    owner
        .run(&make(
            "old_c",
            "GRANT SELECT, UPDATE ON note TO pg_monitor; GRANT USAGE ON SCHEMA old_c TO PUBLIC",
        ))
        .await;
    let found = tenancy.adoptable(&Alias::default(), &like("old%")).await.unwrap();
    // Once a schema is adopted, the application has its privileges on all tables, which the second file takes back.
    let insert = "grant `INSERT on note to the application` is extra";
    let expect = [
        (Some(1), vec![]),
        (Some(3), vec![insert]),
        (
            Some(1),
            vec![
                "grant `SELECT, UPDATE on note to pg_monitor` is extra",
                "grant `USAGE on the schema to PUBLIC` is extra",
            ],
        ),
    ];
    let told: Vec<_> = found
        .iter()
        .map(|it| (it.version, it.notes.iter().map(String::as_str).collect::<Vec<_>>()))
        .collect();
    assert_eq!(told, expect);
    for (found, name) in found.into_iter().zip(["a", "b", "c"]) {
        let mend = found.mend.clone();
        tenancy.adopt(&Adoption::of(found).slug(slug(name))).await.unwrap();
        if let Some(mend) = mend {
            owner.run(&mend).await;
        }
    }
    tenancy.migrate(tenantry::Fleet::all(), crate::support::unobserved).await.unwrap();
    assert_eq!(tenancy.doctor_replaying(()).await, []);
    let one_login = builder(&logins.database).migrations(tenant_files(&[NOTE])).connect().await.unwrap();
    owner.run(&make("old_d", "SELECT 1")).await;
    let found = one_login.adoptable(&Alias::default(), &like("old_d")).await.unwrap();
    assert_eq!((found[0].version, &found[0].mend), (Some(1), &None));
}
