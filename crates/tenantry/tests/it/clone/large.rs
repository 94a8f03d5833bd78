//! A clone of a large tenant, which several sessions make.

use std::num::NonZeroUsize;

use tenantry::tenant::Tenant;
use tenantry::{CloneOptions, Error, ErrorKind, NewTenant};

use super::{Nasty, acme_with, clone_as, dump, lines, no_dump};
use crate::support::{Client, NOTHING, check_error};

/// More than the tables from which on several sessions share the work.
const MUCH: &str = "CREATE TABLE much (id int PRIMARY KEY, body text);
    ALTER TABLE much ALTER COLUMN body SET STORAGE EXTERNAL;
    INSERT INTO much SELECT i, repeat(md5(i::text), 32768) FROM generate_series(1, 20) AS i";

/// Returns true if the schema of a tenant was committed with its row in the registry.
async fn is_one_transaction(client: &mut Client, tenant: &Tenant) -> bool {
    let together = format!(
        "pg_namespace AS n JOIN tenantry.tenant AS t ON t.schema_name = n.nspname
         WHERE n.nspname = '{}' AND n.xmin = t.xmin",
        tenant.schema()
    );
    client.count(&together).await == 1
}

#[tokio::test]
async fn a_large_clone_has_all_that_its_source_has() {
    let Nasty { database, tenancy, acme, app } = Nasty::new().await;
    let mut owner = Client::owner(&database).await;
    owner.run(&format!("SET search_path TO {}; {MUCH}", acme.schema())).await;
    let should_be = lines(&database, &acme);
    let cloned = clone_as(&database, &tenancy, "copy", CloneOptions::default()).await.unwrap();
    assert!(!is_one_transaction(&mut owner, &cloned.tenant).await);
    assert!(lines(&database, &cloned.tenant) == should_be, "it differs from its source");
    let analyzed = format!(
        "pg_stats WHERE schemaname = '{}' AND tablename = 'much' AND attname = 'id'",
        cloned.tenant.schema()
    );
    assert_eq!(owner.count(&analyzed).await, 1);

    assert_eq!(tenancy.tenant("copy").await.unwrap().digest(), acme.digest());
    Nasty { database, tenancy, acme, app }.end().await;
}

#[tokio::test]
async fn a_large_clone_that_is_made_anonymous_is_one_transaction() {
    let (database, tenancy, _) = acme_with(MUCH).await;
    let mut owner = Client::owner(&database).await;
    let anonymize = CloneOptions::default().anonymize("anonymize.sql", "UPDATE much SET body = 'x'");
    let cloned = clone_as(&database, &tenancy, "copy", anonymize).await.unwrap();
    assert!(is_one_transaction(&mut owner, &cloned.tenant).await);
    let one = CloneOptions::default().jobs(NonZeroUsize::MIN);
    let whole = clone_as(&database, &tenancy, "whole", one).await.unwrap();
    assert!(is_one_transaction(&mut owner, &whole.tenant).await);
    let failing = CloneOptions::default().anonymize("anonymize.sql", "UPDATE much SET id = 1");
    assert!(clone_as(&database, &tenancy, "other", failing).await.is_err());
    assert_eq!(owner.traces("other").await, NOTHING);
}

#[tokio::test]
async fn of_two_clones_under_one_slug_the_second_is_refused_at_its_beginning() {
    let (database, tenancy, acme) = acme_with("CREATE TABLE customer (id int)").await;
    // The first is in the middle of its work when the second comes.
    let mut seen = None;
    let first = async |arguments: &[String]| {
        let copy = NewTenant::new("copy");
        seen = Some(tenancy.clone_tenant(&acme, copy, CloneOptions::default(), no_dump).await);
        Ok::<_, Error>(dump(&database, arguments))
    };
    let made = tenancy.clone_tenant(&acme, NewTenant::new("copy"), CloneOptions::default(), first).await;
    assert!(made.is_ok());
    check_error(seen.unwrap(), ErrorKind::Conflict, &["`copy` is being made by another process"]);
}
