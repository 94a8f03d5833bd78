//! Tenants against what their files make.

use tenantry::doctor::Check;
use tenantry::observe::Step;
use tenantry::{Fleet, NewTenant};

use crate::doctor::{Fixture, check_findings};
use crate::support::{Client, builder, database, table, tenant_files, unobserved};

const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY, title text)";
const INDEX: &str = "CREATE INDEX note_title ON note (title)";

#[tokio::test]
async fn a_difference_that_all_tenants_share_is_found_and_mended() {
    let mut fixture = Fixture::new(&[NOTE, INDEX]).await;
    let tenants = [fixture.create("acme").await, fixture.create("globex").await];
    check_findings(&fixture.tenancy.doctor_replaying(()).await, &[]);
    for tenant in &tenants {
        let note = table(tenant, "note");
        let change = format!(
            "DROP INDEX {}; ALTER TABLE {note} ALTER title SET DEFAULT 'x', ADD extra int;
             CREATE VIEW \"{}\".titles AS SELECT title FROM {note}",
            table(tenant, "note_title"),
            tenant.schema(),
        );
        fixture.owner.run(&change).await;
    }
    let says = "tenant `acme`, tenant `globex` differ from what the files make at version 2: view `titles` is extra; \
                column `note.extra` is extra; column `note.title` is another; index `note_title` is missing";
    // Kept by now, so that nothing is replayed.
    let findings = fixture.check(&[(Check::Drift, says)]).await;
    let mend = &findings[0].mend;
    for statement in [
        "ALTER TABLE \"note\" ALTER COLUMN \"title\" DROP DEFAULT",
        "/* by hand: column `note.extra` is extra */",
    ] {
        assert!(mend.contains(statement), "{mend}");
    }
    fixture.owner.run(mend).await;
    for tenant in &tenants {
        fixture.owner.run(&format!("ALTER TABLE {} DROP extra", table(tenant, "note"))).await;
    }
    fixture.check(&[]).await;
}

#[tokio::test]
async fn the_files_decide_which_of_two_is_right_and_the_most_do_not() {
    let mut fixture = Fixture::new(&[NOTE, INDEX]).await;
    let odd = [fixture.create("acme").await, fixture.create("globex").await];
    fixture.create("initech").await;
    fixture.tenancy.doctor_replaying(()).await;
    for tenant in &odd {
        fixture.owner.run(&format!("DROP INDEX {}", table(tenant, "note_title"))).await;
    }
    let says = "tenant `acme`, tenant `globex` differ from tenant `initech`, which has applied the same: index \
                `note_title` is missing";
    let findings = fixture.check(&[(Check::Drift, says)]).await;
    fixture.mend(&findings).await;
}

#[tokio::test]
async fn a_tenant_is_compared_with_the_files_of_its_own_version_and_with_nothing_where_none_was_kept() {
    let place = database().await;
    crate::doctor::close_public(&place).await;
    let old = builder(&place).migrations(tenant_files(&[NOTE])).connect().await.unwrap();
    let acme = old.create(NewTenant::new("acme")).await.unwrap();
    let new = builder(&place).migrations(tenant_files(&[NOTE, INDEX])).connect().await.unwrap();
    let mut owner = Client::owner(&place).await;
    owner.run(&format!("ALTER TABLE {} ADD extra int", table(&acme, "note"))).await;
    check_findings(&new.doctor().await, &[(Check::Behind, "acme")]);
    let says = "tenant `acme` differs from what the files make at version 1: column `note.extra` is extra";
    let replayed = std::sync::atomic::AtomicBool::new(false);
    let steps = |step: Step<'_>| {
        let is_replay = step.what == "replaying migrations";
        replayed.fetch_or(is_replay, std::sync::atomic::Ordering::Relaxed);
    };
    check_findings(&new.doctor_replaying(steps).await, &[(Check::Behind, "acme"), (Check::Drift, says)]);
    assert!(replayed.into_inner());
    owner.run(&format!("ALTER TABLE {} DROP extra", table(&acme, "note"))).await;
    new.migrate(Fleet::all(), unobserved).await.unwrap();
    check_findings(&new.doctor().await, &[]);
}

#[tokio::test]
async fn files_that_cannot_be_replayed_are_named() {
    let fixture = Fixture::new(&[NOTE]).await;
    fixture.create("acme").await;
    let needs_rows = "DO $$ BEGIN PERFORM 1 / count(*) FROM note; END $$";
    let mut client = Client::owner(&fixture.database).await;
    client
        .run(&format!(
            "INSERT INTO {} VALUES (1)",
            table(&fixture.tenancy.tenant("acme").await.unwrap(), "note")
        ))
        .await;
    let files = tenant_files(&[NOTE, needs_rows]);
    let tenancy = builder(&fixture.database).migrations(files).connect().await.unwrap();
    tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    let says = "the files from version 2 on cannot be replayed";
    check_findings(&tenancy.doctor_replaying(()).await, &[(Check::NotReplayed, says)]);
    check_findings(&tenancy.doctor().await, &[]);
}

#[tokio::test]
async fn what_was_begun_and_never_ended_is_found_with_the_command_that_goes_on() {
    let mut fixture = Fixture::new(&[NOTE]).await;
    let acme = fixture.create("acme").await;
    let begin = |slug: &str, id: String, verb: &str| {
        format!(
            "INSERT INTO tenantry.audit (tenant_id, slug, verb, operator, state, begun_at)
             VALUES ('{id}', '{slug}', '{verb}', 'somebody', 'begun', now() - interval '1 day')"
        )
    };
    fixture.owner.run(&begin("acme", acme.id().to_string(), "delete")).await;
    fixture.owner.run(&begin("gone", "00000000-0000-4000-8000-000000000000".to_owned(), "import")).await;
    let says = |verb: &str, slug: &str| format!("`{verb}` of tenant `{slug}` was begun by somebody at ");
    let (import, delete) = (says("import", "gone"), says("delete", "acme"));
    let findings = fixture.check(&[(Check::Unfinished, &delete), (Check::Unfinished, &import)]).await;
    assert!(findings[0].mend.starts_with("tenantry delete acme --yes   # or"), "{}", findings[0].mend);
    let forget = findings[0].mend.split_once(": ").unwrap().1;
    fixture.owner.run(forget).await;
    fixture.owner.run(&findings[1].mend).await;
    fixture.check(&[]).await;
}
