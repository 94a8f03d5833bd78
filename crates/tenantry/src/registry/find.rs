//! Finds tenants, mostly in the cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use tokio::task::JoinHandle;

use super::cache::Cache;
use super::events::{Events, TenantEvent};
use super::selection::Selection;
use super::{former_slugs, listener, nodes, store, with_applied};
use crate::database::DatabaseConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::pool::{Databases, MasterDb, Opener, Standing};
use crate::resolve::TenantKey;
use crate::tenant::{Alias, Slug, Status, Tenant, TenantRecord};

/// Settings of the cache in front of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Most tenants kept in memory, found and missing ones together. Default: 10,000.
    pub cache_capacity: usize,
    /// Longest time a tenant is served from memory after it was read. Changes are announced and
    /// seen within milliseconds; this bounds what is served while announcements cannot arrive.
    /// Default: 30 seconds.
    pub cache_ttl: Duration,
    /// The same for "no such tenant". Default: 5 seconds.
    pub negative_ttl: Duration,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            cache_capacity: 10_000,
            cache_ttl: Duration::from_secs(30),
            negative_ttl: Duration::from_secs(5),
        }
    }
}

/// A moment in the life of the registry's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// Answers in memory, approximately.
    pub entries: usize,
    /// Queries that went to the database since the start.
    pub loads: u64,
}

pub(crate) struct Registry {
    finder: Arc<Finder>,
    listener: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    events: Events,
    /// Set where nobody listens: the time between two looks at the audit.
    poll: Option<Duration>,
}

/// Finds tenants, for the registry and for handles that are kept.
struct Finder {
    databases: Databases,
    cache: Arc<Cache>,
    /// The tenants that had a slug before. Asked only where nobody has it.
    former: Arc<Cache>,
}

impl Finder {
    async fn find(&self, key: &TenantKey) -> Result<Tenant> {
        let is_unfinished = AtomicBool::new(false);
        let found = self.cache.get(key, || self.load(key, &is_unfinished)).await?;
        if is_unfinished.into_inner() {
            self.cache.forget(key);
        }
        found.ok_or_else(|| unknown(key))
    }

    /// Reads a tenant. Where its database does not answer, it is unfinished: what it has applied is not known.
    async fn load(&self, key: &TenantKey, is_unfinished: &AtomicBool) -> Result<Option<Tenant>> {
        let master = self.master();
        let found = match key {
            TenantKey::Slug(slug) => store::tenant_by_slug(&master, slug).await?,
            TenantKey::Domain(domain) => store::tenant_by_domain(&master, domain).await?,
            TenantKey::Id(id) => store::tenant_by_id(&master, *id).await?,
        };
        let found = with_applied(&self.databases, found.into_iter().collect()).await?.pop();
        let found = match found {
            Some(tenant) => Some(self.with_node(tenant).await),
            None => None,
        };
        let is_known =
            |tenant: &Tenant| tenant.digest().is_some() || self.databases.away().is_there(tenant.database());
        is_unfinished.store(!found.as_ref().is_none_or(is_known), Ordering::Relaxed);
        Ok(found)
    }

    /// Asks the cluster for the node of a tenant, where statements go there: Citus moves tenants without a word to the
    /// registry, and a node that was removed since then knows of no later move. While the coordinator is away, the
    /// registry is believed.
    async fn with_node(&self, tenant: Tenant) -> Tenant {
        let alias = tenant.database();
        if !self.databases.config(alias).is_ok_and(DatabaseConfig::routes_to_workers)
            || !stands(Guard::NodeOfCluster)
        {
            return tenant;
        }
        let ask = async {
            let master = MasterDb::new(self.databases.pool(alias)?.clone());
            nodes::node_of(&master, tenant.schema()).await
        };
        match self.databases.away().ask(alias, ask).await {
            Ok(node) if node.as_ref() == tenant.node() => tenant,
            Ok(node) => Tenant::from(TenantRecord { node, ..tenant.to_record() }),
            Err(error) => {
                tracing::debug!(database = %alias, %error, "Cannot tell the node of tenant {}", tenant.slug());
                tenant
            }
        }
    }

    /// The tenant that had this slug before.
    async fn formerly(&self, slug: &Slug) -> Result<Option<Tenant>> {
        let load = async || {
            let found = former_slugs::tenant_formerly(&self.master(), slug).await?;
            Ok(with_applied(&self.databases, found.into_iter().collect()).await?.pop())
        };
        self.former.get(&TenantKey::Slug(slug.clone()), load).await
    }

    fn caches(&self) -> [&Cache; 2] {
        [&self.cache, &self.former]
    }

    fn master(&self) -> MasterDb {
        MasterDb::new(self.databases.default_pool().clone())
    }
}

/// The error that nobody goes by this key.
pub(crate) fn unknown(key: &TenantKey) -> Error {
    let error = Error::new(ErrorKind::UnknownTenant, format!("no tenant goes by `{key}`"));
    match key {
        TenantKey::Slug(slug) => error.with_tenant(slug),
        TenantKey::Domain(_) | TenantKey::Id(_) => error,
    }
}

fn gone(tenant: &Tenant) -> Error {
    let message = format!("tenant `{}` is gone", tenant.slug());
    Error::new(ErrorKind::UnknownTenant, message).with_tenant(tenant.slug())
}

impl Standing for Finder {
    fn changes(&self) -> u64 {
        self.cache.changes()
    }

    fn look_up<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Tenant>> {
        Box::pin(async move {
            match self.find(&TenantKey::Slug(tenant.slug().clone())).await {
                Ok(found) if found.id() == tenant.id() || !stands(Guard::Identity) => return Ok(found),
                Err(error) if error.kind() != ErrorKind::UnknownTenant => return Err(error),
                // Nobody goes by the slug, or somebody else does.
                _ => {}
            }
            let found = self.find(&TenantKey::Id(tenant.id())).await;
            found.map_err(|error| match error.kind() {
                ErrorKind::UnknownTenant => gone(tenant),
                _ => error,
            })
        })
    }
}

impl Registry {
    /// Starts listening in the background; tenants are found before it has connected. Without a way to a session
    /// of the server nobody listens.
    pub(crate) fn start(databases: Databases, config: &RegistryConfig) -> Result<Self> {
        let direct = Opener::of_direct(&Alias::default(), databases.config(&Alias::default())?);
        let cache = || Arc::new(Cache::new(config.cache_capacity, config.cache_ttl, config.negative_ttl));
        let (cache, former) = (cache(), cache());
        if direct.is_none() {
            tracing::warn!(
                "Without a `direct_url` nothing listens behind the pooler: changes of tenants are seen after {:?}",
                config.cache_ttl
            );
        }
        let (events, poll) = (Events::new(), direct.is_none().then_some(config.cache_ttl));
        let caches = [Arc::clone(&cache), Arc::clone(&former)];
        let listen = |direct| tokio::spawn(listener::listen(direct, caches, events.wakes()));
        let listener = tokio::sync::Mutex::new(direct.map(listen));
        let finder = Arc::new(Finder { databases, cache, former });
        Ok(Self { finder, listener, events, poll })
    }

    /// Answers whether a tenant is still what a handle takes it for.
    pub(crate) fn standing(&self) -> Arc<dyn Standing> {
        Arc::clone(&self.finder) as _
    }

    /// Calls a function whenever something was done to a tenant, until this is stopped.
    pub(crate) async fn subscribe(&self, hear: impl Fn(&TenantEvent) + Send + Sync + 'static) -> Result<()> {
        self.events.subscribe(self.master(), self.poll, Arc::new(hear)).await
    }

    /// The tenant that goes by this key.
    pub(crate) async fn find(&self, key: &TenantKey) -> Result<Tenant> {
        self.finder.find(key).await
    }

    /// The tenant that had this slug before it was renamed, mostly from memory.
    pub(crate) async fn formerly(&self, slug: &Slug) -> Result<Option<Tenant>> {
        self.finder.formerly(slug).await
    }

    /// Up to `limit` tenants in the order of their slugs, after this one.
    pub(crate) async fn tenants_after(&self, after: &str, limit: u32) -> Result<Vec<Tenant>> {
        let page = store::tenants_after(&self.master(), after, i64::from(limit)).await?;
        Ok(self.complete(page).await)
    }

    /// The same, of those in whatever status for which the operator's condition holds.
    pub(crate) async fn tenants_where(
        &self,
        condition: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Tenant>> {
        let selection = Selection { condition: Some(condition), ..Selection::of(&Status::ALL) };
        let page = selection.page_in(&self.master(), after, i64::from(limit)).await?;
        Ok(self.complete(page).await)
    }

    /// Adds what they have applied to tenants that were read from the registry.
    pub(crate) async fn complete(&self, page: Vec<Tenant>) -> Vec<Tenant> {
        let complete = with_applied(&self.finder.databases, page.clone()).await;
        // A registry that cannot be read there hides how far its tenants are, not that they exist.
        complete.unwrap_or_else(|error| {
            tracing::warn!(%error, "Cannot tell what some tenants have applied");
            page
        })
    }

    pub(super) fn master(&self) -> MasterDb {
        self.finder.master()
    }

    /// Works on a connection that may write the registry.
    pub(super) async fn with_connection<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
    ) -> Result<T> {
        self.finder.databases.with_registry(work).await
    }

    /// Drops what this process knows of a key, without waiting for the announcement.
    pub(super) fn forget(&self, key: &TenantKey) {
        self.finder.caches().into_iter().for_each(|cache| cache.forget(key));
    }

    /// Drops what this process knows of a tenant: of its slug, and of all its domains.
    pub(crate) async fn forget_tenant(&self, tenant: &Tenant) {
        self.finder.caches().into_iter().for_each(|cache| cache.forget_tenant(tenant.id()));
        self.forget(&TenantKey::Slug(tenant.slug().clone()));
        match self.domains(tenant).await {
            Ok(domains) => domains.into_iter().for_each(|domain| self.forget(&TenantKey::Domain(domain))),
            // What was done is done, so this is no reason to report a failure.
            Err(_) => self.forget_all(),
        }
    }

    pub(crate) fn forget_all(&self) {
        self.finder.caches().into_iter().for_each(Cache::clear);
    }

    pub(crate) fn status(&self) -> CacheStatus {
        CacheStatus {
            entries: self.finder.caches().into_iter().map(Cache::len).sum(),
            loads: self.finder.caches().into_iter().map(|cache| cache.loads.load(Ordering::Relaxed)).sum(),
        }
    }

    /// Stops listening and telling, and waits until the tasks have ended.
    pub(crate) async fn stop(&self) {
        self.events.stop().await;
        if let Some(listener) = self.listener.lock().await.take() {
            listener.abort();
            let _ = listener.await;
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get_mut() {
            listener.abort();
        }
    }
}
