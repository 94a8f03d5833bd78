//! The parts of a handle that reads, which its clones share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::set::Replicas;
use crate::database::WithoutReplica;
use crate::pool::access::{Access, Settings};
use crate::pool::commit_token::CommitToken;
use crate::pool::grant::Grant;
use crate::pool::shared::Pool;
use crate::pool::standing::Surroundings;
use crate::pool::wal_position::WalPosition;
use crate::tenant::Tenant;

/// The ways of one tenant to its replicas, and to its primary.
pub(super) struct Reader {
    pub(super) tenant: Tenant,
    surroundings: Surroundings,
    settings: Settings,
    pub(super) replicas: Arc<Replicas>,
    primary: Pool,
    /// Made when they are needed: those of the replicas, then that of the primary.
    accesses: Box<[OnceLock<Access>]>,
}

impl Reader {
    pub(super) fn new(
        tenant: Tenant,
        replicas: Arc<Replicas>,
        primary: Pool,
        surroundings: Surroundings,
        settings: Settings,
    ) -> Self {
        let accesses = (0..=replicas.members().len()).map(|_| OnceLock::new()).collect();
        Self { tenant, surroundings, settings, replicas, primary, accesses }
    }

    /// The same with one more setting of the session.
    pub(super) fn with_setting(&self, name: &str, value: &str) -> crate::error::Result<Self> {
        // Refused now, not at each checkout.
        let _ = self.primary().with_setting(name, value)?;
        let mut settings = self.settings.clone();
        settings.retain(|(known, _)| known != name);
        settings.push((name.to_owned(), value.to_owned()));
        let (tenant, replicas) = (self.tenant.clone(), Arc::clone(&self.replicas));
        Ok(Self::new(tenant, replicas, self.primary.clone(), self.surroundings.clone(), settings))
    }

    /// The way to a replica.
    pub(super) fn replica(&self, index: usize) -> &Access {
        self.accesses[index].get_or_init(|| {
            let pool = self.replicas.members()[index].pool.clone();
            self.access(pool, Grant::ReadStandby)
        })
    }

    /// The way to the primary.
    pub(super) fn primary(&self) -> &Access {
        let last = &self.accesses[self.replicas.members().len()];
        last.get_or_init(|| self.access(self.primary.clone(), Grant::Read))
    }

    fn access(&self, pool: Pool, grant: Grant) -> Access {
        Access::to_read(pool, grant, self.settings.clone(), &self.tenant, self.surroundings.clone())
    }

    /// Returns true if the primary answers what no replica can. Where there are none, it answers all.
    pub(super) fn may_ask_primary(&self) -> bool {
        self.replicas.members().is_empty() || self.replicas.config().without == WithoutReplica::Primary
    }
}

/// The moment that a handle reads nothing older than.
pub(super) struct After {
    pub(super) position: WalPosition,
    /// It is of the database that the tenant lives in.
    pub(super) is_comparable: bool,
    /// Somebody has waited in vain; nobody does again.
    has_waited: AtomicBool,
}

impl After {
    pub(super) fn new(token: &CommitToken, tenant: &Tenant) -> Self {
        let is_comparable = token.database() == tenant.database();
        Self { position: token.position(), is_comparable, has_waited: AtomicBool::new(false) }
    }

    /// The time to wait for a replica.
    pub(super) fn patience(&self, limit: Duration) -> Duration {
        if self.has_waited.load(Ordering::Relaxed) { Duration::ZERO } else { limit }
    }

    pub(super) fn give_up(&self) {
        self.has_waited.store(true, Ordering::Relaxed);
    }
}
