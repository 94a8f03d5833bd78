//! Prepared statements mean one schema at one version, whichever the driver.

#[cfg(feature = "tokio-postgres")]
use std::error::Error;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::AssertSqlSafe;
use tenantry_embedded::ScratchDatabase;
#[cfg(feature = "tokio-postgres")]
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, private::BytesMut, to_sql_checked};

use crate::error::BoxError;
#[cfg(feature = "tokio-postgres")]
use crate::fixture::installation;
use crate::fixture::{Driver, Installation, Tables, builder, migrations, with_one_connection};
use crate::pool::{CheckoutRequest, Hook, Preprocessor, SessionSettings};
use crate::{Fleet, PoolConfig, TenantDb};

#[derive(Clone, Debug, PartialEq, sqlx::Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
pub(super) enum Mood {
    Happy,
}

#[tokio::test]
async fn types_of_one_name_in_two_schemas_work_through_one_text() {
    let tables = "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE diary (mood mood)";
    let installation = with_one_connection(&[tables]).await;
    installation.create("acme").await;
    installation.create("globex").await;
    let tenants = [installation.db("acme").await, installation.db("globex").await];
    assert!(tenants.iter().all(|db| db.tenant().owns_types()));
    for round in 1..=3 {
        for db in &tenants {
            sqlx::query("INSERT INTO diary VALUES ($1)").bind(Mood::Happy).execute(db).await.unwrap();
            let moods: Vec<Mood> = sqlx::query_scalar("SELECT mood FROM diary").fetch_all(db).await.unwrap();
            assert_eq!(moods, vec![Mood::Happy; round]);
        }
    }
}

/// Two tenants with a type of one name that the registry knows nothing of, and whose labels differ.
async fn with_types_made_at_run_time(installation: &Installation) -> [TenantDb; 2] {
    for (slug, labels) in [("acme", "'happy'"), ("globex", "'sad', 'happy'")] {
        installation.create(slug).await;
        let db = installation.db(slug).await;
        let types =
            [format!("CREATE TYPE mood AS ENUM ({labels})"), "CREATE TABLE diary (mood mood)".to_owned()];
        for sql in types {
            sqlx::query(AssertSqlSafe(sql)).execute(&db).await.unwrap();
        }
        assert!(!db.tenant().owns_types());
    }
    [installation.db("acme").await, installation.db("globex").await]
}

#[tokio::test]
async fn types_that_were_made_at_run_time_reach_no_other_tenant() {
    let installation = with_one_connection(&[FIRST]).await;
    let tenants = with_types_made_at_run_time(&installation).await;
    for round in 1..=3 {
        for db in &tenants {
            sqlx::query("INSERT INTO diary VALUES ($1)").bind(Mood::Happy).execute(db).await.unwrap();
            let moods: Vec<Mood> = sqlx::query_scalar("SELECT mood FROM diary").fetch_all(db).await.unwrap();
            assert_eq!(moods, vec![Mood::Happy; round]);
        }
    }
}

/// A label of whatever enum the server says that the parameter is.
#[cfg(feature = "tokio-postgres")]
#[derive(Debug)]
struct Label(&'static str);

#[cfg(feature = "tokio-postgres")]
impl ToSql for Label {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(meant: &Type) -> bool {
        matches!(meant.kind(), Kind::Enum(_))
    }

    to_sql_checked!();
}

#[cfg(feature = "tokio-postgres")]
#[tokio::test]
async fn a_statement_that_means_types_of_a_tenant_is_never_shared() {
    let one = PoolConfig { max_connections: 1, statement_cache_capacity: 3, ..PoolConfig::default() };
    let installation = installation(&[FIRST], one).await;
    let tenants = with_types_made_at_run_time(&installation).await;
    let clients = tenants.each_ref().map(|db| installation.tenancy.client(db.tenant()).unwrap());
    // More statements than there is room for, so that tenants share theirs.
    for client in &clients {
        for sql in ["SELECT 1", "SELECT 2", "SELECT 3"] {
            client.query(sql, &[]).await.unwrap();
        }
    }
    for client in clients.iter().cycle().take(4) {
        client.execute("INSERT INTO diary VALUES ($1)", &[&Label("happy")]).await.unwrap();
    }
}

#[tokio::test]
async fn types_that_a_bare_connection_has_met_reach_no_other_tenant() {
    let installation = with_one_connection(&[FIRST]).await;
    let tenants = with_types_made_at_run_time(&installation).await;
    for db in tenants.iter().cycle().take(4) {
        let mut checkout = db.acquire().await.unwrap();
        let bare = checkout.as_pg_connection().unwrap();
        sqlx::query("INSERT INTO diary VALUES ($1)")
            .bind(Mood::Happy)
            .persistent(false)
            .execute(bare)
            .await
            .unwrap();
    }
}

/// Sends a value of the tenant's own type, where there is one.
struct Cheer;

impl Preprocessor for Cheer {
    fn name(&self) -> &'static str {
        "cheer"
    }

    fn prepare(&self, _: &CheckoutRequest, _: &mut SessionSettings) -> crate::Result<()> {
        Ok(())
    }

    fn hook(&self) -> Option<&dyn Hook> {
        Some(self)
    }
}

impl Hook for Cheer {
    fn after_switch<'a>(
        &'a self,
        _: &'a CheckoutRequest,
        connection: &'a mut sqlx::PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let has_type = "SELECT to_regtype('mood') IS NOT NULL";
            if sqlx::query_scalar(has_type).fetch_one(&mut *connection).await? {
                let cheer = sqlx::query("SELECT $1::mood").bind(Mood::Happy).persistent(false);
                cheer.execute(&mut *connection).await?;
            }
            Ok(())
        })
    }
}

#[tokio::test]
async fn types_that_a_hook_has_met_reach_no_other_tenant() {
    let database = Arc::new(ScratchDatabase::create().await.unwrap());
    let pool = PoolConfig { max_connections: 1, ..PoolConfig::default() };
    let tenancy = builder(&database, &[FIRST], pool).preprocessor(Cheer).connect().await.unwrap();
    let installation = Installation { tenancy, database };
    let tenants = with_types_made_at_run_time(&installation).await;
    // No statement but those of the hook, on a connection that is switched or cleaned.
    for db in tenants.iter().cycle().take(6) {
        drop(db.acquire().await.unwrap());
    }
    for db in tenants.iter().cycle().take(6) {
        db.acquire().await.unwrap().as_pg_connection().unwrap();
    }
}

#[tokio::test]
async fn a_failed_statement_does_not_hide_types_that_are_made_later() {
    let installation = with_one_connection(&[FIRST]).await;
    let insert = || sqlx::query("INSERT INTO diary VALUES ($1)").bind(Mood::Happy);
    for slug in ["acme", "globex"] {
        installation.create(slug).await;
        insert().execute(&installation.db(slug).await).await.unwrap_err();
    }
    for slug in ["acme", "globex"] {
        let db = installation.db(slug).await;
        // By another connection, as an operator would.
        let schema = db.tenant().schema();
        let made = format!(
            "CREATE TYPE {schema}.mood AS ENUM ('happy'); CREATE TABLE {schema}.diary (mood {schema}.mood); \
             GRANT ALL ON {schema}.diary TO PUBLIC"
        );
        installation.run_as_superuser(&made).await;
    }
    for slug in ["acme", "globex", "acme", "globex"] {
        insert().execute(&installation.db(slug).await).await.unwrap();
    }
}

#[tokio::test]
async fn types_of_an_earlier_version_are_forgotten() {
    let earlier = "CREATE TYPE mood AS ENUM ('happy'); CREATE TABLE diary (mood mood)";
    let later = "ALTER TABLE diary DROP COLUMN mood; DROP TYPE mood; CREATE TYPE mood AS ENUM ('sad', 'happy'); \
                 ALTER TABLE diary ADD COLUMN mood mood";
    let installation = with_one_connection(&[earlier]).await;
    installation.create("acme").await;
    let insert = || sqlx::query("INSERT INTO diary (mood) VALUES ($1)").bind(Mood::Happy);
    insert().execute(&installation.db("acme").await).await.unwrap();
    let deploy = builder(&installation.database, &[earlier, later], PoolConfig::default());
    deploy.connect().await.unwrap().migrate(Fleet::all(), ()).await.unwrap();
    installation.tenancy.migrate(Fleet::only([]), ()).await.unwrap();
    insert().execute(&installation.db("acme").await).await.unwrap();
}

#[tokio::test]
async fn each_kind_of_type_counts_as_own() {
    for (kind, sql) in [
        ("enum", "CREATE TYPE own AS ENUM ('a')"),
        ("composite", "CREATE TYPE own AS (a int)"),
        ("domain", "CREATE DOMAIN own AS int"),
        ("range", "CREATE TYPE own AS RANGE (SUBTYPE = float8)"),
    ] {
        let installation = with_one_connection(&[sql]).await;
        let tenant = installation.create("acme").await;
        assert!(tenant.owns_types(), "{kind}");
    }
    let installation = with_one_connection(&[FIRST]).await;
    assert!(!installation.create("acme").await.owns_types());
}

const FIRST: &str = "CREATE TABLE note (title text)";
const SECOND: &str = "ALTER TABLE note ADD COLUMN done boolean NOT NULL DEFAULT false";

/// A tenant with `SELECT *` prepared on a warm connection, whose table then changes without a word to the registry.
async fn changed_while_warm(driver: Driver) -> (Installation, Tables) {
    let installation = with_one_connection(&[FIRST]).await;
    installation.create("acme").await;
    let acme = installation.tables(driver, "acme").await;
    acme.run("INSERT INTO note VALUES ('a')").await.unwrap();
    for _ in 0..3 {
        acme.run("SELECT * FROM note").await.unwrap();
    }
    installation.run(&format!("SET search_path TO {}; {SECOND}", acme.schema())).await;
    (installation, acme)
}

#[tokio::test]
async fn a_migration_under_a_warm_connection_is_not_felt() {
    for driver in Driver::ALL {
        let (_installation, acme) = changed_while_warm(*driver).await;
        // A handle from before the change, whose statement is stale: sent again.
        assert_eq!(acme.width("SELECT * FROM note").await, 2);
    }
}

#[tokio::test]
async fn a_migration_that_is_announced_is_not_felt_in_a_transaction() {
    for driver in Driver::ALL {
        let installation = with_one_connection(&[FIRST]).await;
        installation.create("acme").await;
        let acme = installation.tables(*driver, "acme").await;
        acme.run("INSERT INTO note VALUES ('a')").await.unwrap();
        for _ in 0..3 {
            acme.run("SELECT * FROM note").await.unwrap();
        }
        let before = installation.tenancy.tenant("acme").await.unwrap();
        let deploy = builder(&installation.database, &[FIRST, SECOND], PoolConfig::default());
        deploy.connect().await.unwrap().migrate(Fleet::all(), ()).await.unwrap();
        installation.until("acme", |acme| acme.digest() != before.digest()).await;
        // The handle from before has learnt of it, and its statements are others.
        let mut tx = acme.begin().await.unwrap();
        assert_eq!(tx.width("SELECT * FROM note").await, 2, "{driver:?}");
    }
}

#[tokio::test]
async fn a_stale_statement_in_a_transaction_is_an_error_once() {
    for driver in Driver::ALL {
        let (_installation, acme) = changed_while_warm(*driver).await;
        let mut tx = acme.begin().await.unwrap();
        let error = tx.run("SELECT * FROM note").await.unwrap_err();
        assert_eq!(error.database_code().as_deref(), Some("0A000"), "{driver:?}");
        assert!(error.is_retryable());
        drop(tx);
        let mut tx = acme.begin().await.unwrap();
        tx.run("SELECT * FROM note").await.unwrap();
    }
}

#[tokio::test]
async fn a_stale_statement_does_not_stay_on_a_connection_that_goes_on() {
    for driver in Driver::ALL {
        let (_installation, acme) = changed_while_warm(*driver).await;
        let mut tx = acme.begin().await.unwrap();
        tx.run("SELECT * FROM note").await.unwrap_err();
        tx.rollback().await.unwrap();
        let mut tx = acme.begin().await.unwrap();
        tx.run("SELECT * FROM note").await.unwrap();
    }
}

#[tokio::test]
async fn tenants_at_different_versions_share_no_statement() {
    for driver in Driver::ALL {
        let installation = with_one_connection(&[FIRST]).await;
        installation.create("acme").await;
        installation.create("globex").await;
        let only_acme = Fleet::only([crate::tenant::Slug::parse("acme").unwrap()]);
        let deploy = builder(&installation.database, &[FIRST, SECOND], PoolConfig::default());
        let deploy = deploy.connect().await.unwrap();
        deploy.migrate(only_acme, ()).await.unwrap();
        assert_ne!(migrations(&[FIRST, SECOND]).tenant().digest(), migrations(&[FIRST]).tenant().digest());

        installation.tenancy.migrate(Fleet::only([]), ()).await.unwrap();
        for _ in 0..3 {
            for (slug, columns) in [("acme", 2), ("globex", 1)] {
                let mut tx = installation.tables(*driver, slug).await.begin().await.unwrap();
                tx.run("INSERT INTO note VALUES ('a')").await.unwrap();
                assert_eq!(tx.width("SELECT * FROM note LIMIT 1").await, columns);
                tx.commit().await.unwrap();
            }
        }
    }
}
