//! The question whether a tenant is still what a handle takes it for.
//!
//! Handles are kept: by a worker, by a WebSocket. Meanwhile the tenant may be suspended, renamed or migrated.
//! So a handle asks at its checkouts, those who know the tenants answer from memory, and mostly it need not
//! even ask.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use crate::error::Result;
use crate::guard::{Guard, stands};
use crate::tenant::{Digest, Status, Tenant};

/// The longest that an answer is believed without asking for it again: it is as old as the memory that it
/// came from already.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

/// The pause between two looks at a tenant that is being moved. Those who wait in one process share a question.
const MOVE_PAUSE: Duration = Duration::from_millis(10);

/// The source of what is known of the tenants.
pub(crate) trait Standing: Send + Sync + 'static {
    /// A number that grows with every change of which they hear.
    fn changes(&self) -> u64;

    /// The tenant as it is now, mostly from memory.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTenant`](crate::ErrorKind::UnknownTenant) if it is gone.
    fn look_up<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Tenant>>;
}

/// The context of a tenant's handle.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) standing: Arc<dyn Standing>,
    /// The digest of those who are where the fleet is.
    pub(crate) fleet: Digest,
    /// Until this time, a suspended tenant is served as well.
    pub(crate) bypass_until: Option<OffsetDateTime>,
}

impl Surroundings {
    /// The tenant as it is now. While it is on its way to another database, this waits for the end of the move, but no
    /// longer than the limit. Nothing is held meanwhile.
    pub(super) async fn settled(&self, tenant: &Tenant, limit: Duration) -> Result<Tenant> {
        let mut now = self.standing.look_up(tenant).await?;
        let deadline = Instant::now() + limit;
        while now.status() == Status::Moving && Instant::now() < deadline && stands(Guard::MoveWait) {
            sleep(MOVE_PAUSE).await;
            now = self.standing.look_up(tenant).await?;
        }
        Ok(now)
    }

    /// Refuses a tenant that is not served.
    pub(super) fn check_served(&self, tenant: &Tenant) -> Result<()> {
        let bypasses = tenant.status() == Status::Suspended
            && self.bypass_until.is_some_and(|until| OffsetDateTime::now_utc() < until);
        if bypasses { Ok(()) } else { Ok(tenant.check_served()?) }
    }
}

/// The moment at which a tenant was what it was taken for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    changes: u64,
    at: Instant,
}

impl Seen {
    pub(super) fn now(changes: u64) -> Self {
        Self { changes, at: Instant::now() }
    }

    /// Returns true if nothing can have changed since then, as far as anybody heard.
    pub(super) fn is_believed(self, changes: u64) -> bool {
        self.changes == changes && self.at.elapsed() < BELIEVED_FOR
    }
}
