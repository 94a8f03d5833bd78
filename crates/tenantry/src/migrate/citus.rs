//! Differences on Citus, where the tables of a tenant are on a worker and the coordinator keeps their shells.
//!
//! A schema is made plain, filled, and distributed as a whole at the end (`distribution`): until then nothing differs.
//! From then on, each statement is a message of its own, because a worker does not take several in one. The ledger and
//! the coordinator are asked apart, or the worker would answer for both. And a commit waits for the disk, or a
//! coordinator that dies has forgotten what its worker has done.

use super::limits::Limits;
use crate::guard::{Guard, stands};

/// Waits for the disk, whatever the session was told.
const SYNCHRONOUS: &str = "SET LOCAL synchronous_commit TO on";

/// The limits of a transaction, on the coordinator and on the worker that it goes on to.
pub(super) fn limits(limits: Option<Limits>) -> Vec<String> {
    let mut statements = synchronous();
    if let Some(limits) = limits {
        // Nothing else is passed on: the worker has no use for the path.
        statements.push("SET LOCAL citus.propagate_set_commands TO 'local'".to_owned());
        statements.extend(limits.timeouts());
        statements.push("SET LOCAL citus.propagate_set_commands TO 'none'".to_owned());
    }
    statements
}

/// The statement before a schema is made, which says that it is to be plain, whatever the database says.
pub(super) fn before_schema() -> Vec<String> {
    vec!["SET LOCAL citus.enable_schema_based_sharding TO off".to_owned()]
}

/// Has the commit wait for the disk.
pub(super) fn synchronous() -> Vec<String> {
    if stands(Guard::CitusCommit) { vec![SYNCHRONOUS.to_owned()] } else { Vec::new() }
}
