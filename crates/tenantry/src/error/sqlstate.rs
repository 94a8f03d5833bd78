//! The SQLSTATEs that this library acts on, by PostgreSQL's own names.

/// The statement cannot run on this session as it is: a cached plan became stale.
pub(crate) const FEATURE_NOT_SUPPORTED: &str = "0A000";
/// A message that is not understood where it arrives: what poolers answer to a start-up parameter.
pub(crate) const PROTOCOL_VIOLATION: &str = "08P01";
/// The server does not let the role in.
pub(crate) const INVALID_AUTHORIZATION: &str = "28000";
/// The password is wrong.
pub(crate) const INVALID_PASSWORD: &str = "28P01";
/// There is no such database.
pub(crate) const INVALID_CATALOG_NAME: &str = "3D000";
/// There is no such setting, type or role.
pub(super) const UNDEFINED_OBJECT: &str = "42704";
/// A division by zero, which a message of ours provokes where a condition does not hold.
pub(crate) const DIVISION_BY_ZERO: &str = "22012";
/// A setting or argument that the server does not accept.
pub(crate) const INVALID_PARAMETER_VALUE: &str = "22023";
/// The statement runs outside of a transaction only.
pub(crate) const ACTIVE_SQL_TRANSACTION: &str = "25001";
/// The transaction may not write, or the whole server may not.
pub(super) const READ_ONLY_SQL_TRANSACTION: &str = "25006";
/// A transaction was idle for longer than the server allows, which ends the session.
const IDLE_IN_TRANSACTION_SESSION_TIMEOUT: &str = "25P03";
/// A transaction took longer than the server allows, which ends the session.
const TRANSACTION_TIMEOUT: &str = "25P04";
/// The session has no prepared statement of this name.
pub(crate) const INVALID_SQL_STATEMENT_NAME: &str = "26000";
/// A procedure or a `DO` would end the transaction it is called in.
pub(crate) const INVALID_TRANSACTION_TERMINATION: &str = "2D000";
/// There is no such schema.
pub(crate) const INVALID_SCHEMA_NAME: &str = "3F000";
/// The transaction met one that was at work at the same time.
pub(crate) const SERIALIZATION_FAILURE: &str = "40001";
/// Each of several sessions waited for a lock that another of them held.
pub(crate) const DEADLOCK_DETECTED: &str = "40P01";
/// The role may not do this.
pub(crate) const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// There is no such column.
const UNDEFINED_COLUMN: &str = "42703";
/// There is no such function.
const UNDEFINED_FUNCTION: &str = "42883";
/// There is no such table.
pub(crate) const UNDEFINED_TABLE: &str = "42P01";
/// The server has no connection left.
pub(crate) const TOO_MANY_CONNECTIONS: &str = "53300";
/// A table has trigger events that its transaction has not run yet.
pub(crate) const OBJECT_IN_USE: &str = "55006";
/// A row would be there twice.
pub(crate) const UNIQUE_VIOLATION: &str = "23505";
/// A row would lead nowhere.
#[cfg(feature = "diesel-async")]
pub(super) const FOREIGN_KEY_VIOLATION: &str = "23503";
/// A row is led to, and may not go.
#[cfg(feature = "diesel-async")]
pub(super) const RESTRICT_VIOLATION: &str = "23001";
/// A row would lack a value.
#[cfg(feature = "diesel-async")]
pub(super) const NOT_NULL_VIOLATION: &str = "23502";
/// A row would break a rule.
#[cfg(feature = "diesel-async")]
pub(super) const CHECK_VIOLATION: &str = "23514";
/// A row would be in the way of another.
#[cfg(feature = "diesel-async")]
pub(super) const EXCLUSION_VIOLATION: &str = "23P01";
/// Others depend on what is to be dropped.
pub(crate) const DEPENDENT_OBJECTS_STILL_EXIST: &str = "2BP01";
/// The server has no room left: for another lock, for one.
pub(crate) const OUT_OF_MEMORY: &str = "53200";
/// Something that the server has no better number for.
pub(crate) const INTERNAL_ERROR: &str = "XX000";
/// A lock was not to be had in time.
pub(crate) const LOCK_NOT_AVAILABLE: &str = "55P03";
/// A value was added to an enum in the same transaction.
pub(crate) const UNSAFE_NEW_ENUM_VALUE_USAGE: &str = "55P04";

/// The transaction of a migration ended inside of its file: raised by `tenantry.file_ends`.
pub(crate) const TRANSACTION_ENDED: &str = "TY001";
/// A migration has left the session or its ledger in another state: raised by `tenantry.file_ends`.
pub(crate) const SESSION_CHANGED: &str = "TY002";
/// A migration has changed what is outside of its schema: raised by `tenantry.file_ends`.
pub(crate) const CHANGED_OUTSIDE: &str = "TY003";

/// The beginning of the codes of a connection that could not be made or was lost.
const CONNECTION_EXCEPTION: &str = "08";
/// The beginning of the codes of a session that somebody ends: a shutdown, an administrator.
const SHUTDOWN: &str = "57P0";

/// The beginnings of the codes of values that a statement or a table does not take: a wrong number of rows,
/// a value out of range, a broken constraint.
const OF_THE_VALUES: [&str; 3] = ["21", "22", "23"];

/// Returns true if the values are at fault, whatever the server is busy with.
pub(super) fn is_of_the_values(code: &str) -> bool {
    OF_THE_VALUES.iter().any(|class| code.starts_with(class))
}

/// Returns true if what a session asked for in its start-up message may be the reason.
pub(crate) fn is_about_parameters(code: &str) -> bool {
    matches!(code, PROTOCOL_VIOLATION | FEATURE_NOT_SUPPORTED | INVALID_PARAMETER_VALUE | UNDEFINED_OBJECT)
}

/// Returns true for what may go well a moment later, since others are in the way now.
pub(crate) fn is_in_the_way(code: &str) -> bool {
    matches!(code, SERIALIZATION_FAILURE | DEADLOCK_DETECTED | LOCK_NOT_AVAILABLE)
}

/// Returns true if the server is there and does not let this login in.
pub(super) fn refuses_login(code: &str) -> bool {
    matches!(code, INVALID_AUTHORIZATION | INVALID_PASSWORD | INVALID_CATALOG_NAME)
}

/// Returns true if a table or its schema is not there.
pub(crate) fn is_missing(code: &str) -> bool {
    matches!(code, UNDEFINED_TABLE | INVALID_SCHEMA_NAME)
}

/// Returns true for what a statement meets in a session whose schema is gone.
pub(crate) fn may_be_missing_schema(code: &str) -> bool {
    is_missing(code) || matches!(code, UNDEFINED_OBJECT | UNDEFINED_FUNCTION | INSUFFICIENT_PRIVILEGE)
}

/// Returns true for what a statement meets on a replica that has not yet replayed a migration or a grant.
pub(super) fn may_be_of_age(code: &str) -> bool {
    code == UNDEFINED_COLUMN || may_be_missing_schema(code)
}

/// Returns true for a statement that a replica has cancelled, because it was in the way of what is replayed.
pub(super) fn is_recovery_conflict(code: &str) -> bool {
    matches!(code, SERIALIZATION_FAILURE | DEADLOCK_DETECTED)
}

/// Returns true if the server ends the session together with this error.
pub(super) fn ends_connection(code: &str) -> bool {
    let is_ended = code.starts_with(SHUTDOWN) || code.starts_with(CONNECTION_EXCEPTION);
    is_ended
        || matches!(code, IDLE_IN_TRANSACTION_SESSION_TIMEOUT | TRANSACTION_TIMEOUT | TOO_MANY_CONNECTIONS)
}
