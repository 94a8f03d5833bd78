//! Tenants that have applied the same need the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgConnection;
use tokio::sync::OnceCell;

use super::goals::Goals;
use super::ledger;
use super::limits::LONGEST_HOLD;
use super::plan::{Applied, Change, Step, plan};
use crate::error::Result;
use crate::migration::{FileReach, digest_of};
use crate::tenant::{Digest, Tenant, TypeName};

/// The most tenants in one transaction.
const MOST: u64 = 8;

/// The files that tenants of one type and digest have applied, and the one transaction they need.
pub(super) struct Group<'a> {
    pub(super) rows: Vec<Applied>,
    pub(super) batch: Vec<Change<'a>>,
    /// The time that the last tenant took, in microseconds. Zero as long as none has.
    pace: AtomicU64,
}

impl Group<'_> {
    /// Notes how long so many tenants took.
    pub(super) fn note_pace(&self, elapsed: Duration, tenants: usize) {
        let each = elapsed.as_micros() / tenants.max(1) as u128;
        self.pace.store(u64::try_from(each).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// The number of tenants that one transaction may change: as many as are quick enough together, if the files
    /// change columns and nothing else. What else a file did could not be told from what it did for the others.
    fn together(&self) -> usize {
        let is_light = |change: &Change<'_>| {
            let script = change.script();
            matches!(script.reach(), FileReach::OwnTables(_))
                && !script.may_change_types()
                && !script.may_reach_outside()
        };
        let hold = u64::try_from(LONGEST_HOLD.as_micros()).unwrap_or(u64::MAX);
        match self.pace.load(Ordering::Relaxed) {
            0 => 1,
            _ if !self.batch.iter().all(is_light) => 1,
            pace => usize::try_from((hold / pace).clamp(1, MOST)).unwrap_or(1),
        }
    }
}

type Known<'a> = Arc<OnceCell<Option<Arc<Group<'a>>>>>;

/// For each type and digest that were met, what one of its tenants' ledgers says. There are as many as versions
/// in use, however many tenants there are.
pub(super) struct Groups<'a> {
    goals: Goals<'a>,
    known: Mutex<HashMap<(Option<TypeName>, Digest), Known<'a>>>,
}

impl<'a> Groups<'a> {
    pub(super) fn of(goals: Goals<'a>) -> Self {
        Self { goals, known: Mutex::default() }
    }

    /// The number of tenants like this one that one transaction may change, by what is known by now.
    pub(super) fn together(&self, tenant: &Tenant) -> usize {
        let known = tenant.digest().map(|digest| self.of_those_like(tenant, *digest));
        let group = known.and_then(|known| known.get().cloned().flatten());
        group.map_or(1, |group| group.together())
    }

    /// The group of a tenant, whose ledger is read if it is the first of its digest. `None` if nothing is
    /// known of the tenant, or if it needs more than one transaction.
    pub(super) async fn find(
        &self,
        connection: &mut PgConnection,
        tenant: &Tenant,
    ) -> Result<Option<Arc<Group<'a>>>> {
        let Some(digest) = tenant.digest() else { return Ok(None) };
        let known = self.of_those_like(tenant, *digest);
        let group = known.get_or_try_init(|| self.read(connection, tenant, digest)).await?;
        Ok(group.clone())
    }

    fn of_those_like(&self, tenant: &Tenant, digest: Digest) -> Known<'a> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry((tenant.type_name().cloned(), digest)).or_default())
    }

    async fn read(
        &self,
        connection: &mut PgConnection,
        tenant: &Tenant,
        digest: &Digest,
    ) -> Result<Option<Arc<Group<'a>>>> {
        let rows = ledger::read(connection, tenant.schema()).await?;
        let applied = digest_of(rows.iter().map(|row| (row.version, row.checksum.as_slice())));
        let Ok(plan) = plan(self.goals.of_tenant(tenant)?, &rows) else { return Ok(None) };
        let mut steps = plan.steps.into_iter();
        Ok(match (steps.next(), steps.next()) {
            (Some(Step::Batch(batch)), None) if applied == *digest => {
                Some(Arc::new(Group { rows, batch, pace: AtomicU64::new(0) }))
            }
            _ => None,
        })
    }
}
