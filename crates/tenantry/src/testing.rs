//! The ground of the tests inside this crate: a fresh database with a registry and some tenants.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_embedded::ScratchDatabase;

use crate::tenant::Tenant;
use crate::{Builder, DatabaseConfig, Migrations, NewTenant, PoolConfig, Tenancy, TenantDb};

/// One installation in a database of its own.
pub(crate) struct Installation {
    pub(crate) tenancy: Tenancy,
    pub(crate) database: Arc<ScratchDatabase>,
}

/// An installation whose pool has one connection, so that whoever comes next gets the same one.
pub(crate) async fn with_one_connection(tenant_sql: &[&str]) -> Installation {
    installation(tenant_sql, PoolConfig { max_connections: 1, ..PoolConfig::default() }).await
}

pub(crate) async fn installation(tenant_sql: &[&str], pool: PoolConfig) -> Installation {
    let database = Arc::new(ScratchDatabase::create().await.unwrap());
    let tenancy = builder(&database, tenant_sql, pool).connect().await.unwrap();
    Installation { tenancy, database }
}

pub(crate) fn builder(database: &ScratchDatabase, tenant_sql: &[&str], pool: PoolConfig) -> Builder {
    builder_at(database.url(), tenant_sql, pool)
}

pub(crate) fn builder_at(url: &str, tenant_sql: &[&str], pool: PoolConfig) -> Builder {
    Tenancy::builder()
        .database(DatabaseConfig::from_url(url).unwrap().pool(pool))
        .migrations(migrations(tenant_sql))
        .install(true)
}

/// Has a database look like the coordinator of Citus: an *emulation*, which refuses what Citus was seen to refuse and
/// moves nothing anywhere.
pub(crate) async fn emulate_citus(database: &ScratchDatabase) {
    let mut superuser = PgConnection::connect(database.superuser_url()).await.unwrap();
    sqlx::raw_sql(include_str!("../tests/citus/emulation.sql")).execute(&mut superuser).await.unwrap();
}

/// Migrations numbered from 1, as if they had been read from files.
pub(crate) fn migrations(tenant_sql: &[&str]) -> Migrations {
    let directory = TemporaryDirectory::new();
    let master = directory.path().join("master");
    let tenant = directory.path().join("tenant");
    std::fs::create_dir(&master).unwrap();
    std::fs::create_dir(&tenant).unwrap();
    for (index, sql) in tenant_sql.iter().enumerate() {
        std::fs::write(tenant.join(format!("{:04}_step.sql", index + 1)), sql).unwrap();
    }
    Migrations::from_dirs(&master, &tenant).unwrap()
}

impl Installation {
    pub(crate) async fn create(&self, slug: &str) -> Tenant {
        self.tenancy.create(NewTenant::new(slug)).await.unwrap()
    }

    pub(crate) async fn db(&self, slug: &str) -> TenantDb {
        self.tenancy.db(&self.tenancy.tenant(slug).await.unwrap()).unwrap()
    }

    /// Waits until this process has heard that a tenant is as it should be.
    pub(crate) async fn until(&self, slug: &str, is_so: impl Fn(&Tenant) -> bool) {
        let begun = std::time::Instant::now();
        while !is_so(&self.tenancy.tenant(slug).await.unwrap()) {
            assert!(begun.elapsed().as_secs() < 10, "nothing is heard of a change of {slug}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// A connection of the owner's that has nothing to do with the pool.
    pub(crate) async fn outside(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    pub(crate) async fn run_as_superuser(&self, sql: &str) {
        let mut connection = PgConnection::connect(self.database.superuser_url()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }

    /// Runs SQL outside of the pool.
    pub(crate) async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.outside().await).await.unwrap();
    }
}

/// The process of the server at the other end.
pub(crate) async fn backend(connection: &mut PgConnection) -> i32 {
    sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await.unwrap()
}

/// Calls `pg_dump` of the server's own programs.
pub(crate) fn pg_dump(url: &str, arguments: &[String]) -> String {
    let program = tenantry_embedded::Binaries::find().unwrap().directory().join("pg_dump");
    let output =
        std::process::Command::new(program).args(arguments).arg("--dbname").arg(url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A directory that is gone with its owner.
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tenantry-test-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) async fn text(db: &TenantDb, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(db).await.unwrap()
}

/// A way to a tenant's tables. What the pool promises, it promises for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    Sqlx,
    #[cfg(feature = "tokio-postgres")]
    TokioPostgres,
}

impl Driver {
    pub(crate) const ALL: &[Self] = &[
        Self::Sqlx,
        #[cfg(feature = "tokio-postgres")]
        Self::TokioPostgres,
    ];
}

/// The tables of a tenant by either driver.
#[derive(Clone)]
pub(crate) enum Tables {
    Sqlx(TenantDb),
    #[cfg(feature = "tokio-postgres")]
    TokioPostgres(crate::pool::TenantClient),
}

/// A transaction by either driver.
pub(crate) enum Tx {
    Sqlx(Box<crate::pool::Transaction>),
    #[cfg(feature = "tokio-postgres")]
    TokioPostgres(Box<crate::pool::ClientTransaction>),
}

impl Installation {
    pub(crate) async fn tables(&self, driver: Driver, slug: &str) -> Tables {
        let tenant = self.tenancy.tenant(slug).await.unwrap();
        tables(&self.tenancy, driver, &tenant)
    }

    /// Makes `acme` and `globex`, and answers with their tables.
    pub(crate) async fn pair(&self, driver: Driver) -> (Tables, Tables) {
        self.create("acme").await;
        self.create("globex").await;
        (self.tables(driver, "acme").await, self.tables(driver, "globex").await)
    }

    /// Counts of what this driver's pool did so far.
    pub(crate) fn counts(&self, driver: Driver) -> crate::pool::PoolCounts {
        let status = self.tenancy.status();
        let pools = match driver {
            Driver::Sqlx => status.pools,
            #[cfg(feature = "tokio-postgres")]
            Driver::TokioPostgres => status.client_pools,
        };
        pools.into_values().next().unwrap().counts
    }
}

pub(crate) fn tables(tenancy: &Tenancy, driver: Driver, tenant: &Tenant) -> Tables {
    match driver {
        Driver::Sqlx => Tables::Sqlx(tenancy.db(tenant).unwrap()),
        #[cfg(feature = "tokio-postgres")]
        Driver::TokioPostgres => Tables::TokioPostgres(tenancy.client(tenant).unwrap()),
    }
}

impl Tables {
    pub(crate) fn schema(&self) -> String {
        let tenant = match self {
            Self::Sqlx(db) => db.tenant(),
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(client) => client.tenant(),
        };
        tenant.schema().to_string()
    }

    /// Runs a prepared statement.
    pub(crate) async fn run(&self, sql: &str) -> crate::Result<()> {
        match self {
            Self::Sqlx(db) => Ok(sqlx::query(AssertSqlSafe(sql)).execute(db).await.map(drop)?),
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(client) => client.execute(sql, &[]).await.map(drop),
        }
    }

    /// Runs a message of statements.
    pub(crate) async fn run_all(&self, sql: &str) -> crate::Result<()> {
        match self {
            Self::Sqlx(db) => Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.map(drop)?),
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(client) => client.batch_execute(sql).await,
        }
    }

    /// The text in the first column of the first of these rows.
    pub(crate) async fn text(&self, sql: &str) -> String {
        self.try_text(sql).await.unwrap()
    }

    pub(crate) async fn try_text(&self, sql: &str) -> crate::Result<String> {
        match self {
            Self::Sqlx(db) => Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(db).await?),
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(client) => Ok(client.query_one(sql, &[]).await?.get(0)),
        }
    }

    /// The number of columns of the first of these rows.
    pub(crate) async fn width(&self, sql: &str) -> usize {
        match self {
            Self::Sqlx(db) => {
                use sqlx::Row as _;
                sqlx::query(AssertSqlSafe(sql)).fetch_one(db).await.unwrap().len()
            }
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(client) => client.query_one(sql, &[]).await.unwrap().len(),
        }
    }

    pub(crate) async fn begin(&self) -> crate::Result<Tx> {
        Ok(match self {
            Self::Sqlx(db) => Tx::Sqlx(Box::new(db.begin().await?)),
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(client) => Tx::TokioPostgres(Box::new(client.begin().await?)),
        })
    }

    /// Returns true if a connection of the tenant's is free of an open transaction: each statement of one has the
    /// same time.
    pub(crate) async fn is_outside_transaction(&self) -> bool {
        let now = "SELECT now()::text";
        let first = self.text(now).await;
        self.text(now).await != first
    }
}

impl Tx {
    pub(crate) async fn run(&mut self, sql: &str) -> crate::Result<()> {
        match self {
            Self::Sqlx(tx) => Ok(sqlx::query(AssertSqlSafe(sql)).execute(&mut ***tx).await.map(drop)?),
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(tx) => tx.execute(sql, &[]).await.map(drop),
        }
    }

    pub(crate) async fn text(&mut self, sql: &str) -> String {
        match self {
            Self::Sqlx(tx) => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut ***tx).await.unwrap(),
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(tx) => tx.query_one(sql, &[]).await.unwrap().get(0),
        }
    }

    /// The number of columns of the first of these rows.
    pub(crate) async fn width(&mut self, sql: &str) -> usize {
        match self {
            Self::Sqlx(tx) => {
                use sqlx::Row as _;
                sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut ***tx).await.unwrap().len()
            }
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(tx) => tx.query_one(sql, &[]).await.unwrap().len(),
        }
    }

    pub(crate) async fn commit(self) -> crate::Result<()> {
        match self {
            Self::Sqlx(tx) => Ok(tx.commit().await?),
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(tx) => tx.commit().await,
        }
    }

    pub(crate) async fn rollback(self) -> crate::Result<()> {
        match self {
            Self::Sqlx(tx) => Ok(tx.rollback().await?),
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(tx) => tx.rollback().await,
        }
    }
}
