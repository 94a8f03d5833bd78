//! The statements that ran on a connection before, so that sqlx knows every type they mean.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::preparation::Preparation;
use crate::tenant::Tenant;

/// Texts, remembered by a hash: one of two that share it goes without its savepoint, no more.
#[derive(Debug, Default)]
pub(super) struct Described(HashSet<u64>);

impl Described {
    /// Forgets all when full: an application with more texts than this builds them.
    const MOST: usize = 4096;

    pub(super) fn contains(&self, session: Option<&Preparation>, sql: &str) -> bool {
        self.0.contains(&key(session, sql))
    }

    pub(super) fn insert(&mut self, session: Option<&Preparation>, sql: &str) {
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(key(session, sql));
    }
}

/// Only a schema with types of its own gives a text other types than the next schema does.
fn key(session: Option<&Preparation>, sql: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let owner = session.filter(|session| session.owns_types()).and_then(Preparation::tenant).map(Tenant::id);
    (owner, sql).hash(&mut hasher);
    hasher.finish()
}
