use std::num::NonZeroU32;
use std::sync::Mutex;

use tenantry::doctor::Check;
use tenantry::migrate::{Canaries, Mark, MigrateOptions};
use tenantry::observe::Outcome;
use tenantry::{ErrorKind, Fleet, NewTenant};

use super::{check_clean, folder, one_of_each, type_name, versions, with_types};
use crate::support::{Client, builder, check_error, database, unobserved};

/// A fleet with a tenant of a type that the files do not have.
const LOST: &str = "INSERT INTO tenantry.tenant (id, slug, schema_name, status, type)
    SELECT gen_random_uuid(), 'lost', 'lost', 'active', 'lost'; CREATE SCHEMA lost";

#[tokio::test]
async fn a_run_brings_each_tenant_to_the_files_of_its_type() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let [plain, pro, gold] = one_of_each(&tenancy).await;
    let mut client = Client::owner(&database).await;
    client.run(LOST).await;
    folder.write("tenant/0006_body.up.sql", "ALTER TABLE note ADD body text");
    folder.write("tenant/0006_body.down.sql", "ALTER TABLE note DROP body");
    folder.write("pro/0005_more.up.sql", "ALTER TABLE report ADD more text");
    folder.write("pro/0005_more.down.sql", "ALTER TABLE report DROP more");
    let tenancy = with_types(&database, &folder).connect().await.unwrap();

    let previews = Mutex::new(Vec::new());
    let note = |preview: tenantry::migrate::Preview<'_>| {
        let Some(tenant) = preview.tenant else { return };
        let changes = preview.changes.map_err(|error| error.to_string());
        let versions =
            changes.map(|all| all.iter().map(|change| change.migration().version()).collect::<Vec<_>>());
        previews.lock().unwrap().push((tenant.slug().to_string(), versions));
    };
    tenancy.preview(Fleet::all(), note).await.unwrap();
    let previews = previews.into_inner().unwrap();
    let expect = [("gold", vec![6]), ("plain", vec![6]), ("pro", vec![5, 6])];
    for (slug, versions) in expect {
        assert!(previews.contains(&(slug.to_owned(), Ok(versions))), "{slug}: {previews:?}");
    }

    let errors = Mutex::new(Vec::new());
    let note = |outcome: &Outcome<'_>| {
        errors.lock().unwrap().extend(outcome.error.map(ToString::to_string));
    };
    let done = tenancy.migrate(Fleet::all(), &note).await.unwrap();
    assert_eq!((done.migrated, done.failed), (3, 1));
    let errors = errors.into_inner().unwrap();
    assert!(errors.iter().all(|error| error.contains("no type `lost` of tenants")), "{errors:?}");
    for (tenant, expect) in [(&plain, &[1, 3, 6][..]), (&pro, &[1, 2, 3, 5, 6]), (&gold, &[1, 2, 3, 4, 6])] {
        assert_eq!(versions(&mut client, tenant).await, expect, "{tenant:?}");
    }
    let run = tenancy.runs(1).await.unwrap().remove(0);
    let resumed = tenancy.migrate(MigrateOptions::resuming(&run).unwrap(), unobserved).await.unwrap();
    assert_eq!((resumed.migrated, resumed.failed), (0, 1), "the files are those it was begun with");
    client.run("UPDATE tenantry.tenant SET status = 'deleted' WHERE slug = 'lost'; DROP SCHEMA lost").await;
    client.run("DELETE FROM tenantry.tenant WHERE slug = 'lost'").await;

    // Back, with a version that only one type has.
    let canaries = Some(Canaries::First(NonZeroU32::MIN));
    let options = MigrateOptions { to: Some(5), canaries, ..Fleet::all().into() };
    let back = tenancy.migrate(options, unobserved).await.unwrap();
    assert_eq!((back.migrated, back.failed), (3, 0));
    assert_eq!(versions(&mut client, &plain).await, [1, 3]);
    assert_eq!(versions(&mut client, &pro).await, [1, 2, 3, 5]);
    let nothing = MigrateOptions { to: Some(7), ..Fleet::all().into() };
    let nothing = tenancy.migrate(nothing, unobserved).await;
    check_error(nothing, ErrorKind::InvalidInput, &["no migration with version 7"]);
    let forth = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((forth.migrated, forth.failed), (3, 0));
    check_clean(&tenancy).await;
}

#[tokio::test]
async fn a_late_file_is_late_in_its_own_directory() {
    let (database, folder) = (database().await, folder());
    folder.write("pro/1001_far.sql", "ALTER TABLE report ADD far text");
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let [plain, pro, _] = one_of_each(&tenancy).await;
    let mut client = Client::owner(&database).await;
    folder.write("tenant/0007_body.sql", "ALTER TABLE note ADD body text");
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let run = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((run.migrated, run.failed), (3, 0));
    assert_eq!(versions(&mut client, &pro).await, [1, 2, 3, 7, 1001]);

    folder.write("pro/0099_late.sql", "ALTER TABLE report ADD late text");
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let late = tenancy.migrate(Fleet::all(), unobserved).await;
    check_error(late, ErrorKind::Migration, &["0099_late.sql", "version 1001 is applied already", "`pro`"]);
    let options = MigrateOptions { allow_out_of_order: true, ..Fleet::all().into() };
    assert_eq!(tenancy.migrate(options, unobserved).await.unwrap().migrated, 1);
    assert_eq!(versions(&mut client, &plain).await, [1, 3, 7]);
}

#[tokio::test]
async fn a_mark_is_about_the_file_that_a_tenant_has() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let [_, pro, gold] = one_of_each(&tenancy).await;
    folder.write(
        "pro/0002_report.up.sql",
        "CREATE TABLE report (id int PRIMARY KEY, note int REFERENCES note);",
    );
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let changed = tenancy.migrate(Fleet::all(), unobserved).await;
    check_error(changed, ErrorKind::Migration, &["0002_report.up.sql", "was changed", "`pro`"]);
    let marked = tenancy.mark(&Fleet::all(), 2, Mark::Applied).await.unwrap();
    assert_eq!((marked.marked, marked.untouched), (1, 2));
    let digest = |slug: &'static str| {
        let tenancy = &tenancy;
        async move { tenancy.tenant(slug).await.unwrap().digest().copied() }
    };
    assert_ne!(digest("pro").await, pro.digest().copied());
    assert_eq!(digest("gold").await, gold.digest().copied());
    check_clean(&tenancy).await;
}

#[tokio::test]
async fn the_lint_tells_of_pending_files_of_types() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    one_of_each(&tenancy).await;
    folder.write("gold/0005_drop.sql", "DROP TABLE vault");
    // The same version is harmless in another type.
    folder.write("pro/0005_more.sql", "ALTER TABLE report ADD more text");
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    let versions = |warnings: Vec<tenantry::migrate::Warning>| -> Vec<_> {
        warnings.iter().map(|warning| (warning.version(), warning.rule().to_string())).collect()
    };
    let expect = [(5, "drop-table".to_owned())];
    assert_eq!(versions(tenancy.lint(Fleet::all()).await.unwrap()), expect);
    let pro = Fleet::matching("type IS DISTINCT FROM 'gold'");
    assert_eq!(versions(tenancy.lint(pro).await.unwrap()), []);
    assert_eq!(versions(tenancy.migrations().lint()), expect);
}

#[tokio::test]
async fn a_program_that_knows_no_types_serves_their_tenants() {
    let (database, folder) = (database().await, folder());
    let tenancy = with_types(&database, &folder).connect().await.unwrap();
    one_of_each(&tenancy).await;
    let untyped = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let pro = untyped.tenant("pro").await.unwrap();
    sqlx::query("SELECT FROM report").execute(&untyped.db(&pro).unwrap()).await.unwrap();
    untyped.create(NewTenant::new("more")).await.unwrap();
    let run = untyped.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((run.migrated, run.up_to_date, run.failed), (0, 3, 2));
    let findings = untyped.doctor().await;
    let of_types: Vec<_> = findings.iter().filter(|finding| finding.check == Check::UnusableType).collect();
    assert_eq!(of_types.len(), 2, "{findings:?}");
    assert!(of_types[1].what.starts_with("tenant `pro`: ") && of_types[1].mend.contains("[types.pro]"));

    // A directory that is gone is told like a type that is unknown.
    std::fs::remove_dir_all(folder.path().join("gold")).unwrap();
    let text = "[databases.default]\n[migrations]\nmaster = 'master'\ntenant = 'tenant'\n\
                [types.pro]\nmigrations = 'pro'\n[types.gold]\nmigrations = 'gold'\n";
    folder.write("tenantry.toml", text);
    let mut config = tenantry::Config::load(&folder.path().join("tenantry.toml")).unwrap();
    config.set_default_url(database.url().to_owned());
    let tenancy = tenantry::Tenancy::builder().config(&config).unwrap().connect().await.unwrap();
    assert!(tenancy.migrations().of_type(Some(&type_name("pro"))).is_some());
    let run = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!(run.failed, 1);
    let findings = tenancy.doctor().await;
    let gone: Vec<_> = findings.iter().filter(|finding| finding.check == Check::UnusableType).collect();
    assert_eq!(gone.len(), 1, "{findings:?}");
    let what = &gone[0].what;
    assert!(what.starts_with("tenant `gold`: ") && what.contains("no such directory"), "{what}");
}
