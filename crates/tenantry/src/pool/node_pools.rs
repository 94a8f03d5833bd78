//! The pools of one database that lead to the nodes of its cluster, each opened when the first tenant is there.
//!
//! A tenant's tables are on one worker of Citus, and a statement that is sent there saves the way through the
//! coordinator. Whether they still are there is the registry's to know; a worker that they have left answers as well,
//! from where they are now.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::driver::Driver;
use super::shared::Pool;
use super::slots::PoolStatus;
use crate::tenant::Node;

/// A moment in the life of a pool that leads to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStatus {
    /// The node.
    pub node: Node,
    /// The driver whose connections these are, by the name that metrics call it.
    pub driver: &'static str,
    /// Its pool.
    pub pool: PoolStatus,
}

/// The pools of the nodes. There are as many as the registry has named.
pub(super) struct NodePools<D: Driver>(Mutex<State<D>>);

struct State<D: Driver> {
    pools: BTreeMap<Node, Pool<D>>,
    is_closed: bool,
}

impl<D: Driver> Default for NodePools<D> {
    fn default() -> Self {
        Self(Mutex::new(State { pools: BTreeMap::new(), is_closed: false }))
    }
}

impl<D: Driver> NodePools<D> {
    /// The pool of a node. `None` if nothing leads there, or all are closed.
    pub(super) fn get(&self, node: &Node, open: impl FnOnce() -> Option<Pool<D>>) -> Option<Pool<D>> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        if let Some(pool) = state.pools.get(node) {
            return Some(pool.clone());
        }
        let pool = open()?;
        state.pools.insert(node.clone(), pool.clone());
        Some(pool)
    }

    /// All that are open.
    pub(super) fn all(&self) -> Vec<Pool<D>> {
        self.lock().pools.values().cloned().collect()
    }

    /// All that are open, and the last of them.
    pub(super) fn close(&self) -> Vec<Pool<D>> {
        self.lock().is_closed = true;
        self.all()
    }

    pub(super) fn status(&self) -> Vec<NodeStatus> {
        let status = |(node, pool): (&Node, &Pool<D>)| NodeStatus {
            node: node.clone(),
            driver: D::NAME,
            pool: pool.status(),
        };
        self.lock().pools.iter().map(status).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State<D>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
