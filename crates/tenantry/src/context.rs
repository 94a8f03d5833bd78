use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::database::Layout;
use crate::migration::Migrations;
use crate::placement::Placement;
use crate::pool::{Databases, Role};
use crate::tenant::{Alias, Digest, ReservedSlugs};

/// The facts of one installation that all work on its schemas needs: migrating, provisioning, and what comes later.
pub(crate) struct Context {
    pub(crate) databases: Databases,
    pub(crate) layout: Arc<Layout>,
    pub(crate) migrations: Migrations,
    pub(crate) reserved: ReservedSlugs,
    /// The way in which tenants that name no database find one.
    pub(crate) placement: Placement,
    /// Set where every tenant has a role of its own.
    pub(crate) role: Option<Role>,
    /// The operator, for the audit.
    pub(crate) operator: String,
    /// The time for which a deleted tenant can come back.
    pub(crate) keep_deleted: Duration,
    /// The tenants that were found to have applied no other files than these.
    pub(crate) agreement: Agreement,
    /// Wakes the spare keeper.
    pub(crate) spares_taken: SparesTaken,
}

/// The databases in which a tenant was made of a spare since the keeper last looked.
#[derive(Debug, Default)]
pub(crate) struct SparesTaken {
    databases: Mutex<BTreeSet<Alias>>,
    wake: Notify,
}

impl SparesTaken {
    pub(crate) fn note(&self, database: &Alias) {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner).insert(database.clone());
        self.wake.notify_one();
    }

    /// Waits until there is one.
    pub(crate) async fn wait(&self) {
        self.wake.notified().await;
    }

    /// The databases, which the caller sees to.
    pub(crate) fn take(&self) -> BTreeSet<Alias> {
        std::mem::take(&mut *self.databases.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The time for which an agreement is believed.
const VALIDITY: Duration = Duration::from_secs(10);

/// The memory of what tenants were found to have applied: nothing that the files do not have.
#[derive(Debug, Default)]
pub(crate) struct Agreement(Mutex<Compared>);

#[derive(Debug, Default)]
struct Compared {
    checked_at: Option<Instant>,
    /// Digests of which no tenant has applied anything that the files do not have.
    agreeing: HashSet<Digest>,
}

impl Agreement {
    /// Returns true if the fleet was compared a moment ago.
    pub(crate) fn is_valid(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.checked_at.is_some_and(|at| at.elapsed() < VALIDITY)
    }

    pub(crate) fn knows(&self, digest: &Digest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).agreeing.contains(digest)
    }

    pub(crate) fn add(&self, digest: Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).agreeing.insert(digest);
    }

    pub(crate) fn confirm(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).checked_at = Some(Instant::now());
    }
}
