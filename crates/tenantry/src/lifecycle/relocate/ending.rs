//! The two ends of a move.

use std::time::Instant;

use sqlx::{Connection as _, PgConnection};

use super::kept::drop_unused_role;
use super::options::{Carried, Moved};
use super::work::Relocation;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::lifecycle::find::find;
use crate::migrate::{Dependents, drop_schema, empty_schema};
use crate::observe::Steps;
use crate::registry::{AuditState, MoveMethod, MoveStep, applied, audit, moves, with_applied};
use crate::tenant::{Alias, Tenant, Verb};

impl Relocation<'_> {
    /// Leads the registry to the target, now that nobody can write to the source. Repeating it after any interruption
    /// goes on.
    pub(super) async fn end(
        &self,
        registry: &mut PgConnection,
        target: &mut PgConnection,
        carried: Carried,
    ) -> Result<Moved> {
        if carried.gated_at.is_none() {
            // Of somebody who goes on, the gate may not be there.
            moves::gate(registry, self.tenant, &self.record.source).await?;
            moves::note(registry, self.record.id, MoveStep::Closed).await?;
        }
        let mut tx = registry.begin().await?;
        moves::flip(&mut tx, self.tenant, self.record).await?;
        if self.record.method == MoveMethod::Offline {
            self.enter_end(&mut tx).await?;
        }
        fail_point::reached(FailPoint::BeforeMoveFlip);
        tx.commit().await?;
        let stalled = carried.gated_at.map(|at: Instant| at.elapsed().as_millis()).unwrap_or_default();
        fail_point::reached(FailPoint::AfterMoveFlip);
        match self.record.method {
            MoveMethod::Offline => {
                // It is served by now, and does without.
                if let Err(error) = self.transfer().gather_statistics(target, None).await {
                    let slug = self.tenant.slug();
                    tracing::warn!(%error, tenant = %slug, "Moved a tenant without statistics of its rows: {error}");
                }
            }
            MoveMethod::Online => self.finish(registry, target).await?,
        }
        self.moved(registry, &carried, u64::try_from(stalled).unwrap_or(u64::MAX)).await
    }

    /// Sees to what is left in the source, for a tenant that is served by now, and ends the move.
    pub(super) async fn finish(&self, registry: &mut PgConnection, target: &mut PgConnection) -> Result<()> {
        let (slug, source) = (self.tenant.slug(), &self.record.source);
        self.finish_online(registry, target).await.map_err(|error| {
            error.with_hint(format!(
                "it is served in database `{}`; until `tenantry move {slug}` has gone on, a replication slot in \
                 database `{source}` keeps its log",
                self.record.target
            ))
        })?;
        fail_point::reached(FailPoint::BeforeMoveEnd);
        let mut tx = registry.begin().await?;
        self.enter_end(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    async fn enter_end(&self, tx: &mut PgConnection) -> Result<()> {
        moves::end_done(tx, self.record.id).await?;
        audit::end(tx, self.tenant.id(), Verb::Move, AuditState::Done).await
    }

    /// Says what a move that has ended came to.
    pub(super) async fn moved(
        &self,
        registry: &mut PgConnection,
        carried: &Carried,
        stalled_ms: u64,
    ) -> Result<Moved> {
        let now = find(registry, self.tenant.id()).await?;
        // What it has applied is noted where it is now.
        let complete = with_applied(&self.context.databases, vec![now.clone()]).await?.pop();
        Ok(Moved {
            tenant: complete.unwrap_or(now),
            from: Some(self.record.source.clone()),
            rows: carried.rows,
            stalled_ms,
            kept_schema: Some(self.record.kept_schema.clone()),
            notes: carried.notes.clone(),
        })
    }
}

/// Has the tenant served where it was, and removes what was made. The tenant comes first: it does not wait for a server
/// that is away.
pub(super) async fn undo(work: &Relocation<'_>, ending: AuditState) -> Result<()> {
    let mut registry = work.context.databases.owner_connection(&Alias::default()).await?;
    moves::ungate(&mut registry, work.record).await?;
    if work.record.method == MoveMethod::Online {
        let mut source = work.context.databases.unlimited_owner_connection(&work.record.source).await?;
        work.forget_changes(&mut registry, &mut source, work.tenant.schema()).await?;
    }
    let mut target = work.context.databases.unlimited_owner_connection(&work.record.target).await?;
    // Nobody who listens is to end this half-way.
    remove_copy(work.context, &mut target, work.arrived(), &()).await?;
    let mut tx = registry.begin().await?;
    moves::end_undone(&mut tx, work.record.id).await?;
    audit::end(&mut tx, work.tenant.id(), Verb::Move, ending).await?;
    Ok(tx.commit().await?)
}

/// Drops what a move has made of a tenant in the target. It is known by what was noted of it in the transaction that
/// made it.
pub(super) async fn remove_copy(
    context: &Context,
    target: &mut PgConnection,
    arrived: &Tenant,
    steps: &dyn Steps,
) -> Result<()> {
    let schema = arrived.schema();
    let find = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    let is_there: bool = sqlx::query_scalar(find).bind(schema.as_str()).fetch_one(&mut *target).await?;
    if is_there && !applied::is_there(target, schema).await? {
        let message = format!("schema `{schema}` of database `{}` is somebody else's", arrived.database());
        return Err(Error::new(ErrorKind::Conflict, message).with_tenant(arrived.slug()));
    }
    empty_schema(target, schema, Dependents::Refuse, steps).await?;
    let mut tx = target.begin().await?;
    drop_schema(&mut tx, schema).await?;
    drop_unused_role(&mut tx, context, schema).await?;
    Ok(tx.commit().await?)
}
