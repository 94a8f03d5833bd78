//! The spans of what is done to tenants in their lives.

use tenantry::database::Period;
use tenantry::lifecycle::{Adoption, SchemaChoice};
use tenantry::tenant::{Alias, Suspension, Tenant};
use tenantry::{CloneOptions, Error, MoveOptions, NewTenant, PurgeOptions};

use super::{Lines, verb_fields};
use crate::clone::{dump, no_dump};
use crate::support::{builder, config, database, tenancy, tenant_files};

impl Lines {
    /// Asserts that one verb was done, to this tenant.
    #[track_caller]
    pub(super) fn check_verb(&self, verb: &str, tenant: &Tenant) {
        let span = format!("lifecycle{}: tenantry::observe: close", verb_fields(verb, tenant));
        let lines = self.take("tenantry::observe: close");
        assert!(matches!(lines.as_slice(), [line] if line.contains(&span)), "{span}: {lines:#?}");
    }
}

#[tokio::test]
async fn what_is_done_to_a_tenant_is_in_a_span_with_its_verb() {
    let database = database().await;
    let tenancy = tenancy(&database, &["CREATE TABLE note (title text)"]).await;
    let (lines, _listening) = Lines::listen();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    lines.check_verb("create", &acme);
    tenancy.suspend(&acme, Suspension::new()).await.unwrap();
    lines.check_verb("suspend", &acme);
    tenancy.resume(&acme).await.unwrap();
    lines.check_verb("resume", &acme);
    let apex = tenancy.rename(&acme, "apex").await.unwrap();
    lines.check_verb("rename", &acme);
    let acme = tenancy.rename(&apex, "acme").await.unwrap();
    lines.check_verb("rename", &apex);
    tenancy.delete(&acme).await.unwrap();
    lines.check_verb("delete", &acme);
    tenancy.undelete(&acme).await.unwrap();
    lines.check_verb("undelete", &acme);
    tenancy.delete_for(&acme, Period::days(1)).await.unwrap();
    lines.check_verb("delete", &acme);
    tenancy.purge(&acme, PurgeOptions { now: true, drop_dependents: false }).await.unwrap();
    lines.check_verb("purge", &acme);
    // What fails is in one, too.
    tenancy.delete(&acme).await.unwrap_err();
    lines.check_verb("delete", &acme);
}

#[tokio::test]
async fn a_tenant_that_is_made_of_something_has_its_id_in_the_span_when_it_is_there() {
    let database = database().await;
    let tenancy = tenancy(&database, &["CREATE TABLE note (title text)"]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let (lines, _listening) = Lines::listen();
    let dump = async |arguments: &[String]| Ok::<_, Error>(dump(&database, arguments));
    let copy = NewTenant::new("copy");
    let cloned = tenancy.clone_tenant(&acme, copy, CloneOptions::default(), dump).await.unwrap().tenant;
    lines.check_verb("clone", &cloned);
    tenancy.release(&cloned).await.unwrap();
    lines.check_verb("release", &cloned);
    let choice = SchemaChoice::Named(vec![cloned.schema().clone()]);
    let found = tenancy.adoptable(&Alias::default(), &choice).await.unwrap().remove(0);
    let adopted = tenancy.adopt(&Adoption::of(found).slug(cloned.slug().clone())).await.unwrap();
    lines.check_verb("adopt", &adopted);
    // Where it fails, nobody knows an id.
    tenancy.clone_tenant(&acme, NewTenant::new("acme"), CloneOptions::default(), no_dump).await.unwrap_err();
    let failed = lines.take("tenantry::observe: close");
    assert!(failed[0].contains(" lifecycle{verb=clone tenant=acme}: "), "{failed:#?}");
}

#[tokio::test]
async fn a_move_is_in_a_span_that_names_where_the_tenant_was() {
    let (home, away) = (database().await, database().await);
    let eu = Alias::parse("eu").unwrap();
    let builder = builder(&home).database_as(eu.clone(), config(&away));
    let tenancy =
        builder.migrations(tenant_files(&["CREATE TABLE note (title text)"])).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let (lines, _listening) = Lines::listen();
    let dump = async |arguments: &[String]| Ok::<_, Error>(dump(&home, arguments));
    tenancy.move_tenant(&acme, MoveOptions::to(eu), dump).await.unwrap();
    lines.check_verb("move", &acme);
    tenancy.abort_move(&acme).await.unwrap_err();
    lines.check_verb("move", &acme);
}
