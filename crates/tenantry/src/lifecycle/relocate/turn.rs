//! One at a time works on a tenant's schema.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::find::find;
use crate::migrate::{SchemaLock, jittered};
use crate::observe::{Step, Steps};
use crate::provision::somebody_works_on;
use crate::registry::{TenantMove, moves};
use crate::tenant::{Alias, Tenant, TenantId};

/// The longest wait for a migration of the tenant, or whatever else works on its schema.
const PATIENCE: Duration = Duration::from_mins(10);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// The right to work on a tenant's schema where it is, for as long as the session lasts.
pub(super) struct Turn {
    pub(super) source: PgConnection,
    /// The tenant as it is since then.
    pub(super) tenant: Tenant,
    /// The record of a move that was interrupted.
    pub(super) under_way: Option<TenantMove>,
}

/// Takes the lock of the tenant's schema. Waits for a migration, and for all else but another move.
pub(super) async fn take_turn(
    context: &Context,
    registry: &mut PgConnection,
    id: TenantId,
    steps: &dyn Steps,
) -> Result<Turn> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tenant = find(registry, id).await?;
        let mut source = context.databases.unlimited_owner_connection(tenant.database()).await?;
        if SchemaLock::of(tenant.schema()).try_take(&mut source).await? {
            // Whoever had the lock may have moved it.
            let now = find(registry, id).await?;
            if now.database() == tenant.database() && now.schema() == tenant.schema() {
                let under_way = moves::under_way(&mut *registry, id).await?;
                return Ok(Turn { source, tenant: now, under_way });
            }
            continue;
        }
        let _ = source.close().await;
        if let Some(other) = moves::under_way(&mut *registry, id).await? {
            return Err(at_work(&tenant, &other));
        }
        if steps.is_cancelled() || Instant::now() > deadline {
            return Err(somebody_works_on(&tenant));
        }
        steps.step(Step::new("waiting for who works on its schema", 0, None));
        sleep(jittered(PAUSE)).await;
    }
}

fn at_work(tenant: &Tenant, other: &TenantMove) -> Error {
    let (slug, begun) = (tenant.slug(), other.begun_at.replace_nanosecond(0).unwrap_or(other.begun_at));
    let message = format!(
        "tenant `{slug}` is being moved to database `{}` by {}, since {begun}",
        other.target, other.operator
    );
    Error::new(ErrorKind::Conflict, message).with_tenant(slug).with_hint("wait for it, then try again")
}

/// A session in the database that the tenant goes to, which nobody else gets for this schema.
pub(super) async fn open_target(context: &Context, tenant: &Tenant, to: &Alias) -> Result<PgConnection> {
    let mut target = context.databases.unlimited_owner_connection(to).await?;
    SchemaLock::of(tenant.schema()).take(&mut target, tenant.schema()).await?;
    Ok(target)
}

/// A new session where the tenant was, with the lock: an earlier one has ended by then, and what it sent with it.
pub(super) async fn reopen_source(context: &Context, tenant: &Tenant) -> Result<PgConnection> {
    open_target(context, tenant, tenant.database()).await
}
