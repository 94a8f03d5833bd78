//! The pool of one database, which all who check connections out share.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use tracing::Instrument as _;

use super::classify::Classifier;
use super::driver::{Driver, PgDriver};
use super::grant::Grant;
#[cfg(feature = "testing")]
use super::lease::Leftover;
use super::lease::{Lease, Switching};
use super::node_pools::{NodePools, NodeStatus};
use super::preparation::{Preparation, Preprocessors};
use super::preprocessor::{CheckoutRequest, Target};
use super::record::Recorder;
use super::session::Warmth;
use super::slots::{PoolStatus, Request, Slot, Slots};
use super::spans::checkout_span;
use super::step::{Step, StepMarker};
use super::sync::Background;
use super::traceparent::CurrentTrace;
use crate::database::{Comment, Layout, PoolConfig, PoolMode};
use crate::error::Result;
use crate::tenant::{Alias, Node, TenantId};

/// A pool of connections to one database. Cheap to clone.
pub(crate) struct Pool<D: Driver = PgDriver> {
    shared: Arc<Shared<D>>,
}

impl<D: Driver> Clone for Pool<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<D: Driver> {
    slots: Arc<Slots<D>>,
    layout: Arc<Layout>,
    preprocessors: Preprocessors,
    classifier: Arc<Classifier>,
    recorder: Arc<Recorder>,
    nodes: NodePools<Pool<D>>,
    /// The node that it leads to, where that is not the server of the database's URL.
    node: Option<Node>,
    /// The pools of all databases, by alias. They know each other and keep none alive.
    siblings: OnceLock<BTreeMap<Alias, Weak<Self>>>,
}

impl<D: Driver> Pool<D> {
    /// A pool that opens its first connection at the first checkout.
    ///
    /// Must be called in a tokio runtime, which it keeps for its background work.
    pub(crate) fn new(
        alias: Alias,
        driver: D,
        config: PoolConfig,
        layout: Arc<Layout>,
        preprocessors: Preprocessors,
    ) -> Result<Self> {
        config.validate()?;
        let slots = Arc::new(Slots::new(alias, driver, config, Background::current()));
        let shared = Shared {
            slots,
            layout,
            preprocessors,
            classifier: Arc::default(),
            recorder: Arc::default(),
            nodes: NodePools::default(),
            node: None,
            siblings: OnceLock::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes the pools of several databases known to each other, once.
    pub(super) fn introduce<'a>(pools: impl Iterator<Item = &'a Self> + Clone)
    where
        D: 'a,
    {
        for pool in pools.clone() {
            let siblings = pools.clone().map(|it| (it.alias().clone(), Arc::downgrade(&it.shared)));
            // Nobody introduces them a second time.
            let _ = pool.shared.siblings.set(siblings.collect());
        }
    }

    /// The pool of another database.
    pub(super) fn sibling(&self, alias: &Alias) -> Option<Self> {
        let shared = self.shared.siblings.get()?.get(alias)?.upgrade()?;
        Some(Self { shared })
    }

    /// The pool that leads to the tables of this target: that of the node which they are on, or else this one.
    pub(super) fn toward(&self, target: &Target) -> Self {
        let node = match target {
            Target::Tenant(tenant) => tenant.node(),
            Target::Master => None,
        };
        let pool = node.and_then(|node| self.shared.nodes.get(node, || self.open_toward(node)));
        pool.unwrap_or_else(|| self.clone())
    }

    fn open_toward(&self, node: &Node) -> Option<Self> {
        let Shared { slots, layout, preprocessors, classifier, recorder, .. } = &*self.shared;
        let driver = slots.driver.to_node(node)?;
        let slots = Slots::new(slots.alias.clone(), driver, slots.config.clone(), slots.runtime.clone());
        let shared = Shared {
            slots: Arc::new(slots),
            layout: Arc::clone(layout),
            preprocessors: preprocessors.clone(),
            classifier: Arc::clone(classifier),
            recorder: Arc::clone(recorder),
            nodes: NodePools::default(),
            node: Some(node.clone()),
            siblings: OnceLock::new(),
        };
        Some(Self { shared: Arc::new(shared) })
    }

    /// The node that it leads to; `None` for the server of the database's URL.
    pub(super) fn node(&self) -> Option<&Node> {
        self.shared.node.as_ref()
    }

    /// This pool, and those that lead to nodes.
    fn all(&self) -> impl Iterator<Item = Self> {
        std::iter::once(self.clone()).chain(self.shared.nodes.all())
    }

    /// Asks the preprocessors what a session must look like for this target.
    pub(super) fn prepare(&self, target: Target, grant: Grant) -> Result<Arc<Preparation>> {
        let request = CheckoutRequest::new(target, Arc::clone(&self.shared.layout));
        Ok(Arc::new(self.shared.preprocessors.prepare(request, grant)?))
    }

    /// The same, if it will be the same at every checkout.
    pub(super) fn prepare_once(&self, target: Target, grant: Grant) -> Option<Arc<Preparation>> {
        // A refusal is for the checkout to report.
        self.shared.preprocessors.are_constant().then(|| self.prepare(target, grant).ok())?
    }

    /// A connection for this target.
    #[cfg(test)]
    pub(super) async fn check_out(&self, target: Target) -> Result<Lease<D>> {
        self.check_out_as(&self.prepare(target, Grant::Write)?, Switching::Now).await
    }

    /// The one way to a connection: prepared, verified, and handed out.
    pub(super) async fn check_out_as(
        &self,
        preparation: &Arc<Preparation>,
        switching: Switching,
    ) -> Result<Lease<D>> {
        let slots = &self.shared.slots;
        let span = checkout_span(&slots.alias, preparation);
        let request = match span.in_scope(|| slots.request(preparation))? {
            // Most checkouts end here, and need no timer.
            Request::Granted(slot) if slot.warmth_for(preparation) == Warmth::Warm => {
                return Ok(Lease::warm(slot, preparation));
            }
            request => request,
        };
        let limit = slots.config.acquire_timeout;
        let progress = StepMarker::new();
        let lease = self.ready_lease(request, preparation, switching, &progress).instrument(span);
        match tokio::time::timeout(limit, lease).await {
            Ok(result) => result,
            Err(_) => Err(slots.timeout_error(preparation, limit, progress.step())),
        }
    }

    async fn ready_lease(
        &self,
        mut request: Request<D>,
        preparation: &Arc<Preparation>,
        switching: Switching,
        progress: &StepMarker,
    ) -> Result<Lease<D>> {
        loop {
            progress.note(Step::Waiting);
            let slot = request.slot().await?;
            if let Some(lease) = Lease::ready(slot, preparation, switching, progress).await? {
                return Ok(lease);
            }
            request = self.shared.slots.request(preparation)?;
        }
    }

    pub(super) fn driver(&self) -> &D {
        &self.shared.slots.driver
    }

    /// Returns true if a connection is no session of the server's, but a pooler's client.
    pub(super) fn is_behind_pooler(&self) -> bool {
        self.shared.slots.config.mode == PoolMode::Transaction
    }

    /// The longest that a checkout takes.
    #[cfg(feature = "sea-orm")]
    pub(super) fn acquire_timeout(&self) -> Duration {
        self.shared.slots.config.acquire_timeout
    }

    /// The longest wait of a checkout for the end of its tenant's move.
    pub(super) fn move_wait(&self) -> Duration {
        self.shared.slots.config.move_wait
    }

    /// The comment that statements are to carry.
    pub(super) fn comment(&self) -> Comment {
        self.shared.slots.config.comment
    }

    /// The application's way to tell which request a statement is for.
    pub(super) fn trace(&self) -> Option<&CurrentTrace> {
        self.shared.preprocessors.trace()
    }

    pub(super) fn alias(&self) -> &Alias {
        &self.shared.slots.alias
    }

    pub(super) fn classifier(&self) -> &Classifier {
        &self.shared.classifier
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.shared.recorder
    }

    /// Takes all idle sessions, which are idle again once they were looked at.
    #[cfg(feature = "testing")]
    pub(super) async fn leftovers(&self) -> Result<Vec<Leftover>> {
        let mut leftovers = Vec::new();
        for slot in self.all().flat_map(|pool| pool.shared.slots.take_idle()) {
            leftovers.append(&mut Lease::leftovers(slot).await?);
        }
        Ok(leftovers)
    }

    /// Counts the connections that are in use for a tenant, or only those that may write.
    pub(super) fn held_by(&self, tenant: TenantId, only_writers: bool) -> usize {
        let counts = |preparation: &Preparation| !(only_writers && preparation.is_read_only());
        self.all().map(|pool| pool.shared.slots.held_by(&Some(tenant), counts)).sum()
    }

    pub(crate) fn status(&self) -> PoolStatus {
        self.shared.slots.status()
    }

    /// The pools that lead to nodes, at this moment.
    pub(super) fn node_status(&self) -> Vec<NodeStatus> {
        let status = |node: &Node, pool: &Self| NodeStatus {
            node: node.clone(),
            driver: D::NAME,
            pool: pool.status(),
        };
        self.shared.nodes.status(status)
    }

    /// Gives up every connection that leads to the server of today: at once if it is idle, else when it comes back.
    pub(super) fn leave_server(&self) {
        self.shared.slots.leave_server();
    }

    /// Opens connections up to the configured minimum, so that the first requests find them.
    pub(crate) fn fill(&self) {
        let slots = &self.shared.slots;
        for _ in 0..slots.config.min_connections {
            let Some(slot) = slots.reserve() else { return };
            slots.runtime.spawn(open_ahead(slot));
        }
    }

    /// Refuses new checkouts, closes what is idle and waits until everything else came back.
    ///
    /// # Errors
    /// [`ErrorKind::PoolTimeout`](crate::ErrorKind::PoolTimeout) naming the longest holder, if the deadline
    /// passes first.
    pub(crate) async fn close(&self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        let mut result = self.shared.slots.close(limit).await;
        for pool in self.shared.nodes.close() {
            let left = limit.saturating_sub(begun.elapsed());
            result = result.and(pool.shared.slots.close(left).await);
        }
        result
    }
}

async fn open_ahead<D: Driver>(mut slot: Slot<D>) {
    let limit = slot.slots.config.acquire_timeout;
    match tokio::time::timeout(limit, slot.open()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "Could not open a connection ahead of need"),
        Err(_) => tracing::warn!("No answer within {limit:?} while a connection was opened ahead of need"),
    }
}
