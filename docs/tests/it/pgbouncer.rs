use docs::blocks_of;
use tenantry::doctor::Check;
use tenantry::resolve::TenantKey;
use tenantry::tenant::Alias;
use tenantry::{Config, Error, ErrorKind, NewTenant, Tenancy};
use tenantry_embedded::{ScratchDatabase, ScratchPooler};

use crate::support::{add, migrations, read_config, titles};

const PAGE: &str = "docs/pgbouncer.md";

/// A database, and a pooler with one session in front of it.
struct Behind {
    database: ScratchDatabase,
    pooler: ScratchPooler,
}

impl Behind {
    async fn start() -> Self {
        let database = ScratchDatabase::create().await.unwrap();
        let pooler = ScratchPooler::start(&[database.url(), database.superuser_url()], 1).await.unwrap();
        Self { database, pooler }
    }

    /// The file of the page, with these addresses.
    fn config(&self) -> Config {
        let [toml] = blocks_of(PAGE, "toml");
        let through = self.pooler.url(self.database.url());
        let toml = toml.replace("postgres://saas_app:…@pgbouncer:6432/saas", &through);
        let toml = toml.replace("postgres://saas_app:…@postgres:5432/saas", self.database.url());
        assert!(!toml.contains('…'), "{toml}");
        read_config(&toml)
    }

    async fn tenancy(&self) -> Tenancy {
        let builder = Tenancy::builder().config(&self.config()).unwrap().migrations(migrations());
        builder.install(true).connect().await.unwrap()
    }
}

#[tokio::test]
async fn tenants_share_one_session_of_the_server_and_nothing_else() {
    let behind = Behind::start().await;
    let tenancy = behind.tenancy().await;
    for slug in ["acme", "globex"] {
        add(&tenancy.db(&tenancy.create(NewTenant::new(slug)).await.unwrap()).unwrap(), slug).await;
    }
    let tenant = async |slug| tenancy.db(&tenancy.tenant(slug).await.unwrap()).unwrap();
    for _ in 0..3 {
        assert_eq!(titles(&tenant("acme").await).await, ["acme"]);
        assert_eq!(titles(&tenant("globex").await).await, ["globex"]);
    }
    let mut tx = tenant("acme").await.begin().await.unwrap();
    for sql in ["SAVEPOINT a", "DELETE FROM note", "ROLLBACK TO SAVEPOINT a"] {
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(titles(&tenant("acme").await).await, ["acme"]);
    let findings =
        tenancy.doctor().await.into_iter().filter(|finding| {
            matches!(finding.check, Check::PoolMode | Check::DirectWay | Check::Unreachable)
        });
    assert_eq!(findings.collect::<Vec<_>>(), []);
}

#[tokio::test]
async fn what_needs_a_session_is_refused() {
    let behind = Behind::start().await;
    let tenancy = behind.tenancy().await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let db = tenancy.db(&acme).unwrap();
    let refused = |error: Error| assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    for sql in [
        "SET work_mem TO '1MB'",
        "LISTEN note",
        "COPY note TO STDOUT",
        "PREPARE find AS SELECT 1",
        "CREATE TEMPORARY TABLE draft (id int)",
        "DECLARE all_notes CURSOR WITH HOLD FOR SELECT * FROM note",
        "SELECT pg_advisory_lock(1)",
        "VACUUM note",
        "CREATE INDEX CONCURRENTLY note_id ON note (id)",
    ] {
        refused(sqlx::query(sql).execute(&db).await.expect_err(sql).into());
    }
    refused(db.acquire().await.unwrap_err().into());
    refused(tenancy.client(&acme).unwrap().execute("SELECT 1", &[]).await.unwrap_err());
    refused(tenancy.stock_pool(acme.database(), sqlx::postgres::PgPoolOptions::new()).unwrap_err());
    for sql in ["SET LOCAL work_mem TO '1MB'", "CREATE TEMPORARY TABLE draft (id int) ON COMMIT DROP"] {
        sqlx::query(sql).execute(&db).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::test]
async fn without_a_direct_url_it_serves_and_makes_no_tenant() {
    let behind = Behind::start().await;
    behind.tenancy().await.create(NewTenant::new("acme")).await.unwrap();
    let (config, default) = (behind.config(), Alias::default());
    let (_, database) = config.databases().unwrap().into_iter().next().unwrap();
    let pool = database.pool_config().clone();
    let alone = tenantry::DatabaseConfig::from_url(config.url(&default).unwrap()).unwrap().pool(pool);
    let tenancy = Tenancy::builder().database(alone).migrations(migrations()).connect().await.unwrap();
    let acme = tenancy.find(&TenantKey::Slug("acme".parse().unwrap())).await.unwrap();
    add(&tenancy.db(&acme).unwrap(), "served").await;
    let refused = tenancy.create(NewTenant::new("globex")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
}
