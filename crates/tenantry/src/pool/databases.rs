//! The pools of all databases, by alias.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgConnection, PgPool};

use super::away::Away;
use super::channel::channel_of;
#[cfg(feature = "tokio-postgres")]
use super::client::ClientDriver;
use super::client_pool::ClientPool;
use super::driver::PgDriver;
use super::kept::KeptConnections;
#[cfg(feature = "testing")]
use super::lease::Leftover;
use super::master_stock::MasterStock;
use super::message::enter;
use super::node_pools::NodeStatus;
use super::notifications::{Listener, Notifications};
use super::opener::Opener;
use super::preparation::Preprocessors;
use super::recognition::recognize;
#[cfg(feature = "testing")]
use super::record::WriteRecord;
use super::replica::{ReplicaStatus, Replicas, TenantReadDb};
use super::shared::Pool;
use super::slots::PoolStatus;
use super::standing::Surroundings;
use super::stock;
use crate::database::{DatabaseConfig, Dialect, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::SearchPathValue;
use crate::tenant::{Alias, SchemaName, Tenant};

/// Every database of the installation with its pool. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Databases {
    by_alias: Arc<BTreeMap<Alias, Database>>,
    default: Pool,
    #[cfg_attr(not(feature = "tokio-postgres"), expect(dead_code))]
    default_client: ClientPool,
    registry: Arc<KeptConnections>,
    master_stock: Arc<MasterStock>,
    away: Arc<Away>,
    layout: Arc<Layout>,
    preprocessors: Preprocessors,
}

struct Database {
    config: DatabaseConfig,
    application: Opener,
    /// `None` without a way past the pooler.
    owner: Option<Opener>,
    /// Connections as the owner that have read a whole schema, and wait for the next one.
    readers: KeptConnections,
    pool: Pool,
    client_pool: ClientPool,
    replicas: Arc<Replicas>,
    listener: Listener,
}

impl Databases {
    /// Pools that connect at their first checkout. `default` must be among the databases.
    pub(crate) fn new(
        configs: BTreeMap<Alias, DatabaseConfig>,
        layout: &Arc<Layout>,
        preprocessors: &Preprocessors,
    ) -> Result<Self> {
        let mut by_alias = BTreeMap::<_, Database>::new();
        for (alias, config) in configs {
            by_alias.insert(alias.clone(), Database::new(&alias, config, layout, preprocessors)?);
        }
        Pool::introduce(by_alias.values().map(|database| &database.pool));
        ClientPool::introduce(by_alias.values().map(|database| &database.client_pool));
        let Some(default) = by_alias.get(&Alias::default()) else {
            return Err(Error::new(ErrorKind::Configuration, "no database is named `default`")
                .with_hint("give one with `.database(…)`"));
        };
        Ok(Self {
            default: default.pool.clone(),
            default_client: default.client_pool.clone(),
            master_stock: Arc::new(MasterStock::new(&default.config, layout)),
            by_alias: Arc::new(by_alias),
            registry: Arc::new(KeptConnections::for_now_and_then()),
            away: Arc::default(),
            layout: Arc::clone(layout),
            preprocessors: preprocessors.clone(),
        })
    }

    pub(crate) fn default_pool(&self) -> &Pool {
        &self.default
    }

    /// The databases that did not answer when they were last asked.
    pub(crate) fn away(&self) -> &Away {
        &self.away
    }

    pub(crate) fn aliases(&self) -> impl Iterator<Item = &Alias> {
        self.by_alias.keys()
    }

    pub(crate) fn configs(&self) -> impl Iterator<Item = (&Alias, &DatabaseConfig)> {
        self.by_alias.iter().map(|(alias, database)| (alias, &database.config))
    }

    /// The tables of a tenant, to read.
    pub(crate) fn tenant_reader(&self, tenant: &Tenant, surroundings: Surroundings) -> Result<TenantReadDb> {
        let Database { replicas, pool, .. } = self.get(tenant.database())?;
        Ok(TenantReadDb::open(tenant.clone(), Arc::clone(replicas), pool.clone(), surroundings))
    }

    pub(crate) fn pool(&self, alias: &Alias) -> Result<&Pool> {
        Ok(&self.get(alias)?.pool)
    }

    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn default_client_pool(&self) -> &Pool<ClientDriver> {
        self.default_client.get()
    }

    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn client_pool(&self, alias: &Alias) -> Result<&Pool<ClientDriver>> {
        Ok(self.get(alias)?.client_pool.get())
    }

    pub(crate) fn config(&self, alias: &Alias) -> Result<&DatabaseConfig> {
        Ok(&self.get(alias)?.config)
    }

    /// The most connections a tenant may hold, in the database where these are fewest.
    pub(crate) fn fewest_per_tenant(&self) -> u32 {
        let caps = self.configs().map(|(_, config)| config.pool_config().cap_per_tenant());
        caps.min().unwrap_or(1)
    }

    /// The pool of each database at this moment.
    pub(crate) fn status(&self) -> BTreeMap<Alias, PoolStatus> {
        self.by_alias.iter().map(|(alias, database)| (alias.clone(), database.pool.status())).collect()
    }

    /// The replicas of each database that has any, at this moment.
    pub(crate) fn replica_status(&self) -> BTreeMap<Alias, Vec<ReplicaStatus>> {
        let status = self.by_alias.iter().map(|(alias, it)| (alias.clone(), it.replicas.status()));
        status.filter(|(_, replicas)| !replicas.is_empty()).collect()
    }

    /// The pools that lead to nodes of each database that has any, at this moment.
    pub(crate) fn node_status(&self) -> BTreeMap<Alias, Vec<NodeStatus>> {
        let status = |database: &Database| {
            let mut status = database.pool.node_status();
            status.extend(database.client_pool.node_status());
            status
        };
        let all = self.by_alias.iter().map(|(alias, database)| (alias.clone(), status(database)));
        all.filter(|(_, nodes)| !nodes.is_empty()).collect()
    }

    /// The same of the pools of tokio-postgres.
    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn client_status(&self) -> BTreeMap<Alias, PoolStatus> {
        self.by_alias
            .iter()
            .map(|(alias, database)| (alias.clone(), database.client_pool.get().status()))
            .collect()
    }

    /// Counts the connections of this process that are in use for a tenant, or only those that may write.
    pub(crate) fn held_by(&self, tenant: &Tenant, only_writers: bool) -> Result<usize> {
        let Database { pool, client_pool, replicas, .. } = self.get(tenant.database())?;
        let of_readers = if only_writers { 0 } else { replicas.held_by(tenant.id()) };
        let held = pool.held_by(tenant.id(), only_writers) + client_pool.held_by(tenant.id(), only_writers);
        Ok(held + of_readers)
    }

    fn get(&self, alias: &Alias) -> Result<&Database> {
        self.by_alias.get(alias).ok_or_else(|| {
            let known: Vec<_> = self.aliases().map(Alias::as_str).collect();
            Error::new(ErrorKind::Configuration, format!("no database is named `{alias}`"))
                .with_hint(format!("the known ones are: {}", known.join(", ")))
        })
    }

    /// A connection of its own, outside of the pool, that may create and alter schemas. It sees
    /// no table until its `search_path` is set. One that did not answer a moment ago is not asked again.
    pub(crate) async fn owner_connection(&self, alias: &Alias) -> Result<PgConnection> {
        self.open_owner(alias, self.owner_of(alias)?).await
    }

    async fn open_owner(&self, alias: &Alias, opener: &Opener) -> Result<PgConnection> {
        let mut connection = self.away.ask(alias, opener.open()).await?;
        let named = self.config(alias)?.named_engine();
        // In a box, because it is only the first that is asked.
        Box::pin(recognize(&mut connection, alias, named, &self.layout.dialects)).await?;
        Ok(connection)
    }

    /// Finds out the kind of server that a database is of, where nobody has.
    pub(crate) async fn ask_dialect(&self, alias: &Alias) -> Result<Dialect> {
        if self.layout.dialects.known(alias).is_none() {
            let _ = self.owner_connection(alias).await?.close().await;
        }
        Ok(self.dialect(alias))
    }

    /// The kind of server that a database is of, once a connection of its owner was opened.
    pub(crate) fn dialect(&self, alias: &Alias) -> Dialect {
        self.layout.dialects.of(alias)
    }

    /// Opens the same with a path that leads to a schema, which the server confirms.
    pub(crate) async fn owner_session(&self, alias: &Alias, schema: &SchemaName) -> Result<PgConnection> {
        let mut connection = self.owner_connection(alias).await?;
        let path = SearchPathValue { schema, extensions: &self.layout.extension_schemas };
        if enter(&mut connection, &path).await? {
            return Ok(connection);
        }
        let message =
            format!("schema `{schema}` is missing in database `{alias}`, or its owner may not use it");
        Err(Error::new(ErrorKind::MissingSchema, message))
    }

    /// Opens the same for work whose time nobody knows.
    pub(crate) async fn unlimited_owner_connection(&self, alias: &Alias) -> Result<PgConnection> {
        let opener = self.owner_of(alias)?.without_limits();
        self.open_owner(alias, &opener).await
    }

    /// Gives the same for reading a whole schema: one that waits, if there is one, because a session that has read one
    /// schema reads the next in half the time. It is given back by [`keep_reader`](Self::keep_reader).
    #[cfg(feature = "archive")]
    pub(crate) async fn reader(&self, alias: &Alias) -> Result<PgConnection> {
        match self.get(alias)?.readers.take().await {
            Some(reader) => Ok(reader),
            None => self.unlimited_owner_connection(alias).await,
        }
    }

    /// Keeps a reader for the next one, in whose session nothing is left: no transaction, setting or lock.
    #[cfg(feature = "archive")]
    pub(crate) fn keep_reader(&self, alias: &Alias, reader: PgConnection) {
        if let Ok(database) = self.get(alias) {
            database.readers.keep(reader);
        }
    }

    fn owner_of(&self, alias: &Alias) -> Result<&Opener> {
        self.get(alias)?.owner.as_ref().ok_or_else(|| no_way_past_the_pooler(alias))
    }

    /// Works on an owner's connection to the registry that is kept open, for what is over at once: a sign-up is
    /// not to pay for opening one. What successful work leaves in its session, the next one finds.
    pub(crate) async fn with_registry<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
    ) -> Result<T> {
        self.registry.with(async || self.owner_connection(&Alias::default()).await, work).await
    }

    /// A pool of sqlx's own kind, whose connections are for whom the running task works for.
    pub(crate) fn stock_pool(
        &self,
        alias: &Alias,
        options: PgPoolOptions,
        whom: fn() -> Result<Tenant>,
    ) -> Result<PgPool> {
        let database = self.get(alias)?;
        database.pool.refuse_behind_pooler("a stock pool")?;
        database.pool.recorder().anything_anywhere();
        let hooks = stock::Hooks {
            driver: database.driver(&self.preprocessors),
            layout: Arc::clone(&self.layout),
            clean_timeout: database.config.pool_config().clean_timeout,
            whom,
        };
        Ok(stock::open(options, hooks))
    }

    /// A pool of sqlx's own kind, whose connections are in the master schema: the same one for all who ask.
    pub(crate) fn master_pool(&self) -> Result<PgPool> {
        self.default.recorder().anything(&self.layout.master_schema);
        self.master_stock.get()
    }

    /// Listens on a channel of the tenant, or of the master schema.
    pub(crate) async fn listen(
        &self,
        alias: &Alias,
        tenant: Option<&Tenant>,
        channel: &str,
    ) -> Result<Notifications> {
        let schema = tenant.map_or(&self.layout.master_schema, Tenant::schema);
        let channel = channel_of(schema, channel)?;
        self.get(alias)?.listener.listen(&channel).await
    }

    /// Notes that a job runs for this tenant, as one of all.
    pub(crate) fn note_fleet(&self, tenant: &Tenant) {
        self.default.recorder().fleet(tenant.schema());
    }

    /// Notes from here on what statements may have changed.
    #[cfg(feature = "testing")]
    pub(crate) fn note_in(&self, record: &Arc<WriteRecord>) {
        for database in self.by_alias.values() {
            database.pool.recorder().note_in(record);
            database.client_pool.note_in(record);
        }
    }

    /// Tells of what idle sessions hold, although the pools take them for clean, and removes it.
    #[cfg(feature = "testing")]
    pub(crate) async fn leftovers(&self) -> Result<Vec<Leftover>> {
        let mut leftovers = Vec::new();
        for database in self.by_alias.values() {
            if !database.pool.is_behind_pooler() {
                leftovers.append(&mut database.pool.leftovers().await?);
                leftovers.append(&mut database.client_pool.leftovers().await?);
            }
        }
        Ok(leftovers)
    }

    /// Closes all pools within one deadline.
    pub(crate) async fn close(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut result = Ok(());
        self.registry.close().await;
        for database in self.by_alias.values() {
            database.readers.close().await;
            database.listener.stop().await;
            let left = deadline.saturating_duration_since(Instant::now());
            result = result.and(database.pool.close(left).await);
            let left = deadline.saturating_duration_since(Instant::now());
            result = result.and(database.client_pool.close(left).await);
            result = result.and(database.replicas.close(deadline).await);
        }
        result.and(self.master_stock.close(deadline).await)
    }
}

impl Database {
    fn new(
        alias: &Alias,
        config: DatabaseConfig,
        layout: &Arc<Layout>,
        preprocessors: &Preprocessors,
    ) -> Result<Self> {
        config.validate_routing(alias)?;
        let application = Opener::of_application(alias, &config);
        let preprocessors = preprocessors.clone();
        let driver =
            PgDriver { opener: application.clone(), preprocessors: preprocessors.clone(), replica: None };
        let replicas = Arc::new(Replicas::new(&application, &config, layout, &preprocessors)?);
        let pool_config = config.pool_config().clone();
        let pool = Pool::new(alias.clone(), driver, pool_config, Arc::clone(layout), preprocessors.clone())?;
        pool.fill();
        let client_pool = ClientPool::open(&application, &config, layout, &preprocessors)?;
        let owner = Opener::of_owner(alias, &config);
        let listener = Listener::new(Opener::of_direct(alias, &config));
        let readers = KeptConnections::for_now_and_then();
        Ok(Self { config, application, owner, readers, pool, client_pool, replicas, listener })
    }

    fn driver(&self, preprocessors: &Preprocessors) -> PgDriver {
        let (opener, preprocessors) = (self.application.clone(), preprocessors.clone());
        PgDriver { opener, preprocessors, replica: None }
    }
}

/// The error of work that needs a session of its own where there is none.
pub(crate) fn no_way_past_the_pooler(alias: &Alias) -> Error {
    let message = format!(
        "creating and altering schemas takes a session of its own, which the pooler of database `{alias}` \
         does not give"
    );
    Error::new(ErrorKind::Unsupported, message)
        .with_hint("set `direct_url`, or an `owner_url`, to reach the server past the pooler")
}
