//! The audit says of each tenant what was done to it, and by whom.

use serde_json::json;
use tenantry::registry::AuditState;
use tenantry::tenant::TenantId;
use tenantry::{NewTenant, Tenancy};

use crate::support::{Client, Folder, builder, database, schema};

const NOTE: &str = "CREATE TABLE note (id int)";
const ALONE: &str = "-- no-transaction\nCREATE INDEX CONCURRENTLY note_id ON note (id)";

#[track_caller]
fn check(entries: &[(String, AuditState)], expect: &[(&str, AuditState)]) {
    let entries: Vec<_> = entries.iter().map(|(verb, state)| (verb.as_str(), *state)).collect();
    assert_eq!(entries, expect);
}

async fn entries(tenancy: &Tenancy, tenant: TenantId) -> Vec<(String, AuditState)> {
    let entries = tenancy.audit(tenant, 10).await.unwrap();
    for entry in &entries {
        let expect = match entry.verb.as_str() {
            "adopt" => json!({ "schema": "legacy", "through": null }),
            _ => json!({}),
        };
        assert_eq!((entry.operator.as_str(), &entry.options), ("ann", &expect));
        assert_eq!(entry.ended_at.is_none(), entry.state == AuditState::Begun);
    }
    entries.into_iter().map(|entry| (entry.verb, entry.state)).collect()
}

#[tokio::test]
async fn the_creation_of_a_tenant_is_entered_with_it() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = builder(&database).migrations(folder.migrations()).operator("ann").connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    check(&entries(&tenancy, acme.id()).await, &[("create", AuditState::Done)]);

    tenancy.fill_spares(1).await.unwrap();
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    check(&entries(&tenancy, globex.id()).await, &[("create", AuditState::Done)]);

    Client::owner(&database).await.run("CREATE SCHEMA legacy").await;
    let new = NewTenant::new("initech").existing_schema(schema("legacy"));
    let initech = tenancy.create(new).await.unwrap();
    check(&entries(&tenancy, initech.id()).await, &[("adopt", AuditState::Done)]);
}

#[tokio::test]
async fn a_creation_that_fails_leaves_no_entry() {
    let database = database().await;
    let folder = Folder::of(&["SELECT broken"]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap_err();
    assert_eq!(Client::owner(&database).await.count("tenantry.audit").await, 0);
}

#[tokio::test]
async fn what_takes_several_transactions_is_begun_until_it_is_done_or_undone() {
    let database = database().await;
    let folder = Folder::of(&[NOTE, ALONE, "SELECT broken"]);
    let open =
        async || builder(&database).migrations(folder.migrations()).operator("ann").connect().await.unwrap();
    let tenancy = open().await;
    tenancy.create(NewTenant::new("acme")).await.unwrap_err();
    let first = tenancy.tenant("acme").await.unwrap();
    check(&entries(&tenancy, first.id()).await, &[("create", AuditState::Begun)]);
    tenancy.abort_creation("acme").await.unwrap();
    check(&entries(&tenancy, first.id()).await, &[("create", AuditState::Undone)]);

    tenancy.create(NewTenant::new("acme")).await.unwrap_err();
    folder.write("tenant/0003_step.sql", "SELECT 1");
    let tenancy = open().await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    check(&entries(&tenancy, acme.id()).await, &[("create", AuditState::Done)]);
}
