//! What the tests inside this crate stand on: a fresh database with a registry and some tenants.
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
    Tenancy::builder()
        .database(DatabaseConfig::from_url(database.url()).unwrap().pool(pool))
        .migrations(migrations(tenant_sql))
        .install(true)
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

#[track_caller]
pub(crate) fn assert_code<T: std::fmt::Debug>(result: Result<T, sqlx::Error>, expect: &str) {
    let error = result.expect_err("PostgreSQL refuses this");
    let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    assert_eq!(code.as_deref(), Some(expect), "{error}");
}

/// Whether a connection of the tenant's is free of an open transaction. By the simple protocol,
/// where one message has one timestamp.
pub(crate) async fn is_outside_transaction(db: &TenantDb) -> bool {
    use sqlx::Row as _;
    let look = sqlx::raw_sql("SELECT (now() = statement_timestamp())::text");
    look.fetch_one(db).await.unwrap().get::<String, _>(0) == "true"
}
