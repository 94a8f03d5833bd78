//! The statements a connection has prepared.

use std::collections::HashMap;

use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Column, Statement};

use crate::guard::{Guard, stands};
use crate::tenant::{Digest, TenantId};

/// The owner of a prepared statement: the same text means something else elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    /// Set when the tenant is not where the rest of the fleet is.
    pub(super) digest: Option<Digest>,
    /// `None` for the master schema, and where tenants share.
    pub(super) tenant: Option<TenantId>,
    /// Types of the tenant's schema are, or may be, among what was prepared.
    pub(super) owns_types: bool,
}

impl Owner {
    /// The owner of a statement that was prepared, which means types of the tenant's schema or not. The registry does
    /// not know of types that were made since the last migration.
    pub(super) fn of(self, statement: &Statement, schema: &str) -> Self {
        let columns = statement.columns().iter().map(Column::type_);
        let means_own = statement.params().iter().chain(columns).any(|meant| is_of(schema, meant));
        Self { owns_types: self.owns_types || (means_own && stands(Guard::ForgetTypes)), ..self }
    }
}

/// Returns true for a type of this schema, and for one that is made of such a type.
fn is_of(schema: &str, meant: &Type) -> bool {
    meant.schema() == schema
        || match meant.kind() {
            Kind::Array(inner) | Kind::Range(inner) | Kind::Multirange(inner) | Kind::Domain(inner) => {
                is_of(schema, inner)
            }
            Kind::Composite(fields) => fields.iter().any(|field| is_of(schema, field.type_())),
            _ => false,
        }
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
        let keepers = self.keepers(owner);
        let keeper = keepers.into_iter().find(|keeper| self.keeps(*keeper, sql))?;
        let kept = self.known.get_mut(&keeper)?.get_mut(sql)?;
        kept.used_at = self.clock;
        Some(kept.statement.clone())
    }

    pub(super) fn knows(&self, owner: Owner, sql: &str) -> bool {
        self.keepers(owner).into_iter().any(|keeper| self.keeps(keeper, sql))
    }

    fn keeps(&self, keeper: Owner, sql: &str) -> bool {
        self.known.get(&keeper).is_some_and(|texts| texts.contains_key(sql))
    }

    /// The owners under which a statement of this one may be: its own, if it means types of the tenant, is first.
    fn keepers(&self, owner: Owner) -> [Owner; 2] {
        [Owner { owns_types: true, ..owner }, owner].map(|owner| self.keeper(owner))
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
