//! 6. Registry and schemas agree after any crash.
//!
//! The process that dies is this test's own program once more, told which test to run and where to die.

use std::process::Command;

use sqlx::{Connection as _, PgConnection};

use crate::NewTenant;
use crate::fail_point::FailPoint;
use crate::testing::{Installation, installation};

const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY)";

/// What the process that dies is told, beside where: the database it works in.
const VICTIM_URL: &str = "TENANTRY_VICTIM_URL";

#[tokio::test]
async fn whoever_dies_while_making_a_tenant_leaves_all_of_it_or_nothing() {
    for point in FailPoint::ALL {
        let installation = installation(&[NOTE], crate::PoolConfig::default()).await;
        // Where a spare is claimed, there is one.
        if matches!(point, FailPoint::BeforeClaim | FailPoint::AfterClaim) {
            installation.tenancy.fill_spares(1).await.unwrap();
        }
        run_victim(&installation, point);
        check_agreement(&installation, point).await;

        let made = installation.tenancy.create(NewTenant::new("acme")).await;
        assert_eq!(
            made.is_ok(),
            point != FailPoint::AfterCreate && point != FailPoint::AfterClaim,
            "{point:?}"
        );
        let acme = installation.tenancy.tenant("acme").await.unwrap();
        let db = installation.tenancy.db(&acme).unwrap();
        let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await.unwrap();
        assert_eq!(notes, 0);
        check_agreement(&installation, point).await;
    }
}

/// Dies on the way, or fails this test.
fn run_victim(installation: &Installation, point: FailPoint) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "invariants::crashes::victim", "--nocapture"])
        .env("TENANTRY_DIE_AT", point.name())
        .env(VICTIM_URL, installation.database.url())
        .output()
        .unwrap();
    assert!(!output.status.success(), "{point:?} was not reached");
    assert!(output.status.code().is_none(), "it died of something else: {output:?}");
}

/// What the process does that dies. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let Ok(url) = std::env::var(VICTIM_URL) else { return };
    let tenancy = crate::Tenancy::builder()
        .database(crate::DatabaseConfig::from_url(&url).unwrap())
        .migrations(crate::testing::migrations(&[NOTE]))
        .connect()
        .await
        .unwrap();
    let die_at = std::env::var("TENANTRY_DIE_AT").unwrap();
    if die_at.ends_with("fill") {
        tenancy.fill_spares(1).await.unwrap();
    } else {
        tenancy.create(NewTenant::new("acme")).await.unwrap();
    }
}

/// The schemas there are, those that belong to somebody, and those that have applied something are the
/// same, and nobody holds a lock.
async fn check_agreement(installation: &Installation, point: FailPoint) {
    let mut connection = PgConnection::connect(installation.database.url()).await.unwrap();
    let schemas = r"SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 't\_%' OR nspname LIKE 'tenantry\_spare%'
                   ORDER BY 1";
    let owned = "SELECT schema_name FROM tenantry.tenant WHERE status = 'active'
                 UNION ALL SELECT schema_name FROM tenantry.spare ORDER BY 1";
    let applied = "SELECT schema_name FROM tenantry.applied WHERE schema_name <> 'public' ORDER BY 1";
    let mut found: Vec<Vec<String>> = Vec::new();
    for query in [schemas, owned, applied] {
        found.push(sqlx::query_scalar(query).fetch_all(&mut connection).await.unwrap());
    }
    assert_eq!(found[0], found[1], "{point:?}");
    assert_eq!(found[0], found[2], "{point:?}");
    let locks: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(locks, 0, "{point:?}");
}
