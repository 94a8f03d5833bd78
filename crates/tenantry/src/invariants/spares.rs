//! A spare is what a sign-up would have made.

use tenantry_embedded::ScratchDatabase;

use super::victim::{dies, victim_at};
use crate::fail_point::FailPoint;
use crate::fixture::{builder_at, with_one_connection};
use crate::placement::Policy;
use crate::tenant::{Alias, Status};
use crate::{DatabaseConfig, ErrorKind, NewTenant, PoolConfig, Tenancy};

/// The URLs of the two databases that the process works in which dies.
const VICTIM_URLS: &str = "TENANTRY_VICTIM_URLS";

#[tokio::test]
async fn a_function_that_names_its_schema_is_never_renamed_away_from_it() {
    let function = "CREATE TABLE note (id int); CREATE FUNCTION notes() RETURNS bigint LANGUAGE sql
                    SET search_path FROM CURRENT AS 'SELECT count(*) FROM note'";
    let installation = with_one_connection(&[function]).await;
    // Without the guard a spare is made, and the tenant's function looks for a schema that is gone.
    let filled = installation.tenancy.fill_spares(1).await;
    let acme = installation.create("acme").await;
    let notes: i64 = sqlx::query_scalar("SELECT notes()")
        .fetch_one(&installation.tenancy.db(&acme).unwrap())
        .await
        .unwrap();
    assert_eq!(notes, 0);
    assert_eq!(filled.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn whoever_dies_while_taking_a_spare_elsewhere_leaves_what_the_same_command_finishes() {
    for point in [FailPoint::BeforeClaim, FailPoint::AfterClaim] {
        let places = [ScratchDatabase::create().await.unwrap(), ScratchDatabase::create().await.unwrap()];
        let urls = places.each_ref().map(ScratchDatabase::url).join(" ");
        let tenancy = open(&urls).await;
        assert_eq!(tenancy.fill_spares(1).await.unwrap().made, 2);
        run_victim(point, &urls);
        let half = tenancy.tenant("acme").await.unwrap();
        assert_eq!((half.status(), half.database().as_str()), (Status::Provisioning, "eu"), "{point:?}");
        // The session of the one that died may need a moment to end, and with it the lock.
        let acme = loop {
            match tenancy.create(NewTenant::new("acme")).await {
                Err(error) if error.kind() == ErrorKind::Conflict => tokio::task::yield_now().await,
                made => break made.unwrap(),
            }
        };
        assert_eq!((acme.status(), acme.id()), (Status::Active, half.id()), "{point:?}");
        let db = tenancy.db(&acme).unwrap();
        let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await.unwrap();
        assert_eq!(notes, 0);
        let left = tenancy.spares().await.unwrap().len();
        assert_eq!(left, if point == FailPoint::BeforeClaim { 2 } else { 1 }, "{point:?}");
        let findings = tenancy.doctor().await;
        let strange = findings.iter().find(|it| it.what.contains("schema `t") || it.what.contains("acme"));
        assert_eq!(strange, None, "{point:?}");
    }
}

async fn open(urls: &str) -> Tenancy {
    let (main, eu) = urls.split_once(' ').unwrap();
    let builder = builder_at(main, &["CREATE TABLE note (id int)"], PoolConfig::default());
    let builder = builder.database_as(Alias::parse("eu").unwrap(), DatabaseConfig::from_url(eu).unwrap());
    builder.placement(Policy::RoundRobin).connect().await.unwrap()
}

/// Dies on the way, or fails this test.
fn run_victim(point: FailPoint, urls: &str) {
    dies(victim_at("invariants::spares::victim", point).env(VICTIM_URLS, urls));
}

/// The work of the process that dies. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let Ok(urls) = std::env::var(VICTIM_URLS) else { return };
    let new = NewTenant::new("acme").database(Alias::parse("eu").unwrap());
    open(&urls).await.create(new).await.unwrap();
}
