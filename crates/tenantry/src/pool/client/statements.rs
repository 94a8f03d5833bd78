//! The statements a connection has prepared.

use foldhash::{HashMap, HashMapExt as _};
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Column, Statement};

use super::call::Call;
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
    known: HashMap<Owner, HashMap<Box<str>, Vec<CachedStatement>>>,
    count: usize,
    capacity: usize,
    are_shared: bool,
    /// Counts uses.
    clock: u64,
}

/// A statement that was prepared for a text, with parameters of these types.
struct CachedStatement {
    types: Box<[Type]>,
    statement: Statement,
    used_at: u64,
}

impl StatementCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { known: HashMap::new(), count: 0, capacity, are_shared: false, clock: 0 }
    }

    pub(super) fn find(&mut self, owner: Owner, call: &Call<'_>) -> Option<Statement> {
        self.clock += 1;
        let clock = self.clock;
        let keepers = self.keepers(owner);
        keepers.into_iter().find_map(|keeper| {
            let kept = self.known.get_mut(&keeper)?.get_mut(call.sql)?;
            let kept = kept.iter_mut().find(|kept| *kept.types == *call.types)?;
            kept.used_at = clock;
            Some(kept.statement.clone())
        })
    }

    pub(super) fn knows(&self, owner: Owner, call: &Call<'_>) -> bool {
        self.keepers(owner).into_iter().any(|keeper| {
            let kept = self.known.get(&keeper).and_then(|texts| texts.get(call.sql));
            kept.is_some_and(|kept| kept.iter().any(|kept| *kept.types == *call.types))
        })
    }

    /// The owners under which a statement of this one may be: its own, if it means types of the tenant, is first.
    fn keepers(&self, owner: Owner) -> [Owner; 2] {
        [Owner { owns_types: true, ..owner }, owner].map(|owner| self.keeper(owner))
    }

    pub(super) fn keep(&mut self, owner: Owner, call: &Call<'_>, statement: Statement) {
        if self.capacity == 0 {
            return;
        }
        if self.count >= self.capacity && !self.are_shared {
            self.share();
        }
        while self.count >= self.capacity {
            self.drop_oldest();
        }
        let new = CachedStatement { types: call.types.into(), statement, used_at: self.clock };
        let kept = self.known.entry(self.keeper(owner)).or_default().entry(call.sql.into()).or_default();
        if let Some(kept) = kept.iter_mut().find(|kept| kept.types == new.types) {
            *kept = new;
        } else {
            kept.push(new);
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
        self.count = self.known.values().flat_map(HashMap::values).map(Vec::len).sum();
    }

    /// Looks at all of them, which costs less than the round trip that made it necessary.
    fn drop_oldest(&mut self) {
        let texts = self.known.iter().flat_map(|(owner, texts)| texts.iter().map(move |it| (owner, it)));
        let all = texts.flat_map(|(owner, (sql, kept))| kept.iter().map(move |it| (it.used_at, owner, sql)));
        let Some((used_at, owner, sql)) = all.min_by_key(|(used_at, ..)| *used_at) else { return };
        let (owner, sql) = (*owner, sql.clone());
        let Some(texts) = self.known.get_mut(&owner) else { return };
        if let Some(kept) = texts.get_mut(&sql) {
            let count = kept.len();
            kept.retain(|kept| kept.used_at != used_at);
            self.count -= count - kept.len();
            if kept.is_empty() {
                texts.remove(&sql);
            }
        }
        if texts.is_empty() {
            self.known.remove(&owner);
        }
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.count = 0;
    }
}
