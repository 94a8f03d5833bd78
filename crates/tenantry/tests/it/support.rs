//! The ground of these tests: a fresh database, migration files, a look from outside.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, FromRow, PgConnection};
use tenantry::observe::Outcome;
use tenantry::resolve::TenantKey;
use tenantry::tenant::{DomainName, SchemaName, Slug, Tenant};
use tenantry::{Builder, DatabaseConfig, Error, ErrorKind, Migrations, Tenancy};
use tenantry_embedded::{Binaries, ScratchDatabase, ScratchServer};

/// The longest that something that happens by itself may take.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

pub(crate) async fn database() -> ScratchDatabase {
    ScratchDatabase::create().await.unwrap()
}

/// The variable that names the programs of a newer server.
const NEWER: &str = "TENANTRY_PG_NEWER";

/// A server of our own, and true if it is newer than the others: where a second PostgreSQL is named.
pub(crate) async fn newer_server() -> (ScratchServer, bool) {
    let Some(folder) = std::env::var_os(NEWER) else { return (ScratchServer::start().await.unwrap(), false) };
    let (older, newer) = (Binaries::find().unwrap(), Binaries::at(Path::new(&folder)).unwrap());
    assert!(newer.major() > older.major(), "{} is not newer than {}", newer.version(), older.version());
    (ScratchServer::start_with(&newer).await.unwrap(), true)
}

pub(crate) fn config(database: &ScratchDatabase) -> DatabaseConfig {
    DatabaseConfig::from_url(database.url()).unwrap()
}

pub(crate) fn builder(database: &ScratchDatabase) -> Builder {
    Tenancy::builder().database(config(database)).install(true)
}

/// An installation whose tenants are made of these files, which are numbered from 1.
pub(crate) async fn tenancy(database: &ScratchDatabase, tenant_sql: &[&str]) -> Tenancy {
    builder(database).migrations(tenant_files(tenant_sql)).connect().await.unwrap()
}

pub(crate) fn tenant_files(sql: &[&str]) -> Migrations {
    Folder::of(sql).migrations()
}

/// Two directories of migrations, gone with their owner.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tenantry-it-{}", uuid::Uuid::new_v4().simple()));
        for directory in ["master", "tenant"] {
            std::fs::create_dir_all(path.join(directory)).unwrap();
        }
        Self(path)
    }

    /// Tenant migrations, numbered from 1.
    pub(crate) fn of(sql: &[&str]) -> Self {
        let folder = Self::new();
        for (number, sql) in (1..).zip(sql) {
            folder.write(&format!("tenant/{number:04}_step.sql"), sql);
        }
        folder
    }

    pub(crate) fn write(&self, file: &str, sql: &str) {
        std::fs::write(self.0.join(file), sql).unwrap();
    }

    pub(crate) fn remove(&self, file: &str) {
        std::fs::remove_file(self.0.join(file)).unwrap();
    }

    /// The files that are in the directories now.
    pub(crate) fn migrations(&self) -> Migrations {
        Migrations::from_dirs(self.0.join("master"), self.tenant()).unwrap()
    }

    /// The same, whatever is wrong with them.
    pub(crate) fn read(&self) -> Migrations {
        Migrations::read(self.0.join("master"), self.tenant())
    }

    pub(crate) fn tenant(&self) -> PathBuf {
        self.path().join("tenant")
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

/// A connection that knows nothing of Tenantry, as `psql` would have it.
pub(crate) struct Client(PgConnection);

impl Client {
    pub(crate) async fn connect(url: &str) -> Self {
        Self(PgConnection::connect(url).await.unwrap())
    }

    /// Connects as the role that owns the database.
    pub(crate) async fn owner(database: &ScratchDatabase) -> Self {
        Self::connect(database.url()).await
    }

    pub(crate) async fn superuser(database: &ScratchDatabase) -> Self {
        Self::connect(database.superuser_url()).await
    }

    pub(crate) async fn run(&mut self, sql: &str) {
        if let Err(error) = self.try_run(sql).await {
            panic!("{sql}: {error}");
        }
    }

    pub(crate) async fn try_run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.0).await.map(drop)
    }

    /// All rows, as tuples.
    pub(crate) async fn rows<T>(&mut self, sql: &str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let rows = sqlx::query_as(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut self.0).await;
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The only value of the only row.
    pub(crate) async fn value<T>(&mut self, sql: &str) -> T
    where
        (T,): for<'r> FromRow<'r, PgRow>,
        T: Send + Unpin,
    {
        let mut rows: Vec<(T,)> = self.rows(sql).await;
        assert_eq!(rows.len(), 1, "{sql}");
        rows.remove(0).0
    }

    pub(crate) async fn count(&mut self, what: &str) -> i64 {
        self.value(&format!("SELECT count(*) FROM {what}")).await
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }

    /// The remains in this database of a tenant that was to have this slug.
    pub(crate) async fn traces(&mut self, slug: &str) -> Traces {
        let pattern = format!(r"t\_{}\_%", slug.replace('-', "_"));
        // In one statement, so that nothing is committed in between.
        let counts = self
            .rows::<(i64, i64, i64, i64)>(&format!(
                "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE '{pattern}'),
                        (SELECT count(*) FROM tenantry.applied WHERE schema_name LIKE '{pattern}'),
                        (SELECT count(*) FROM tenantry.tenant WHERE slug = '{slug}'),
                        (SELECT count(*) FROM pg_roles WHERE rolname LIKE current_database() || '\\_{pattern}')"
            ))
            .await;
        let (schemas, summaries, tenants, roles) = counts[0];
        Traces { schemas, summaries, tenants, roles }
    }
}

/// The parts of a tenant that are there; one of each is a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    pub(crate) schemas: i64,
    pub(crate) summaries: i64,
    pub(crate) tenants: i64,
    pub(crate) roles: i64,
}

pub(crate) const NOTHING: Traces = Traces { schemas: 0, summaries: 0, tenants: 0, roles: 0 };
pub(crate) const ONE_TENANT: Traces = Traces { schemas: 1, summaries: 1, tenants: 1, roles: 0 };

/// Waits until it is so, and says what was not when it never is.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Checks what a caller branches on and what a person reads: the whole chain, and the hint.
#[track_caller]
pub(crate) fn check_error<T: std::fmt::Debug>(
    result: Result<T, Error>,
    kind: ErrorKind,
    says: &[&str],
) -> Error {
    let error = result.expect_err("this is refused");
    let text = report(&error);
    assert_eq!(error.kind(), kind, "{text}");
    for words in says {
        assert!(text.contains(words), "it does not say {words:?}:\n{text}");
    }
    error
}

/// An error as the command line prints it.
pub(crate) fn report(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    match error.hint() {
        Some(hint) => format!("{text}\nhint: {hint}"),
        None => text,
    }
}

pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub(crate) fn schema(text: &str) -> SchemaName {
    SchemaName::parse(text).unwrap()
}

pub(crate) fn domain(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

pub(crate) fn by_slug(text: &str) -> TenantKey {
    TenantKey::Slug(slug(text))
}

pub(crate) fn by_domain(text: &str) -> TenantKey {
    TenantKey::Domain(domain(text))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The name of a tenant's table, for SQL that comes from outside.
pub(crate) fn table(tenant: &Tenant, name: &str) -> String {
    format!("{}.{}", quoted(tenant.schema().as_str()), quoted(name))
}

/// The versions in a tenant's ledger, in order, with whether they succeeded.
pub(crate) async fn ledger(client: &mut Client, tenant: &Tenant) -> Vec<(i64, bool)> {
    let table = table(tenant, "_sqlx_migrations");
    client.rows(&format!("SELECT version, success FROM {table} ORDER BY version")).await
}

/// A time between nothing and the limit.
pub(crate) fn random_up_to(limit: Duration) -> Duration {
    let [high, low, ..] = uuid::Uuid::new_v4().into_bytes();
    limit * u32::from(u16::from_be_bytes([high, low])) / u32::from(u16::MAX)
}

/// The observer of a run whose summary says enough.
pub(crate) fn unobserved(_: &Outcome<'_>) {}
