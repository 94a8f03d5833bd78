//! A PostgreSQL of our own, and the tenants in it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::observe::Outcome;
use tenantry::registry::RegistryConfig;
use tenantry::resolve::Subdomain;
use tenantry::tenant::Tenant;
use tenantry::{DatabaseConfig, Migrations, NewTenant, PoolConfig, Tenancy};
use tenantry_embedded::ScratchServer;

use crate::server::Server;

/// Tenants that are all alike: two small tables each.
pub(crate) struct Fleet {
    server: Server,
    /// The socket's folder, where the server has one.
    socket: Option<String>,
    tenants: Vec<Tenant>,
}

/// The way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The unix socket, or the loopback interface where there is none.
    Direct,
    /// A port on the loopback interface, such as a proxy's.
    Port(u16),
}

/// A tenancy whose pool nobody else uses.
pub(crate) struct Opened {
    pub(crate) tenancy: Tenancy,
}

impl Opened {
    /// The checkouts so far whose connection had to be switched or opened first.
    pub(crate) fn switches(&self) -> Result<u32> {
        let status = self.tenancy.status();
        let counts = status.pools.values().chain(status.client_pools.values()).map(|pool| pool.counts);
        Ok(u32::try_from(counts.map(|counts| counts.switched + counts.opened).sum::<u64>())?)
    }

    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.tenancy.close(Duration::from_secs(5)).await?)
    }
}

impl Fleet {
    /// A server with the registry and the master schema, and no tenant.
    pub(crate) async fn start() -> Result<Self> {
        Self::on(Server::fast().await?).await
    }

    /// Does what [`Fleet::start`] does, on a server whose commits wait for the disk.
    pub(crate) async fn start_durable() -> Result<Self> {
        Self::on(Server::durable().await?).await
    }

    async fn on(server: Server) -> Result<Self> {
        let mut superuser = server.superuser().await?;
        let folders: String =
            sqlx::query_scalar("SHOW unix_socket_directories").fetch_one(&mut superuser).await?;
        let socket = folders.split(',').next().map(str::trim).filter(|folder| folder.starts_with('/'));
        let fleet = Self { server, socket: socket.map(str::to_owned), tenants: Vec::new() };
        let opened = fleet.open(Route::Direct, PoolConfig::default()).await?;
        opened.tenancy.migrate(tenantry::Fleet::all(), |_: &Outcome<'_>| {}).await?;
        opened.close().await?;
        Ok(fleet)
    }

    /// The first tenants, this many. Makes those that are missing.
    pub(crate) async fn tenants(&mut self, count: usize) -> Result<Vec<Tenant>> {
        if self.tenants.len() < count {
            self.grow(count).await.context("cannot make the tenants")?;
        }
        Ok(self.tenants[..count].to_vec())
    }

    async fn grow(&mut self, count: usize) -> Result<()> {
        let start = Instant::now();
        let opened = self.open(Route::Direct, PoolConfig::default()).await?;
        let tenancy = &opened.tenancy;
        let missing = (self.tenants.len()..count).map(|number| NewTenant::new(format!("tenant-{number:04}")));
        let made: Vec<Tenant> = futures_util::stream::iter(missing)
            .map(|tenant| tenancy.create(tenant))
            .buffered(4)
            .try_collect()
            .await?;
        note(&format!("made {} tenants in {:.1?}", made.len(), start.elapsed()));
        self.tenants.extend(made);
        opened.close().await?;
        self.settle().await
    }

    /// Gets done now what the server would do in the background while we measure.
    pub(crate) async fn settle(&self) -> Result<()> {
        let mut superuser = self.server.superuser().await?;
        for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut superuser).await?;
        }
        Ok(())
    }

    /// A tenancy with a pool of its own and, but for the sizes, the defaults.
    pub(crate) async fn open(&self, route: Route, pool: PoolConfig) -> Result<Opened> {
        self.open_with(route, pool, RegistryConfig::default()).await
    }

    /// A standby of the server, and its URL.
    pub(crate) async fn standby(&self) -> Result<(ScratchServer, String)> {
        let (standby, mut url) = self.server.standby().await?;
        let mut superuser = PgConnection::connect(standby.url()).await?;
        let folders: String =
            sqlx::query_scalar("SHOW unix_socket_directories").fetch_one(&mut superuser).await?;
        // The way that the primary is reached by.
        if let Some(folder) = folders.split(',').next().map(str::trim).filter(|it| it.starts_with('/')) {
            let _ = write!(url, "?host={folder}");
        }
        Ok((standby, url))
    }

    /// A tenancy that reads from a standby.
    pub(crate) async fn open_reading(&self, route: Route, standby: &str, pool: PoolConfig) -> Result<Opened> {
        let database = DatabaseConfig::from_url(&self.url(route))?.replica_url(standby)?.pool(pool);
        self.open_database(database, RegistryConfig::default()).await
    }

    pub(crate) async fn open_with(
        &self,
        route: Route,
        pool: PoolConfig,
        registry: RegistryConfig,
    ) -> Result<Opened> {
        self.open_database(DatabaseConfig::from_url(&self.url(route))?.pool(pool), registry).await
    }

    async fn open_database(&self, database: DatabaseConfig, registry: RegistryConfig) -> Result<Opened> {
        let tenancy = Tenancy::builder()
            .database(database)
            .migrations(migrations(sqlx::migrate!("migrations/tenant"))?)
            .resolver(Subdomain::of("localhost")?)
            .registry(registry)
            .install(true)
            .connect()
            .await?;
        Ok(Opened { tenancy })
    }

    /// A tenancy whose tenants should be at the end of these files.
    pub(crate) async fn open_at(&self, tenant: Migrator) -> Result<Opened> {
        open_at(&self.url(Route::Direct), tenant).await
    }

    /// The URL that an application without tenancy would connect to.
    pub(crate) fn url(&self, route: Route) -> String {
        let mut url = self.server.url().to_owned();
        match (route, &self.socket) {
            (Route::Direct, Some(folder)) => {
                let _ = write!(url, "?host={folder}");
            }
            (Route::Direct, None) => {}
            (Route::Port(port), _) => {
                url = url.replace(&format!(":{}/", self.server.port()), &format!(":{port}/"));
            }
        }
        url
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port()
    }
}

/// [`Fleet::open_at`] for a process that does not own the server.
pub(crate) async fn open_at(url: &str, tenant: Migrator) -> Result<Opened> {
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(url)?)
        .migrations(migrations(tenant)?)
        .connect()
        .await?;
    Ok(Opened { tenancy })
}

pub(crate) fn migrations(tenant: Migrator) -> Result<Migrations> {
    Ok(Migrations::from_migrators(sqlx::migrate!("migrations/master"), tenant)?)
}

/// Says what takes time, beside the figures.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
