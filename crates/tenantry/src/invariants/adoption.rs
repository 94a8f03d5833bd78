//! 6. Registry and schemas agree: a schema is adopted as what it is, wherever that is interrupted.
//!
//! The process that dies is this test's own program once more, told where to die.

use std::time::Duration;

use tenantry_embedded::ScratchDatabase;

use super::victim::{dies, victim_at};
use crate::fail_point::FailPoint;
use crate::fixture::{builder_at, installation};
use crate::lifecycle::{Adoption, SchemaChoice};
use crate::tenant::Alias;
use crate::{DatabaseConfig, ErrorKind, PoolConfig, Tenancy};

const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY)";
const TITLE: &str = "ALTER TABLE note ADD COLUMN title text";

/// Closes `public`, which is closed by itself from PostgreSQL 15 on.
const CLOSE_PUBLIC: &str =
    "ALTER SCHEMA public OWNER TO pg_database_owner; REVOKE CREATE ON SCHEMA public FROM PUBLIC";

const VICTIM_URLS: &str = "TENANTRY_VICTIM_URLS";

fn old() -> SchemaChoice {
    SchemaChoice::Like("Old \"A\"".to_owned())
}

#[tokio::test]
async fn a_schema_that_changed_since_it_was_compared_is_not_adopted() {
    let installation = installation(&[NOTE, TITLE], PoolConfig::default()).await;
    installation
        .run(&format!("CREATE SCHEMA \"Old \"\"A\"\"\"; SET search_path TO \"Old \"\"A\"\"\"; {NOTE}"))
        .await;
    let tenancy = &installation.tenancy;
    let found = tenancy.adoptable(&Alias::default(), &old()).await.unwrap().remove(0);
    assert_eq!(found.version, Some(1));
    installation.run("ALTER TABLE \"Old \"\"A\"\"\".note ADD COLUMN extra int").await;
    let refused = tenancy.adopt(&Adoption::of(found)).await.map(|tenant| tenant.slug().to_string());
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Conflict));
    let again = tenancy.adoptable(&Alias::default(), &old()).await.unwrap();
    assert_eq!((again[0].version, again[0].nearest), (None, Some(1)));
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the number of boundaries is asked for")]
async fn whoever_dies_while_adopting_or_releasing_leaves_what_the_same_command_finishes() {
    let mut boundaries = 0;
    for database in ["default", "eu"] {
        let alias = Alias::parse(database).unwrap();
        let places = [ScratchDatabase::create().await.unwrap(), ScratchDatabase::create().await.unwrap()];
        let urls = places.each_ref().map(ScratchDatabase::url).join(" ");
        let tenancy = open(&urls).await;
        for place in &places {
            run(place.superuser_url(), CLOSE_PUBLIC).await;
        }
        let place = &places[usize::from(database == "eu")];
        for point in FailPoint::OF_ADOPTION {
            if point == FailPoint::LedgerWritten && database == "default" {
                continue;
            }
            let make = format!(
                "CREATE SCHEMA \"Old \"\"A\"\"\"; SET search_path TO \"Old \"\"A\"\"\"; {NOTE}; {TITLE}"
            );
            run(place.url(), &make).await;
            run_victim(point, &urls, database);
            // The session of the one that died may need a moment to end, and with it the lock.
            while let Err(error) = adopt_and_release(&tenancy, &alias).await {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{point:?}: {error:#}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(tenancy.doctor().await, [], "{point:?} in {database}: released");
            let found = tenancy.adoptable(&alias, &old()).await.unwrap().remove(0);
            let tenant = tenancy.adopt(&Adoption::of(found)).await.unwrap();
            assert_eq!(tenancy.doctor().await, [], "{point:?} in {database}: adopted");
            let newest = tenancy.migrations().tenant().digest();
            assert_eq!(tenancy.tenant(tenant.slug().as_str()).await.unwrap().digest(), Some(&newest));
            boundaries += 1;
            // The next one finds it as this one did.
            tenancy.release(&tenant).await.unwrap();
            run(place.url(), "DROP SCHEMA \"Old \"\"A\"\"\" CASCADE").await;
        }
    }
    println!("killed at {boundaries} boundaries of adopt and release");
    assert_eq!(boundaries, 9);
}

/// Does what is left to do of both.
async fn adopt_and_release(tenancy: &Tenancy, alias: &Alias) -> crate::Result<()> {
    for found in tenancy.adoptable(alias, &old()).await? {
        tenancy.adopt(&Adoption::of(found)).await?;
    }
    for tenant in tenancy.tenants_after("", 1).await? {
        tenancy.release(&tenant).await?;
    }
    Ok(())
}

async fn open(urls: &str) -> Tenancy {
    let (main, eu) = urls.split_once(' ').unwrap();
    let eu = DatabaseConfig::from_url(eu).unwrap();
    let builder = builder_at(main, &[NOTE, TITLE], PoolConfig::default());
    builder.database_as(Alias::parse("eu").unwrap(), eu).connect().await.unwrap()
}

async fn run(url: &str, sql: &str) {
    use sqlx::Connection as _;
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}

/// Dies on the way, or fails this test.
fn run_victim(point: FailPoint, urls: &str, database: &str) {
    dies(victim_at("invariants::adoption::victim", point).env(VICTIM_URLS, format!("{database} {urls}")));
}

/// The work of the process that dies. In an ordinary run there is nothing to do.
#[tokio::test]
async fn victim() {
    let Ok(urls) = std::env::var(VICTIM_URLS) else { return };
    let (database, urls) = urls.split_once(' ').unwrap();
    adopt_and_release(&open(urls).await, &Alias::parse(database).unwrap()).await.unwrap();
}
