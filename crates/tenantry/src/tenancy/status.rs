use std::collections::BTreeMap;

use super::Tenancy;
use crate::context::Context;
use crate::doctor::{self, Finding, ReplayMode};
use crate::error::Result;
use crate::lifecycle::{self, Footprint};
use crate::observe::Steps;
use crate::pool::{Databases, NodeStatus, PoolStatus, ReplicaStatus};
use crate::registry::CacheStatus;
use crate::tenant::{Alias, Tenant};

/// A moment in the life of a [`Tenancy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenancyStatus {
    /// The pool of each database.
    pub pools: BTreeMap<Alias, PoolStatus>,
    /// The pool of tokio-postgres connections of each database.
    #[cfg(feature = "tokio-postgres")]
    pub client_pools: BTreeMap<Alias, PoolStatus>,
    /// The replicas of each database that has any.
    pub replicas: BTreeMap<Alias, Vec<ReplicaStatus>>,
    /// The pools that lead to workers, of each database that has any.
    pub nodes: BTreeMap<Alias, Vec<NodeStatus>>,
    /// The cache in front of the registry.
    pub cache: CacheStatus,
}

impl TenancyStatus {
    #[cfg(feature = "tokio-postgres")]
    fn of(databases: &Databases, cache: CacheStatus) -> Self {
        Self {
            pools: databases.status(),
            client_pools: databases.client_status(),
            replicas: databases.replica_status(),
            nodes: databases.node_status(),
            cache,
        }
    }

    #[cfg(not(feature = "tokio-postgres"))]
    fn of(databases: &Databases, cache: CacheStatus) -> Self {
        Self {
            pools: databases.status(),
            replicas: databases.replica_status(),
            nodes: databases.node_status(),
            cache,
        }
    }
}

#[cfg(feature = "testing")]
impl TenancyStatus {
    /// Returns true if connections are open that are not idle.
    pub(crate) fn is_busy(&self) -> bool {
        let is_busy = |pool: &PoolStatus| pool.open > pool.idle;
        let at_nodes = self.nodes.values().flatten().any(|node| is_busy(&node.pool));
        self.pools.values().any(is_busy) || at_nodes || self.are_clients_busy()
    }

    #[cfg(feature = "tokio-postgres")]
    fn are_clients_busy(&self) -> bool {
        self.client_pools.values().any(|pool| pool.open > pool.idle)
    }

    #[cfg(not(feature = "tokio-postgres"))]
    #[expect(clippy::unused_self, reason = "the signature is that of the feature")]
    fn are_clients_busy(&self) -> bool {
        false
    }
}

impl Tenancy {
    /// The pools and the cache at this moment.
    pub fn status(&self) -> TenancyStatus {
        TenancyStatus::of(&self.inner.context.databases, self.inner.registry.status())
    }

    /// Measures the room that a tenant takes. Only the objects of its schema are looked at, however many others there
    /// are.
    ///
    /// # Errors
    /// If its database cannot be asked.
    pub async fn footprint(&self, tenant: &Tenant) -> Result<Footprint> {
        lifecycle::footprint(&self.inner.context, tenant).await
    }

    /// Looks for what is not set up as it should be and for parts that do not agree: schemas and registry,
    /// ledgers and their summaries, tenants that have applied the same against each other and, where what the files
    /// make was kept, against that. [`Check`](doctor::Check) lists all. On connections of its own; changes nothing.
    ///
    /// What it asks is about all schemas or a page of them at a time, and it holds no more than a page, and the names
    /// of schemas. It reads the catalogs' rows about each schema, on two connections at a time where the server has
    /// room for them, so how long it takes grows with the number of tables.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) {
    /// for finding in tenancy.doctor().await {
    ///     eprintln!("{:?}: {}: {}. {}", finding.severity, finding.what, finding.why, finding.mend);
    /// }
    /// # }
    /// ```
    pub async fn doctor(&self) -> Vec<Finding> {
        self.examine(ReplayMode::Kept, &()).await
    }

    /// Does what [`doctor`](Self::doctor) does, and finds out what the files make where that was not kept: in each
    /// database that has tenants, they are replayed in a scratch schema, which is gone afterwards. So a difference from
    /// the files that all tenants share is found, too.
    pub async fn doctor_replaying(&self, steps: impl Steps) -> Vec<Finding> {
        self.examine(ReplayMode::IfNeeded, &steps).await
    }

    async fn examine(&self, replay: ReplayMode, steps: &dyn Steps) -> Vec<Finding> {
        let Context { databases, layout, role, migrations, .. } = &*self.inner.context;
        doctor::examine(databases.configs(), layout, role.as_ref(), migrations, replay, steps).await
    }
}
