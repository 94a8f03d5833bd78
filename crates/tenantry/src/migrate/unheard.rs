//! Finds out what became of a tenant whose connection was lost before its answer came.

use std::time::Instant;

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::ledger;
use super::lock::SchemaLock;
use super::plan::Changed;
use super::run::FleetRun;
use crate::error::{ErrorKind, Result};
use crate::registry::diary::changed_since;
use crate::tenant::Tenant;

impl FleetRun<'_> {
    /// Works on a tenant. Where the connection is lost, a `COMMIT` may have been sent that nobody heard of, so another
    /// connection asks whether the tenant is where it was to be. Nothing is done again: somebody may have ended the
    /// session on purpose.
    pub(super) async fn work_on(
        &self,
        tenant: &Tenant,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<Changed>,
    ) -> Result<Changed> {
        let started = Instant::now();
        let mut is_open = false;
        let work = async |connection: &mut PgConnection| {
            is_open = true;
            unless_lost(work(connection).await)
        };
        match self.workers.with(tenant.database(), work).await.flatten() {
            Err(error) if is_open && error.kind() == ErrorKind::DatabaseUnavailable => {
                let found = self.found(tenant, started).await;
                found.ok().flatten().ok_or(error)
            }
            result => result,
        }
    }

    /// Reads what was done to a tenant since then; `None` where that did not bring it to its goal.
    async fn found(&self, tenant: &Tenant, since: Instant) -> Result<Option<Changed>> {
        let goal = self.goals.of_tenant(tenant)?.digest();
        let schema = tenant.schema();
        let look = async |connection: &mut PgConnection| {
            let now: OffsetDateTime =
                sqlx::query_scalar("SELECT pg_catalog.clock_timestamp()").fetch_one(&mut *connection).await?;
            let began = now - since.elapsed();
            let changed = changed_since(&mut *connection, &[schema.as_str()], began).await?;
            let Some(changed) = changed.into_iter().find(|changed| changed.digest == goal) else {
                return Ok(None);
            };
            let rows = ledger::history(connection, schema).await?;
            let applied = rows.iter().filter(|row| row.applied.success && row.began_at >= began);
            let applied = applied.map(|row| row.applied.version).collect();
            Ok(Some(Changed { applied, undone: changed.undone }))
        };
        let look = async |connection: &mut PgConnection| {
            // The server may not have noticed that the other one is gone, and that has the lock until then.
            SchemaLock::of(schema).hold(connection, schema, look).await
        };
        self.workers.with(tenant.database(), look).await
    }
}

/// Tells a migration that failed, and left its session as it was, from a connection that was lost.
fn unless_lost(result: Result<Changed>) -> Result<Result<Changed>> {
    match result {
        Err(error) if error.kind() == ErrorKind::DatabaseUnavailable => Err(error),
        result => Ok(result),
    }
}
