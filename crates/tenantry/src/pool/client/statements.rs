//! The statements a connection has prepared.

use std::collections::HashMap;

use tokio_postgres::Statement;

use crate::tenant::{Digest, TenantId};

/// The owner of a prepared statement: the same text means something else elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    /// Set when the tenant is not where the rest of the fleet is.
    pub(super) digest: Option<Digest>,
    /// `None` for the master schema, and where tenants share.
    pub(super) tenant: Option<TenantId>,
    /// The tenant's schema has types of its own, whose numbers are in what was prepared.
    pub(super) owns_types: bool,
}

/// Up to this many statements; the one that was not used for longest goes first.
///
/// Each tenant has statements of its own while they all fit, because PostgreSQL plans a statement anew
/// whenever the path is another one. When they do not fit, those that can be shared are, from
/// then on: to prepare costs a round trip and more than to plan.
///
/// The server drops a statement when its last clone is dropped here.
pub(super) struct StatementCache {
    known: HashMap<Owner, HashMap<Box<str>, CachedStatement>>,
    count: usize,
    capacity: usize,
    are_shared: bool,
    /// Counts uses.
    clock: u64,
}

struct CachedStatement {
    statement: Statement,
    used_at: u64,
}

impl StatementCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { known: HashMap::new(), count: 0, capacity, are_shared: false, clock: 0 }
    }

    pub(super) fn find(&mut self, owner: Owner, sql: &str) -> Option<Statement> {
        self.clock += 1;
        let kept = self.known.get_mut(&self.keeper(owner))?.get_mut(sql)?;
        kept.used_at = self.clock;
        Some(kept.statement.clone())
    }

    pub(super) fn knows(&self, owner: Owner, sql: &str) -> bool {
        self.known.get(&self.keeper(owner)).is_some_and(|texts| texts.contains_key(sql))
    }

    pub(super) fn keep(&mut self, owner: Owner, sql: &str, statement: Statement) {
        if self.capacity == 0 {
            return;
        }
        if self.count >= self.capacity && !self.are_shared {
            self.share();
        }
        while self.count >= self.capacity {
            self.drop_oldest();
        }
        let kept = CachedStatement { statement, used_at: self.clock };
        if self.known.entry(self.keeper(owner)).or_default().insert(sql.into(), kept).is_none() {
            self.count += 1;
        }
    }

    fn keeper(&self, owner: Owner) -> Owner {
        let tenant = owner.tenant.filter(|_| owner.owns_types || !self.are_shared);
        Owner { tenant, ..owner }
    }

    fn share(&mut self) {
        self.are_shared = true;
        self.known.retain(|owner, _| owner.tenant.is_none() || owner.owns_types);
        self.count = self.known.values().map(HashMap::len).sum();
    }

    /// Looks at all of them, which costs less than the round trip that made it necessary.
    fn drop_oldest(&mut self) {
        let all = self
            .known
            .iter()
            .flat_map(|(owner, texts)| texts.iter().map(move |(sql, kept)| (kept.used_at, *owner, sql)));
        let Some((_, owner, sql)) = all.min_by_key(|(used_at, ..)| *used_at) else { return };
        let sql = sql.clone();
        if let Some(texts) = self.known.get_mut(&owner) {
            texts.remove(&sql);
            self.count -= 1;
            if texts.is_empty() {
                self.known.remove(&owner);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.count = 0;
    }
}
