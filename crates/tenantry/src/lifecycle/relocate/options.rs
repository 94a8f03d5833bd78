use std::time::Instant;

use crate::database::Period;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::{MoveMethod, TenantMove};
use crate::tenant::{Alias, SchemaName, Tenant};

/// The order to move a tenant.
///
/// ```
/// use tenantry::MoveOptions;
/// use tenantry::database::Period;
/// use tenantry::tenant::Alias;
///
/// let order = MoveOptions::to(Alias::parse("eu")?).keep(Period::days(7));
/// # let _ = order;
/// # Ok::<(), tenantry::tenant::InvalidAlias>(())
/// ```
#[derive(Clone, Debug)]
pub struct MoveOptions {
    target: Option<Alias>,
    pub(super) method: MoveMethod,
    pub(super) keep: Period,
}

impl MoveOptions {
    /// Moves the tenant to this database, or goes on with a move to it that was interrupted.
    pub fn to(target: Alias) -> Self {
        Self { target: Some(target), ..Self::resume() }
    }

    /// Goes on with a move that was interrupted, wherever it leads.
    pub fn resume() -> Self {
        Self { target: None, method: MoveMethod::Offline, keep: Period::days(1) }
    }

    /// Repeats changes while others write, so that checkouts wait for the last of them only.
    ///
    /// The server that the tenant leaves needs `wal_level = logical` and a free replication slot, and the owner of the
    /// tables the attribute `REPLICATION` and `CREATE` on the database. A table without a primary key has `REPLICA
    /// IDENTITY FULL` meanwhile.
    #[must_use]
    pub fn online(self) -> Self {
        Self { method: MoveMethod::Online, ..self }
    }

    /// Keeps the copy in the database that the tenant leaves for this long, hidden. A move that goes on keeps what it
    /// began with. Default: one day.
    #[must_use]
    pub fn keep(self, keep: Period) -> Self {
        Self { keep, ..self }
    }

    /// The database that the tenant goes to.
    pub(super) fn target_of(&self, tenant: &Tenant, under_way: Option<&TenantMove>) -> Result<Alias> {
        let slug = tenant.slug();
        match (&self.target, under_way) {
            (Some(target), None) => Ok(target.clone()),
            (None, Some(record)) => Ok(record.target.clone()),
            (Some(target), Some(record)) if *target == record.target && self.method == record.method => {
                Ok(target.clone())
            }
            (Some(_), Some(record)) => {
                let message = format!(
                    "an {} move of tenant `{slug}` to database `{}` has not ended",
                    record.method.as_str(),
                    record.target
                );
                Err(Error::new(ErrorKind::Conflict, message).with_tenant(slug).with_hint(format!(
                    "`tenantry move {slug}` goes on with it, `tenantry move {slug} --abort` undoes it"
                )))
            }
            (None, None) => {
                let message = format!("tenant `{slug}` is not being moved");
                Err(Error::new(ErrorKind::InvalidInput, message)
                    .with_tenant(slug)
                    .with_hint("say where it is to go: `--to ALIAS`"))
            }
        }
    }
}

/// A tenant that was moved.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Moved {
    /// The tenant, which is served where it is now.
    pub tenant: Tenant,
    /// The database that it left; `None` if it was where it should be.
    pub from: Option<Alias>,
    /// The rows that were copied, without those of the ledger; 0 if an earlier call had copied them.
    pub rows: u64,
    /// The time in milliseconds for which checkouts waited for this call.
    pub stalled_ms: u64,
    /// The name that its schema has in the database that it left, until it is purged.
    pub kept_schema: Option<SchemaName>,
    /// Things that the new schema is without: indexes that are not valid, publications.
    pub notes: Vec<String>,
}

impl Moved {
    /// The answer for a tenant that is there already.
    pub(super) fn none(tenant: Tenant) -> Self {
        Self { tenant, from: None, rows: 0, stalled_ms: 0, kept_schema: None, notes: Vec::new() }
    }
}

/// The part of a move that is done once the source is closed.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) rows: u64,
    /// The moment from which on checkouts waited.
    pub(super) gated_at: Option<Instant>,
    pub(super) notes: Vec<String>,
}
