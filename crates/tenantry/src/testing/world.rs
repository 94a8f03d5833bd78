use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::request::Builder as RequestBuilder;
use http::{Request, header};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tenantry_embedded::{CopiedDatabase, ScratchPooler};

use super::builder::WorldBuilder;
use super::evaluate::{Evaluation, leaks_of_others, leaks_of_sessions};
use super::leak::{Leak, report};
use super::look::{TemplateState, count_rows, look_at_news, names};
use super::permission::{Intentions, permitted};
use super::prepare;
use crate::database::{DatabaseConfig, PoolConfig, PoolMode};
use crate::error::{Error, ErrorKind, Result};
use crate::http::Peer;
#[cfg(feature = "tokio-postgres")]
use crate::pool::TenantClient;
use crate::pool::{MasterDb, TenantDb, WriteRecord};
use crate::resolve::Subdomain;
use crate::tenancy::{Builder, Tenancy};
use crate::tenant::Tenant;

/// The connections of [`World::pool`], as those of `#[sqlx::test]`.
const MOST_CONNECTIONS: u32 = 5;
/// The sessions of a PgBouncer for one role.
const POOLER_SESSIONS: u32 = 4;
/// The longest that the background work of a pool is waited for at the end of a test, …
const PATIENCE: Duration = Duration::from_secs(1);
/// … and that of a transaction to end.
const PATIENCE_FOR_TRANSACTIONS: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(2);

/// A database of one's own with its tenants, and the [`Tenancy`] over it. Cheap to clone.
///
/// ```no_run
/// use tenantry::testing::World;
///
/// # async fn test() -> tenantry::Result<()> {
/// let world = World::builder().tenants(["acme", "globex"]).create().await?;
/// let acme = world.db("acme");
/// # let _ = acme;
/// world.finish().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    tenancy: Tenancy,
    tenants: BTreeMap<String, Tenant>,
    url: String,
    domain: String,
    /// Taken at the end.
    database: Mutex<Option<CopiedDatabase>>,
    direct_url: String,
    _pooler: Option<ScratchPooler>,
    baseline: TemplateState,
    record: Arc<WriteRecord>,
    intentions: Mutex<Intentions>,
}

impl World {
    /// Starts with nothing but defaults.
    pub fn builder() -> WorldBuilder {
        WorldBuilder::default()
    }

    async fn create(world: WorldBuilder) -> Result<Self> {
        let migrations = world.source.read(&world.folder, !world.tenants.is_empty())?;
        let mut builder = Tenancy::builder().migrations(migrations).resolver(Subdomain::of(&world.domain)?);
        if let Some(configure) = world.configure {
            builder = configure(builder);
        }
        let (database, baseline) = prepare::database(&builder, &world.tenants).await?;
        let direct_url = database.url().to_owned();
        let pooler = if world.is_behind_pooler { Some(start_pooler(&direct_url).await?) } else { None };
        let url = pooler.as_ref().map_or_else(|| direct_url.clone(), |pooler| pooler.url(&direct_url));
        let tenancy = connect(builder, &url, &direct_url, pooler.is_some()).await?;
        let record = Arc::default();
        tenancy.note_in(&record);
        let mut tenants = BTreeMap::new();
        for slug in world.tenants {
            let tenant = tenancy.tenant(&slug).await?;
            tenants.insert(slug, tenant);
        }
        let inner = Inner {
            tenancy,
            tenants,
            url,
            domain: world.domain,
            database: Mutex::new(Some(database)),
            direct_url,
            _pooler: pooler,
            baseline,
            record,
            intentions: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The value that the application keeps.
    pub fn tenancy(&self) -> &Tenancy {
        &self.inner.tenancy
    }

    /// The URL that the application connects by, which is the pooler's where there is one. Its role owns the database
    /// and is no superuser.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// The URL that leads past the pooler; the same where there is none.
    pub fn direct_url(&self) -> &str {
        &self.inner.direct_url
    }

    /// A tenant that was there from the beginning.
    ///
    /// # Panics
    /// If no tenant of this slug was.
    #[track_caller]
    pub fn tenant(&self, slug: &str) -> &Tenant {
        let known = || self.inner.tenants.keys().cloned().collect::<Vec<_>>().join(", ");
        let tenant = self.inner.tenants.get(slug);
        tenant.unwrap_or_else(|| panic!("the world has no tenant `{slug}`, only: {}", known()))
    }

    /// The tables of a tenant, which the test may change.
    ///
    /// # Panics
    /// If no tenant of this slug was there from the beginning.
    #[track_caller]
    pub fn db(&self, slug: &str) -> TenantDb {
        let tenant = self.tenant(slug);
        self.intend(slug);
        self.tenancy().db(tenant).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// The same for code that is written against tokio-postgres.
    ///
    /// # Panics
    /// Like [`db`](Self::db).
    #[cfg(feature = "tokio-postgres")]
    #[track_caller]
    pub fn client(&self, slug: &str) -> TenantClient {
        let tenant = self.tenant(slug);
        self.intend(slug);
        self.tenancy().client(tenant).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// The tables of the master schema.
    pub fn master(&self) -> MasterDb {
        self.tenancy().master()
    }

    /// A stock pool of sqlx's on the database, for an application without tenants. Whatever changes in the master
    /// schema is the test's from here on.
    ///
    /// # Panics
    /// If the URL of the world is none to sqlx, which it wrote itself.
    pub fn pool(&self) -> PgPool {
        self.allow_changes_of_master();
        let pool = PgPoolOptions::new().max_connections(MOST_CONNECTIONS);
        pool.connect_lazy(self.url()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A request for a tenant, which it may change: with the `Host` that the tenant has below the domain, and with
    /// `127.0.0.1` as the [`Peer`].
    ///
    /// ```no_run
    /// # fn example(world: &tenantry::testing::World) -> Result<(), http::Error> {
    /// let request = world.request("acme").uri("/notes").body(())?;
    /// assert_eq!(request.headers()["host"], "acme.example.com");
    /// # Ok(())
    /// # }
    /// ```
    pub fn request(&self, slug: &str) -> RequestBuilder {
        self.intend(slug);
        request_to(&format!("{slug}.{}", self.inner.domain))
    }

    /// A request for the master, which is the domain itself.
    pub fn master_request(&self) -> RequestBuilder {
        request_to(&self.inner.domain)
    }

    /// Says that the test changes a tenant in ways of its own: past the handles of the world.
    pub fn allow_changes_of(&self, slug: &str) {
        self.lock_intentions().allowed.insert(slug.to_owned());
    }

    /// Says that the test changes the master schema in ways of its own: not through a [`MasterDb`].
    pub fn allow_changes_of_master(&self) {
        self.lock_intentions().changes_master = true;
    }

    fn intend(&self, slug: &str) {
        self.lock_intentions().handles.insert(slug.to_owned());
    }

    fn lock_intentions(&self) -> MutexGuard<'_, Intentions> {
        self.inner.intentions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for what changed or is left without a handle for it, which is
    /// [what is asserted](super#what-is-asserted) at the end.
    ///
    /// Idle sessions of the pools are looked at and cleaned.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub async fn leaks(&self) -> Result<Vec<Leak>> {
        let Inner { tenancy, baseline, record, .. } = &*self.inner;
        self.wait_for_background_work().await;
        let mut leaks = leaks_of_sessions(tenancy.leftovers().await?);
        let master = tenancy.master();
        let look = look_at_news(&master, &baseline.mark).await?;
        let master_schema = tenancy.master_schema().as_str();
        let intentions = self.lock_intentions().clone();
        let permitted = permitted(&intentions, record, master_schema, (baseline, &look));
        let mut comparison = Evaluation { baseline, look: &look, permitted, master_schema };
        let counts = count_rows(&master, &comparison.tables_to_count(), Some(&baseline.mark)).await?;
        comparison.permit_migrated(&counts);
        let names = if comparison.misses_objects() { Some(names(&master).await?) } else { None };
        leaks.extend(comparison.leaks(&counts, names.as_deref()));
        leaks.extend(self.others(&master, leaks_of_others(&look)).await?);
        Ok(leaks)
    }

    /// Tells of what other sessions hold, unless they are about to give it back.
    async fn others(&self, master: &MasterDb, mut held: Vec<Leak>) -> Result<Vec<Leak>> {
        let begun = Instant::now();
        while !held.is_empty() && begun.elapsed() < PATIENCE_FOR_TRANSACTIONS {
            tokio::time::sleep(PATIENCE_FOR_TRANSACTIONS / 10).await;
            held = leaks_of_others(&look_at_news(master, &self.inner.baseline.mark).await?);
        }
        Ok(held)
    }

    /// Connections that came back are cleaned and rolled back in the background.
    async fn wait_for_background_work(&self) {
        let begun = Instant::now();
        while self.tenancy().status().is_busy() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends the world: looks for [leaks](Self::leaks), closes the pools and drops the database.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] with all leaks, if there are any; if the database cannot be asked.
    pub async fn finish(self) -> Result<()> {
        let leaks = self.leaks().await;
        self.remove().await;
        let leaks = leaks?;
        if leaks.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::Conflict, report(&leaks))) }
    }

    /// Closes the pools and drops the database, whatever is in it.
    pub(super) async fn remove(&self) {
        // Whoever still holds a connection loses it with the database.
        let _ = self.tenancy().close(Duration::ZERO).await;
        let database = self.inner.database.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(database) = database {
            database.remove().await;
        }
    }
}

impl WorldBuilder {
    /// Makes the world. [`World::finish`] ends it.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] where there are no such migrations; [`ErrorKind::DatabaseUnavailable`] without a
    /// server; whatever installing, migrating and creating tenants fails with.
    pub async fn create(self) -> Result<World> {
        World::create(self).await
    }
}

async fn connect(builder: Builder, url: &str, direct_url: &str, is_behind_pooler: bool) -> Result<Tenancy> {
    let mut config = DatabaseConfig::from_url(url)?;
    if is_behind_pooler {
        let pool = PoolConfig { mode: PoolMode::Transaction, ..PoolConfig::default() };
        config = config.direct_url(direct_url)?.pool(pool);
    }
    builder.database(config).connect().await
}

async fn start_pooler(url: &str) -> Result<ScratchPooler> {
    let started = ScratchPooler::start(&[url], POOLER_SESSIONS).await;
    started.map_err(|error| {
        Error::new(ErrorKind::DatabaseUnavailable, "there is no PgBouncer for this test").with_source(error)
    })
}

fn request_to(host: &str) -> RequestBuilder {
    Request::builder().header(header::HOST, host).extension(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("tenants", &self.inner.tenants.keys()).finish_non_exhaustive()
    }
}
