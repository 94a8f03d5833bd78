//! The kind of a transaction, in `SeaORM`'s words and in the pool's.

use sea_orm::AccessMode;

use crate::error::{Error, ErrorKind, Result};
use crate::pool::tx_options::{IsolationLevel, TxOptions};

/// The options of a transaction.
///
/// `READ WRITE` is the default, and not said to the server: whether a tenant may be written is decided elsewhere.
pub(super) fn options(isolation: Option<sea_orm::IsolationLevel>, access: Option<AccessMode>) -> TxOptions {
    let mut options = TxOptions::new();
    if let Some(level) = isolation {
        options = options.isolation(of_postgres(level));
    }
    if access == Some(AccessMode::ReadOnly) {
        options = options.read_only();
    }
    options
}

/// To PostgreSQL `READ UNCOMMITTED` is another word for `READ COMMITTED`.
fn of_postgres(level: sea_orm::IsolationLevel) -> IsolationLevel {
    match level {
        sea_orm::IsolationLevel::ReadUncommitted | sea_orm::IsolationLevel::ReadCommitted => {
            IsolationLevel::ReadCommitted
        }
        sea_orm::IsolationLevel::RepeatableRead => IsolationLevel::RepeatableRead,
        sea_orm::IsolationLevel::Serializable => IsolationLevel::Serializable,
    }
}

/// Refuses what only a transaction as a whole can be.
pub(super) fn refuse_of_nested(
    isolation: Option<sea_orm::IsolationLevel>,
    access: Option<AccessMode>,
) -> Result<()> {
    if isolation.is_none() && access != Some(AccessMode::ReadOnly) {
        return Ok(());
    }
    let message = "a transaction inside of another one is of the same kind as that";
    Err(Error::new(ErrorKind::Unsupported, message)
        .with_hint("begin the outermost transaction with these options"))
}

/// Refuses what is not there to write.
pub(super) fn refuse_writing(access: Option<AccessMode>) -> Result<()> {
    if access != Some(AccessMode::ReadWrite) {
        return Ok(());
    }
    let message = "a transaction that writes is asked of a handle that is there to read";
    Err(Error::new(ErrorKind::Unsupported, message)
        .with_hint("write on the handle that `tenancy.db(…)` gives"))
}

#[cfg(test)]
mod tests {
    use sea_orm::IsolationLevel as Level;

    use super::*;

    #[test]
    fn each_kind_is_the_one_that_postgresql_has() {
        let new = TxOptions::new;
        for (isolation, access, expect) in [
            (None, None, new()),
            (None, Some(AccessMode::ReadWrite), new()),
            (None, Some(AccessMode::ReadOnly), new().read_only()),
            (Some(Level::ReadUncommitted), None, new().isolation(IsolationLevel::ReadCommitted)),
            (Some(Level::ReadCommitted), None, new().isolation(IsolationLevel::ReadCommitted)),
            (Some(Level::RepeatableRead), None, new().isolation(IsolationLevel::RepeatableRead)),
            (
                Some(Level::Serializable),
                Some(AccessMode::ReadOnly),
                new().isolation(IsolationLevel::Serializable).read_only(),
            ),
        ] {
            assert_eq!(options(isolation, access), expect);
        }
    }

    #[test]
    fn only_the_outermost_transaction_is_of_a_kind() {
        for (isolation, access, is_refused) in [
            (None, None, false),
            (None, Some(AccessMode::ReadWrite), false),
            (None, Some(AccessMode::ReadOnly), true),
            (Some(Level::Serializable), None, true),
        ] {
            assert_eq!(refuse_of_nested(isolation, access).is_err(), is_refused);
        }
    }
}
