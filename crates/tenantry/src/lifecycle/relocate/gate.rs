//! Has checkouts wait, and what is under way end.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::work::Relocation;
use crate::error::Result;
use crate::lifecycle::drain::Quiet;
use crate::registry::{MoveStep, moves};

/// The longest wait for what is under way. Checkouts wait all that time, and give up earlier.
const LIMIT: Duration = Duration::from_secs(10);
/// The pause between two looks. An announcement takes a few milliseconds.
const PAUSE: Duration = Duration::from_millis(8);

impl Relocation<'_> {
    /// Has everybody wait who asks the registry from now on. Its triggers tell the caches of all processes.
    pub(super) async fn gate(&self, registry: &mut PgConnection) -> Result<()> {
        let mut tx = registry.begin().await?;
        moves::gate(&mut tx, self.tenant, &self.record.source).await?;
        moves::note(&mut tx, self.record.id, MoveStep::Fenced).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Waits for the tenant's transactions. Without that, they would fail when the schema gets another name.
    pub(super) async fn wait_for_quiet(&self, source: &mut PgConnection) -> Result<()> {
        let quiet = Quiet { only_writers: false, limit: LIMIT, pause: PAUSE };
        quiet.wait(self.context, self.tenant, source).await.map_err(|error| {
            error.with_hint("try again later, or end a session with `SELECT pg_terminate_backend(…)`")
        })
    }
}
