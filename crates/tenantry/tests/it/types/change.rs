use tenantry::lifecycle::FormerFiles::{Keep, Undo};
use tenantry::tenant::{Alias, Tenant};
use tenantry::{CloneOptions, Error, ErrorKind, Fleet, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use super::{check_clean, folder, one_of_each, type_name, versions, with_types};
use crate::support::{Client, builder, check_error, config, database, table, unobserved};

async fn count(client: &mut Client, tenant: &Tenant, name: &str) -> i64 {
    client.count(&table(tenant, name)).await
}

async fn elsewhere(database: &ScratchDatabase, other: &ScratchDatabase, folder: &super::Folder) -> Tenancy {
    let eu = Alias::parse("eu").unwrap();
    with_types(database, folder).database_as(eu, config(other)).connect().await.unwrap()
}

#[tokio::test]
async fn a_tenant_comes_to_be_of_a_type_and_back_with_nothing_lost() {
    let (database, other, folder) = (database().await, database().await, folder());
    let tenancy = elsewhere(&database, &other, &folder).await;
    one_of_each(&tenancy).await;
    let pro = type_name("pro");
    for (alias, database) in [("default", &database), ("eu", &other)] {
        let new = NewTenant::new(format!("acme-{alias}")).database(Alias::parse(alias).unwrap());
        let acme = tenancy.create(new).await.unwrap();
        let mut client = Client::owner(database).await;
        let db = tenancy.db(&acme).unwrap();
        sqlx::query("INSERT INTO note VALUES (1)").execute(&db).await.unwrap();

        let change = tenancy.set_type(&acme, Some(&pro), Keep).await.unwrap();
        assert_eq!((&*change.applied, change.tenant.type_name()), (&[2][..], Some(&pro)));
        sqlx::query("INSERT INTO report VALUES (1, 1)").execute(&db).await.unwrap();
        let again = tenancy.set_type(&acme, Some(&pro), Keep).await.unwrap();
        assert_eq!((again.applied.len(), again.tenant), (0, change.tenant));
        check_clean(&tenancy).await;

        let change = tenancy.set_type(&acme, None, Keep).await.unwrap();
        assert_eq!((&*change.kept, change.tenant.type_name()), (&[2][..], None));
        assert_eq!(versions(&mut client, &acme).await, [1, 3]);
        assert_eq!(count(&mut client, &acme, "report").await, 1, "what the file made stays");
        // Neither drift, which somebody would drop the table for, nor in the way of runs.
        check_clean(&tenancy).await;
        assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().migrated, 0);

        let change = tenancy.set_type(&acme, Some(&pro), Keep).await.unwrap();
        assert_eq!((&*change.put_back, &*change.applied), (&[2][..], &[][..]));
        assert_eq!(count(&mut client, &acme, "report").await, 1, "the file did not run once more");
        check_clean(&tenancy).await;

        let change = tenancy.set_type(&acme, None, Undo).await.unwrap();
        assert_eq!((&*change.undone, &*change.kept), (&[2][..], &[][..]));
        assert!(client.try_run(&format!("SELECT FROM {}", table(&acme, "report"))).await.is_err());
        check_clean(&tenancy).await;
        let change = tenancy.set_type(&acme, Some(&type_name("gold")), Keep).await.unwrap();
        assert_eq!(change.applied, [2, 4]);
        assert_eq!(versions(&mut client, &acme).await, [1, 2, 3, 4]);
        let digest = tenancy.tenant(acme.slug().as_str()).await.unwrap().digest().copied();
        assert_eq!(digest, Some(tenancy.migrations().of_type(Some(&type_name("gold"))).unwrap().digest()));
        check_clean(&tenancy).await;
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_before_anything_is_changed() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let [plain, pro, gold] = one_of_each(&tenancy).await;
    let lost = tenancy.set_type(&plain, Some(&type_name("lost")), Keep).await;
    check_error(lost, ErrorKind::Configuration, &["no type `lost`", "[types.lost]"]);
    let no_way = tenancy.set_type(&gold, None, Undo).await;
    check_error(no_way, ErrorKind::Migration, &["cannot be undone", ".down.sql", "`gold`"]);
    tenancy.set_type(&pro, None, Keep).await.unwrap();
    folder.write("pro/0002_report.up.sql", "CREATE TABLE report (other int)");
    folder.write("pro/0005_bad.sql", "SELECT 1 / 0");
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let changed = tenancy.set_type(&pro, Some(&type_name("pro")), Keep).await;
    check_error(changed, ErrorKind::Migration, &["0002_report.up.sql", "was changed", "`pro`"]);
    let deleted = tenancy.delete(&gold).await.unwrap();
    let refused = tenancy.set_type(&deleted, None, Keep).await;
    check_error(refused, ErrorKind::TenantUnavailable, &["is deleted"]);
    tenancy.undelete(&gold).await.unwrap();
    for (tenant, name) in [(&plain, None), (&pro, None), (&gold, Some("gold"))] {
        let now = tenancy.tenant(tenant.slug().as_str()).await.unwrap();
        assert_eq!(now.type_name().map(ToString::to_string).as_deref(), name);
    }

    // A file that fails leaves a change that is begun: the tenant is served, and goes there or back.
    let failed = tenancy.set_type(&plain, Some(&type_name("pro")), Keep).await;
    check_error(failed, ErrorKind::Migration, &["0005_bad.sql", "division by zero"]);
    let now = tenancy.tenant("plain").await.unwrap();
    assert!(now.last_error().is_some_and(|error| error.contains("division")), "{now:?}");
    assert_eq!(now.type_name(), Some(&type_name("pro")));
    assert!(tenancy.db(&now).is_ok(), "it is served");
    let findings = tenancy.doctor().await;
    let told = findings.iter().any(|finding| finding.mend == "tenantry set plain --type pro");
    assert!(told, "{findings:?}");
    let back = tenancy.set_type(&plain, None, Undo).await.unwrap();
    assert_eq!((back.undone.len(), back.tenant.type_name(), back.tenant.last_error()), (0, None, None));
    let entries = tenancy.audit(plain.id(), 9).await.unwrap();
    let states: Vec<_> = entries.iter().map(|entry| (entry.verb.as_str(), entry.state.as_str())).collect();
    assert_eq!(states, [("set-type", "done"), ("set-type", "undone"), ("create", "done")]);
}

#[tokio::test]
async fn a_tenant_leaves_a_type_that_is_unknown() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let [_, pro, _] = one_of_each(&tenancy).await;
    let untyped = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let undo = untyped.set_type(&pro, None, Undo).await;
    check_error(undo, ErrorKind::Configuration, &["no type `pro`"]);
    let change = untyped.set_type(&pro, None, Keep).await.unwrap();
    assert_eq!(change.kept, [2]);
    let change = tenancy.set_type(&pro, Some(&type_name("pro")), Keep).await.unwrap();
    assert_eq!(change.put_back, [2]);
    check_clean(&tenancy).await;
}

#[tokio::test]
async fn a_clone_has_what_is_left_of_a_type() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let [_, pro, _] = one_of_each(&tenancy).await;
    let former = tenancy.set_type(&pro, None, Keep).await.unwrap().tenant;
    let dump = async |arguments: &[String]| Ok::<_, Error>(crate::clone::dump(&database, arguments));
    let cloned =
        tenancy.clone_tenant(&former, NewTenant::new("copy"), CloneOptions::default(), dump).await.unwrap();
    check_clean(&tenancy).await;
    let change = tenancy.set_type(&cloned.tenant, Some(&type_name("pro")), Keep).await.unwrap();
    assert_eq!((&*change.put_back, &*change.applied), (&[2][..], &[][..]));
    check_clean(&tenancy).await;
    // With the schema goes what is kept for it.
    let deleted = tenancy.delete(&former).await.unwrap();
    let options = tenantry::lifecycle::PurgeOptions { now: true, ..Default::default() };
    tenancy.purge(&deleted, options).await.unwrap();
    assert_eq!(Client::owner(&database).await.count("tenantry.kept_file").await, 0);
}

#[tokio::test]
async fn a_released_schema_keeps_what_is_left_of_a_type_for_its_next_tenant() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let [_, pro, _] = one_of_each(&tenancy).await;
    let mut client = Client::owner(&database).await;
    let former = tenancy.set_type(&pro, None, Keep).await.unwrap().tenant;
    tenancy.release(&former).await.unwrap();
    let again = || NewTenant::new("again").existing_schema(former.schema().clone());
    let taken = tenancy.create(again()).await.unwrap();
    check_clean(&tenancy).await;
    let change = tenancy.set_type(&taken, Some(&type_name("pro")), Keep).await.unwrap();
    assert_eq!((&*change.put_back, &*change.applied), (&[2][..], &[][..]));
    check_clean(&tenancy).await;

    // Another schema by the same name has nothing of it.
    let former = tenancy.set_type(&taken, None, Keep).await.unwrap().tenant;
    tenancy.release(&former).await.unwrap();
    assert_eq!(client.count("tenantry.kept_file").await, 1);
    client.run(&format!("DROP SCHEMA {0} CASCADE; CREATE SCHEMA {0}", former.schema())).await;
    tenancy.create(again()).await.unwrap();
    assert_eq!(client.count("tenantry.kept_file").await, 0);
}
