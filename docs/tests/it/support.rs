//! The ground of these tests: an application with two tenants, in a database of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::resolve::{Resolve, Subdomain};
use tenantry::tenant::{Status, Tenant};
use tenantry::{Builder, Config, DatabaseConfig, Migrations, NewTenant, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::ScratchDatabase;
use tower::ServiceExt as _;

/// The longest that something that happens by itself may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tenants `acme` and `globex`, and one pool with few connections.
pub(crate) struct World {
    pub(crate) tenancy: Tenancy,
    pub(crate) acme: Tenant,
    pub(crate) globex: Tenant,
    pub(crate) database: ScratchDatabase,
}

pub(crate) async fn world() -> World {
    world_with(Subdomain::of("example.com").unwrap(), migrations()).await
}

pub(crate) async fn world_with(resolver: impl Resolve, migrations: Migrations) -> World {
    let database = ScratchDatabase::create().await.unwrap();
    let pool = PoolConfig { max_connections: 2, ..PoolConfig::default() };
    let config = DatabaseConfig::from_url(database.url()).unwrap().pool(pool);
    let tenancy = builder(config).resolver(resolver).migrations(migrations).connect().await.unwrap();
    let [acme, globex] = ["acme", "globex"].map(|slug| tenancy.create(NewTenant::new(slug)));
    let (acme, globex) = (acme.await.unwrap(), globex.await.unwrap());
    World { tenancy, acme, globex, database }
}

pub(crate) fn builder(config: DatabaseConfig) -> Builder {
    Tenancy::builder().database(config).migrations(migrations()).install(true)
}

pub(crate) fn migrations() -> Migrations {
    Migrations::from_dirs("migrations/master", "migrations/tenant").unwrap()
}

impl World {
    pub(crate) fn acme(&self) -> TenantDb {
        self.tenancy.db(&self.acme).unwrap()
    }

    pub(crate) fn globex(&self) -> TenantDb {
        self.tenancy.db(&self.globex).unwrap()
    }

    /// Takes acme out of service, and waits until this process has heard of it.
    pub(crate) async fn suspend_acme(&self) {
        let suspend = "UPDATE tenantry.tenant SET status = 'suspended' WHERE slug = 'acme'";
        run(self.database.url(), suspend).await;
        eventually("the suspension is known", async || {
            self.tenancy.tenant("acme").await.unwrap().status() == Status::Suspended
        })
        .await;
    }
}

pub(crate) async fn add(db: &TenantDb, title: &str) {
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(db).await.unwrap();
}

pub(crate) async fn titles(db: &TenantDb) -> Vec<String> {
    sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(db).await.unwrap()
}

/// Runs SQL on a connection that knows nothing of Tenantry.
pub(crate) async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Reads a page's `tenantry.toml`, in which the addresses were replaced.
///
/// A `DATABASE_URL` of whoever runs the tests counts more than a file, and would lead somewhere else.
pub(crate) fn read_config(toml: &str) -> Config {
    let folder = Folder::new();
    let mut config = Config::load(&folder.write("tenantry.toml", toml)).unwrap();
    let url = toml.lines().find_map(|line| line.strip_prefix("url = \"")?.strip_suffix('"'));
    config.set_default_url(url.unwrap().to_owned());
    config
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn request(host: &str, path: &str) -> Request<Body> {
    Request::get(path).header("host", host).body(Body::empty()).unwrap()
}

/// Status and body of the answer to a request without a port.
pub(crate) async fn ask(app: &Router, host: &str, path: &str) -> (StatusCode, String) {
    let response = app.clone().oneshot(request(host, path)).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// A folder of its own, gone at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tenantry-docs-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, file: &str, text: &str) -> PathBuf {
        let file = self.0.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
