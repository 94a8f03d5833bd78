//! Looks whether a tenant can be moved, and what that would cost it.

use sqlx::PgConnection;

use super::needs::{MoveNeeds, check_free, check_needs, check_open, check_status};
use super::online::check_online;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::find::find;
use crate::lifecycle::footprint::footprint;
use crate::lifecycle::source::{ReadFor, begin, whole_ledger};
use crate::provision::{NotOnCitus, refuse_on_citus};
use crate::tenant::{Alias, Tenant};

/// Bytes that a server copies in a second at least, with its indexes: less than was measured.
const BYTES_PER_SECOND: u64 = 40_000_000;
/// The time in milliseconds that a move takes besides: for locks, and for switching over.
const BESIDES_MS: u64 = 200;
/// The same for each table.
const PER_TABLE_MS: u64 = 5;

/// A move that might be made, and what it would cost.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct MovePlan {
    /// The tenant.
    pub tenant: Tenant,
    /// The database that it would go to.
    pub to: Alias,
    /// Its tables, that of its migrations among them.
    pub tables: u64,
    /// Its tables and indexes on disk, in bytes.
    pub size_bytes: u64,
    /// The time in milliseconds for which its checkouts would wait, roughly: that of the copy.
    pub stall_ms: u64,
    /// The time in milliseconds for which they would wait, roughly, if it is moved while others write, whatever its
    /// size.
    pub online_stall_ms: u64,
    /// The reason why it cannot be moved while others write, if it can be moved at all.
    pub online_refused: Option<MoveRefusal>,
    /// The reasons why it cannot be moved, if there are any. Nothing is made before all of them are looked for.
    pub refused: Vec<MoveRefusal>,
}

/// A reason why a tenant cannot be moved.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct MoveRefusal {
    /// The reason, as the error would have it.
    pub what: String,
    /// The advice, where there is one.
    pub hint: Option<String>,
}

impl MoveRefusal {
    fn of(error: &Error) -> Self {
        Self { what: error.to_string(), hint: error.hint().map(str::to_owned) }
    }
}

/// Looks as a move does, and makes nothing.
pub(crate) async fn examine_move(context: &Context, tenant: &Tenant, to: &Alias) -> Result<MovePlan> {
    let mut registry = context.databases.owner_connection(&Alias::default()).await?;
    let tenant = find(&mut registry, tenant.id()).await?;
    let room = footprint(context, &tenant).await?;
    let [tables, size_bytes] = [room.tables, room.size_bytes].map(i64::unsigned_abs);
    let (mut refused, mut online_refused) = (Vec::new(), None);
    if *tenant.database() != *to {
        refused.extend(refusals(context, &mut registry, &tenant, to).await?);
        online_refused = online_refusal(context, &tenant).await?;
    }
    let (stall_ms, online_stall_ms) = (stall(tables, size_bytes), stall(tables, 0) / 2);
    let to = to.clone();
    Ok(MovePlan { tenant, to, tables, size_bytes, stall_ms, online_stall_ms, online_refused, refused })
}

/// # Errors
/// Errors that are no refusals: a server that cannot be reached.
async fn refusals(
    context: &Context,
    registry: &mut PgConnection,
    tenant: &Tenant,
    to: &Alias,
) -> Result<Option<MoveRefusal>> {
    let mut target = context.databases.unlimited_owner_connection(to).await?;
    let mut source = context.databases.unlimited_owner_connection(tenant.database()).await?;
    let looked = async {
        check_status(tenant)?;
        check_open(context, registry, tenant, to).await?;
        refuse_on_citus(context, NotOnCitus::Move, &[tenant.database(), to]).await?;
        check_free(&mut target, tenant, to).await?;
        let statement = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut tx = begin(&mut source, context, tenant, ReadFor::Move, statement).await?;
        whole_ledger(&mut tx, tenant, ReadFor::Move).await?;
        let own_role = context.role.as_ref().map(|role| role.name_for(tenant.schema()));
        let needs = MoveNeeds::read(&mut tx, tenant.schema(), own_role.as_deref()).await?;
        tx.rollback().await?;
        check_needs(&mut target, tenant, to, &needs).await
    };
    match looked.await {
        Ok(()) => Ok(None),
        Err(error) if error.database_code().is_some() || error.is_retryable() => Err(error),
        Err(error) => Ok(Some(MoveRefusal::of(&error))),
    }
}

async fn online_refusal(context: &Context, tenant: &Tenant) -> Result<Option<MoveRefusal>> {
    let mut source = context.databases.unlimited_owner_connection(tenant.database()).await?;
    match check_online(&mut source, tenant).await {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Some(MoveRefusal::of(&error))),
        Err(error) => Err(error),
    }
}

fn stall(tables: u64, size_bytes: u64) -> u64 {
    BESIDES_MS + tables * PER_TABLE_MS + size_bytes * 1_000 / BYTES_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::stall;

    #[test]
    fn a_tenant_waits_for_its_bytes_and_a_little_for_each_table() {
        for (tables, size_bytes, milliseconds) in [(0, 0, 200), (20, 0, 300), (20, 100_000_000, 2_800)] {
            assert_eq!(stall(tables, size_bytes), milliseconds, "{tables} tables of {size_bytes} bytes");
        }
    }
}
