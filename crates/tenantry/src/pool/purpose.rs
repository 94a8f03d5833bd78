//! The purpose of a checkout, and the count of those that last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The purpose that a connection is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A single statement.
    Statement,
    /// Statements until a commit or rollback.
    Transaction,
    /// Any statements.
    Session,
}

/// Counts the connections that one handle's owner holds over several statements.
pub(super) struct Held(Arc<AtomicU32>);

impl Held {
    /// Counts a connection, unless it is gone with its statement.
    pub(super) fn one(counter: &Arc<AtomicU32>, purpose: Purpose) -> Option<Self> {
        if purpose == Purpose::Statement {
            return None;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        Some(Self(Arc::clone(counter)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
