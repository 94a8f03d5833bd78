//! Tenants of types, whose schemas have further files.

mod change;
mod runs;

use tenantry::doctor::Check;
use tenantry::lifecycle::FormerFiles;
use tenantry::tenant::{Tenant, TypeName};
use tenantry::{Builder, CloneOptions, Error, ErrorKind, KeepSpares, Migrations, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::{Client, Folder, builder, check_error, database, eventually, ledger, table};

pub(crate) const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY)";
pub(crate) const REPORT: &str = "CREATE TABLE report (id int PRIMARY KEY, note int REFERENCES note)";
pub(crate) const VAULT: &str = "CREATE TABLE vault (id int PRIMARY KEY)";

pub(crate) fn type_name(name: &str) -> TypeName {
    TypeName::parse(name).unwrap()
}

/// Files 1 and 3 of all tenants, 2 of the type `pro`, 2 and 4 of the type `gold`.
pub(crate) fn folder() -> Folder {
    let folder = Folder::of(&[NOTE]);
    folder.write("tenant/0003_title.sql", "ALTER TABLE note ADD title text");
    for directory in ["pro", "gold"] {
        std::fs::create_dir(folder.path().join(directory)).unwrap();
    }
    folder.write("pro/0002_report.up.sql", REPORT);
    folder.write("pro/0002_report.down.sql", "DROP TABLE report");
    folder.write("gold/0002_vault.sql", VAULT);
    folder.write("gold/0004_key.sql", "ALTER TABLE vault ADD key text");
    folder
}

pub(crate) fn files(folder: &Folder) -> Migrations {
    let of_type = |files: Migrations, name: &str| {
        files.with_type_dir(type_name(name), folder.path().join(name)).unwrap()
    };
    of_type(of_type(folder.migrations(), "pro"), "gold")
}

pub(crate) fn with_types(database: &ScratchDatabase, folder: &Folder) -> Builder {
    builder(database).migrations(files(folder))
}

/// A tenant without a type and one of each, by these slugs.
pub(crate) async fn one_of_each(tenancy: &Tenancy) -> [Tenant; 3] {
    let plain = tenancy.create(NewTenant::new("plain")).await.unwrap();
    let pro = tenancy.create(NewTenant::new("pro").of_type(type_name("pro"))).await.unwrap();
    let gold = tenancy.create(NewTenant::new("gold").of_type(type_name("gold"))).await.unwrap();
    [plain, pro, gold]
}

/// The versions that a tenant has applied.
pub(crate) async fn versions(client: &mut Client, tenant: &Tenant) -> Vec<i64> {
    ledger(client, tenant).await.into_iter().map(|(version, _)| version).collect()
}

pub(crate) async fn check_clean(tenancy: &Tenancy) {
    let mut findings = tenancy.doctor().await;
    // Of the installation: its login, and `public`, which PostgreSQL 14 leaves open.
    findings.retain(|finding| !matches!(finding.check, Check::Superuser | Check::MayCreate));
    assert_eq!(findings, []);
}

#[tokio::test]
async fn a_tenant_has_the_files_of_its_type_beside_those_of_all() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let all = one_of_each(&tenancy).await;
    let mut client = Client::owner(&database).await;
    for (tenant, expect) in all.iter().zip([&[1, 3][..], &[1, 2, 3], &[1, 2, 3, 4]]) {
        assert_eq!(versions(&mut client, tenant).await, expect, "{tenant:?}");
        let set = tenancy.migrations().of_type(tenant.type_name()).unwrap();
        assert_eq!(tenant.digest(), Some(&set.digest()));
        assert_eq!(tenancy.tenant(tenant.slug().as_str()).await.unwrap().type_name(), tenant.type_name());
        sqlx::query("SELECT title FROM note").execute(&tenancy.db(tenant).unwrap()).await.unwrap();
    }
    let types: Vec<(String, Option<String>)> =
        client.rows("SELECT slug, type FROM tenantry.tenant ORDER BY slug").await;
    let pairs = [("gold", Some("gold")), ("plain", None), ("pro", Some("pro"))];
    assert_eq!(types, pairs.map(|(slug, name)| (slug.to_owned(), name.map(str::to_owned))));
    let of_pro = tenancy.tenants_where("type = 'pro'", "", 9).await.unwrap();
    assert_eq!(of_pro, [all[1].clone()]);
    check_clean(&tenancy).await;

    let lost = tenancy.create(NewTenant::new("lost").of_type(type_name("lost"))).await;
    check_error(lost, ErrorKind::Configuration, &["no type `lost`", "[types.lost]"]);
    assert_eq!(client.count("tenantry.tenant").await, 3, "nothing was made");
    tenancy.create(NewTenant::new("another").of_type(type_name("pro"))).await.unwrap();
    let taken = tenancy.create(NewTenant::new("another")).await;
    check_error(taken, ErrorKind::AlreadyExists, &["another"]);
}

#[tokio::test]
async fn a_clone_is_of_the_type_of_its_source() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let [_, pro, _] = one_of_each(&tenancy).await;
    let dump = async |arguments: &[String]| Ok::<_, Error>(crate::clone::dump(&database, arguments));
    let cloned =
        tenancy.clone_tenant(&pro, NewTenant::new("copy"), CloneOptions::default(), dump).await.unwrap();
    assert_eq!(cloned.tenant.type_name(), pro.type_name());
    assert_eq!(cloned.tenant.digest(), pro.digest());
    let other = NewTenant::new("other").of_type(type_name("gold"));
    let dump = async |_: &[String]| -> Result<String, Error> { unreachable!("it is refused before") };
    let refused = tenancy.clone_tenant(&pro, other, CloneOptions::default(), dump).await;
    check_error(refused, ErrorKind::Unsupported, &["of the type of its source"]);
    check_clean(&tenancy).await;
}

#[tokio::test]
async fn an_existing_schema_becomes_a_tenant_of_a_type() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run(&format!("CREATE SCHEMA old; SET search_path TO old; {NOTE}; {REPORT}")).await;
    client.run("ALTER TABLE note ADD title text; RESET search_path").await;
    let new = NewTenant::new("old").existing_schema(crate::support::schema("old"));
    let old = tenancy.create(new.of_type(type_name("pro")).applied_through(3)).await.unwrap();
    assert_eq!(versions(&mut client, &old).await, [1, 2, 3]);
    assert_eq!(old.type_name(), Some(&type_name("pro")));
    tenancy.create(NewTenant::new("new").of_type(type_name("pro"))).await.unwrap();
    check_clean(&tenancy).await;
}

#[tokio::test]
async fn a_spare_is_of_a_type() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let keep = KeepSpares { count: 1, of_types: [(type_name("pro"), 1)].into(), ..KeepSpares::default() };
    let keeper = tenancy.keep_spares(keep).unwrap();
    eventually("there are two spares", async || tenancy.spares().await.unwrap().len() == 2).await;
    keeper.stop().await;
    let spares = tenancy.spares().await.unwrap();
    assert!(spares.iter().all(|spare| spare.is_current), "{spares:?}");
    let types: Vec<_> = spares.iter().map(|spare| spare.type_name.clone()).collect();
    assert!(types.contains(&None) && types.contains(&Some(type_name("pro"))), "{types:?}");
    check_clean(&tenancy).await;

    let [_, pro, _] = one_of_each(&tenancy).await;
    assert!(tenancy.spares().await.unwrap().is_empty(), "the one of type `gold` is made of files");
    let mut client = Client::owner(&database).await;
    assert_eq!(versions(&mut client, &pro).await, [1, 2, 3]);
    check_clean(&tenancy).await;

    let filled = tenancy.fill_spares_of_type(&type_name("gold"), 2, ()).await.unwrap();
    assert_eq!((filled.made, filled.removed), (2, 0));
    folder.write("gold/0005_more.sql", "ALTER TABLE vault ADD more text");
    let newer = with_types(&database, &folder).connect().await.unwrap();
    let fleet = newer.migrate(tenantry::Fleet::all(), crate::support::unobserved).await.unwrap();
    assert_eq!((fleet.migrated, fleet.failed), (1, 0));
    let filled = newer.fill_spares(1).await.unwrap();
    assert_eq!((filled.made, filled.removed), (1, 2), "stale is what no type has");
    let unknown = newer.fill_spares_of_type(&type_name("lost"), 1, ()).await;
    check_error(unknown, ErrorKind::Configuration, &["no type `lost`"]);
}

#[tokio::test]
async fn a_difference_that_all_tenants_of_a_type_share_is_found_by_its_files() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let [_, pro, _] = one_of_each(&tenancy).await;
    let drift = async || {
        let findings = tenancy.doctor_replaying(()).await;
        let told = findings.into_iter().filter(|finding| finding.check == Check::Drift);
        told.map(|finding| (finding.what, finding.mend)).collect::<Vec<_>>()
    };
    assert_eq!(drift().await, []);
    let mut client = Client::owner(&database).await;
    client.run(&format!("ALTER TABLE {} ALTER note SET NOT NULL", table(&pro, "report"))).await;
    let found = drift().await;
    let says = "tenant `pro` differs from what the files make at version 3: column `report.note` is another";
    assert_eq!(found.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>(), [says]);
    client.run(&found[0].1).await;
    assert_eq!(drift().await, []);
    // What a former type has made belongs to the tenant, whatever the files of all make.
    tenancy.set_type(&pro, None, FormerFiles::Keep).await.unwrap();
    assert_eq!(drift().await, []);
}
