//! 6. Registry and schemas agree, wherever the end of a tenant is interrupted.
//!
//! The process that dies is this test's own program once more, told where to die.

use std::time::Duration;

use super::victim::{dies, victim_at};
use crate::database::Period;
use crate::doctor::Check;
use crate::fail_point::FailPoint;
use crate::fixture::{Installation, installation};
use crate::registry::AuditState;
use crate::tenant::{Status, Tenant};
use crate::{ErrorKind, PurgeOptions, Tenancy};

const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY); CREATE VIEW notes AS SELECT * FROM note";
/// Foreign keys out of the schema, each of which is dropped by itself.
const ALONE: u32 = 3;
/// The batches that the schema is dropped in: those, and all the rest.
const BATCHES: u32 = ALONE + 1;

/// Closes `public`, which is closed by itself from PostgreSQL 15 on.
const CLOSE_PUBLIC: &str =
    "ALTER SCHEMA public OWNER TO pg_database_owner; REVOKE CREATE ON SCHEMA public FROM PUBLIC";

const VICTIM_URL: &str = "TENANTRY_VICTIM_URL";

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the number of boundaries is asked for")]
async fn whoever_dies_while_ending_a_tenant_leaves_what_the_same_command_finishes() {
    let mut boundaries = 0;
    let installation = installation(&[NOTE], crate::PoolConfig::default()).await;
    installation.run_as_superuser(CLOSE_PUBLIC).await;
    installation.run("CREATE TABLE public.plan (id int PRIMARY KEY)").await;
    for point in FailPoint::OF_LIFE {
        let passes = match point {
            FailPoint::BeforeBatch | FailPoint::AfterBatch => BATCHES,
            FailPoint::BeforeDelete | FailPoint::AfterDelete => 2,
            _ => 1,
        };
        for passed in 0..passes {
            let acme = installation.create("acme").await;
            make_alone(&installation, &acme).await;
            run_victim(&installation, point, passed);
            check_end(&installation, &acme, point).await;
            boundaries += 1;
        }
    }
    println!("killed at {boundaries} boundaries of release, rename, delete, undelete and purge");
    assert_eq!(boundaries, 16 + 2 * (BATCHES - 1) + 2);
}

async fn make_alone(installation: &Installation, acme: &Tenant) {
    let add = (0..ALONE).map(|number| {
        format!("ALTER TABLE \"{}\".note ADD COLUMN plan_{number} int REFERENCES public.plan", acme.schema())
    });
    installation.run(&add.collect::<Vec<_>>().join(";")).await;
}

/// Brings what is left to its end, and checks that nothing is left.
async fn check_end(installation: &Installation, acme: &Tenant, point: FailPoint) {
    let tenancy = &installation.tenancy;
    if matches!(point, FailPoint::BeforeRelease | FailPoint::AfterRelease) {
        return check_release(tenancy, acme, point).await;
    }
    // Only the registry knows at once what the other process did.
    let found = tenancy.tenants_after("", 1).await.unwrap().pop();
    if let Some(found) = found {
        let is_begun = found.status() == Status::Purging;
        until_told(tenancy, is_begun, point).await;
        if !is_begun {
            // To the slug it had, and to the one it was to have, whichever it has now.
            let renamed = tenancy.rename(acme, "acme").await.unwrap();
            assert_eq!(tenancy.rename(&renamed, "apex").await.unwrap().slug().as_str(), "apex", "{point:?}");
            let deleted = tenancy.delete(acme).await.unwrap();
            tenancy.undelete(&deleted).await.unwrap();
            tenancy.delete_for(acme, Period::days(0)).await.unwrap();
        }
        // The session of the one that died may need a moment to end, and with it the lock.
        while let Err(error) = tenancy.purge(acme, PurgeOptions::default()).await {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{point:?}: {error:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = $1)
              + (SELECT count(*) FROM tenantry.applied WHERE schema_name = $1)
              + (SELECT count(*) FROM tenantry.tenant)
              + (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.plan'::regclass)",
    )
    .bind(acme.schema().as_str())
    .fetch_one(&mut installation.outside().await)
    .await
    .unwrap();
    assert_eq!(left, 0, "{point:?}");
    assert_eq!(tenancy.doctor().await, [], "{point:?}");
    let entries = tenancy.audit(acme.id(), 20).await.unwrap();
    assert_eq!((entries[0].verb.as_str(), entries[0].state), ("purge", AuditState::Done), "{point:?}");
    assert!(entries.iter().all(|entry| entry.state == AuditState::Done), "{point:?}: {entries:?}");
}

/// Lets the tenant go, takes its schema back, and lets it go again.
async fn check_release(tenancy: &Tenancy, acme: &Tenant, point: FailPoint) {
    let mut is_there = !tenancy.tenants_after("", 1).await.unwrap().is_empty();
    assert_eq!(is_there, point == FailPoint::BeforeRelease);
    let mut tenant = acme.clone();
    for _ in 0..2 {
        while is_there && let Err(error) = tenancy.release(&tenant).await {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{point:?}: {error:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let others = tenancy.doctor().await;
        let others = others.iter().filter(|finding| finding.check != Check::SharedForeignKey);
        assert_eq!(others.count(), 0, "{point:?}");
        let new = crate::NewTenant::new("acme").existing_schema(acme.schema().clone());
        tenant = tenancy.create(new).await.unwrap();
        assert_eq!((tenant.schema(), tenant.digest()), (acme.schema(), acme.digest()), "{point:?}");
        is_there = true;
    }
    tenancy.delete_for(&tenant, Period::days(0)).await.unwrap();
    tenancy.purge(&tenant, PurgeOptions::default()).await.unwrap();
}

/// Waits until doctor tells of a purge that was interrupted, and of nothing else; or finds nothing, where none was.
async fn until_told(tenancy: &Tenancy, is_begun: bool, point: FailPoint) {
    for _ in 0..100 {
        let findings = tenancy.doctor().await;
        // Foreign keys to a shared table are warned of, whatever becomes of the tenant.
        let others = findings.iter().filter(|finding| finding.check != Check::SharedForeignKey);
        let mends: Vec<_> = others.map(|finding| (finding.check, finding.mend.as_str())).collect();
        let expect = [(Check::HalfMade, "tenantry purge apex --yes")];
        if mends == expect[..usize::from(is_begun)] {
            return;
        }
        assert!(is_begun && mends.is_empty(), "{point:?}: {findings:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{point:?}: doctor does not tell of the purge that was interrupted");
}

/// Dies on the way, or fails this test.
fn run_victim(installation: &Installation, point: FailPoint, passed: u32) {
    dies(
        victim_at("invariants::endings::victim", point)
            .env("TENANTRY_DIE_AFTER", passed.to_string())
            .env(VICTIM_URL, installation.database.url()),
    );
}

/// The work of the process that dies: everything, in the order of a life. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let Ok(url) = std::env::var(VICTIM_URL) else { return };
    let builder = crate::fixture::builder_at(&url, &[NOTE], crate::PoolConfig::default());
    let tenancy = builder.keep_deleted(Period::days(0)).connect().await.unwrap();
    let acme = tenancy.tenant("acme").await.unwrap();
    if std::env::var("TENANTRY_DIE_AT").is_ok_and(|point| point.ends_with("release")) {
        tenancy.release(&acme).await.unwrap();
    }
    tenancy.rename(&acme, "apex").await.unwrap();
    tenancy.delete(&acme).await.unwrap();
    tenancy.undelete(&acme).await.unwrap();
    tenancy.delete(&acme).await.unwrap();
    tenancy.purge(&acme, PurgeOptions::default()).await.unwrap();
}
