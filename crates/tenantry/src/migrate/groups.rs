//! Tenants that have applied the same need the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::PgConnection;
use tokio::sync::OnceCell;

use super::ledger;
use super::plan::{Applied, Change, Goal, Step, plan};
use crate::error::Result;
use crate::migration::digest_of;
use crate::tenant::{Digest, Tenant};

/// The files that tenants of one digest have applied, and the one transaction they need.
pub(super) struct Group<'a> {
    pub(super) rows: Vec<Applied>,
    pub(super) batch: Vec<Change<'a>>,
}

type Known<'a> = Arc<OnceCell<Option<Arc<Group<'a>>>>>;

/// For each digest that was met, what one of its tenants' ledgers says. There are as many as versions
/// in use, however many tenants there are.
pub(super) struct Groups<'a> {
    goal: Goal<'a>,
    by_digest: Mutex<HashMap<Digest, Known<'a>>>,
}

impl<'a> Groups<'a> {
    pub(super) fn of(goal: Goal<'a>) -> Self {
        Self { goal, by_digest: Mutex::default() }
    }

    /// The group of a tenant, whose ledger is read if it is the first of its digest. `None` if nothing is
    /// known of the tenant, or if it needs more than one transaction.
    pub(super) async fn find(
        &self,
        connection: &mut PgConnection,
        tenant: &Tenant,
    ) -> Result<Option<Arc<Group<'a>>>> {
        let Some(digest) = tenant.digest() else { return Ok(None) };
        let known = self.of_digest(*digest);
        let group = known.get_or_try_init(|| self.read(connection, tenant, digest)).await?;
        Ok(group.clone())
    }

    fn of_digest(&self, digest: Digest) -> Known<'a> {
        let mut by_digest = self.by_digest.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(by_digest.entry(digest).or_default())
    }

    async fn read(
        &self,
        connection: &mut PgConnection,
        tenant: &Tenant,
        digest: &Digest,
    ) -> Result<Option<Arc<Group<'a>>>> {
        let rows = ledger::read(connection, tenant.schema()).await?;
        let applied = digest_of(rows.iter().map(|row| (row.version, row.checksum.as_slice())));
        let Ok(plan) = plan(self.goal, &rows) else { return Ok(None) };
        let mut steps = plan.steps.into_iter();
        Ok(match (steps.next(), steps.next()) {
            (Some(Step::Batch(batch)), None) if applied == *digest => Some(Arc::new(Group { rows, batch })),
            _ => None,
        })
    }
}
