//! The pools of one database that lead to the nodes of its cluster, each opened when the first tenant is there.
//!
//! A tenant's tables are on one worker of Citus, and a statement that is sent there saves the way through the
//! coordinator. Whether they still are there is the registry's to know; a worker that they have left answers as well,
//! from where they are now.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
pub(super) struct NodePools<P>(Mutex<OpenPools<P>>);

struct OpenPools<P> {
    pools: BTreeMap<Node, P>,
    is_closed: bool,
}

impl<P> Default for NodePools<P> {
    fn default() -> Self {
        Self(Mutex::new(OpenPools { pools: BTreeMap::new(), is_closed: false }))
    }
}

impl<P: Clone> NodePools<P> {
    /// The pool of a node. `None` if nothing leads there, or all are closed.
    pub(super) fn get(&self, node: &Node, open: impl FnOnce() -> Option<P>) -> Option<P> {
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
    pub(super) fn all(&self) -> Vec<P> {
        self.lock().pools.values().cloned().collect()
    }

    /// All that are open, and the last of them.
    pub(super) fn close(&self) -> Vec<P> {
        self.lock().is_closed = true;
        self.all()
    }

    /// Tells of each.
    pub(super) fn status(&self, of: impl Fn(&Node, &P) -> NodeStatus) -> Vec<NodeStatus> {
        self.lock().pools.iter().map(|(node, pool)| of(node, pool)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, OpenPools<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
