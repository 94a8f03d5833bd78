//! The guards of the invariants, each with a switch that leaves it out.
//!
//! A test that cannot fail proves nothing. With `TENANTRY_LEAVE_OUT=<name>` in the environment of a
//! test run, the guard of that name is not there, and the test of its invariant has to fail; the
//! gate checks that it does. In any other build the switch does not exist.

/// A guard that a test run can leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The server's answer to a switch is compared with the schema that was asked for.
    Verification,
    /// Nothing may be created behind the tenant's schema in the `search_path`.
    Void,
    /// A touched connection is cleaned before anybody else sees it.
    Hygiene,
    /// A statement's text decides whether it touches the session.
    Classification,
    /// A connection whose state is in doubt is closed.
    DoubtfulClosed,
    /// A connection whose last answer was drained is cleaned and verified.
    DrainVerified,
    /// A connection is marked busy before the first byte is sent.
    BusyFlag,
    /// Statements are tagged with what their tenant has applied.
    Tag,
    /// The statement cache is emptied between schemas that own types.
    ForgetTypes,
    /// A changed epoch closes a tenant's warm connections.
    Epoch,
    /// The ledger row is written before the migration.
    LedgerFirst,
    /// A tenant's transaction looks whether its run was taken over.
    RunToken,
    /// A spare with a function that names its own schema is not kept.
    OwnName,
    /// What `lastval()` would say is discarded on a switch.
    Sequences,
    /// A statement whose cached plan is stale is sent again.
    SecondAttempt,
    /// What comes back to a closed pool is closed.
    ClosedPool,
    /// What a switch sends ahead of a statement fails, if it is not confirmed.
    #[cfg(feature = "tokio-postgres")]
    SwitchAhead,
    /// A switch is sent ahead of a statement only on a session in the void.
    #[cfg(feature = "tokio-postgres")]
    VoidFirst,
    /// A statement on a handle that holds its own pool's last connection names that as the cause.
    SelfDeadlock,
    /// Behind a pooler, a statement and what prepares the session for it are one transaction.
    PoolerTransaction,
    /// Behind a pooler, what a transaction leaves in the session is removed before it ends.
    PoolerHygiene,
}

impl Guard {
    #[cfg(test)]
    fn name(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::Void => "void",
            Self::Hygiene => "hygiene",
            Self::Classification => "classification",
            Self::DoubtfulClosed => "doubtful-closed",
            Self::DrainVerified => "drain-verified",
            Self::BusyFlag => "busy-flag",
            Self::Tag => "tag",
            Self::ForgetTypes => "forget-types",
            Self::Epoch => "epoch",
            Self::LedgerFirst => "ledger-first",
            Self::RunToken => "run-token",
            Self::OwnName => "own-name",
            Self::Sequences => "sequences",
            Self::SecondAttempt => "second-attempt",
            Self::ClosedPool => "closed-pool",
            #[cfg(feature = "tokio-postgres")]
            Self::SwitchAhead => "switch-ahead",
            #[cfg(feature = "tokio-postgres")]
            Self::VoidFirst => "void-first",
            Self::SelfDeadlock => "self-deadlock",
            Self::PoolerTransaction => "pooler-transaction",
            Self::PoolerHygiene => "pooler-hygiene",
        }
    }
}

/// Returns true if the guard does its work: always, unless a test run leaves it out.
#[cfg(test)]
pub(crate) fn stands(guard: Guard) -> bool {
    use std::sync::LazyLock;
    static LEFT_OUT: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("TENANTRY_LEAVE_OUT").ok());
    LEFT_OUT.as_deref() != Some(guard.name())
}

/// Returns true if the guard does its work, which it always does outside of tests.
#[cfg(not(test))]
pub(crate) const fn stands(_guard: Guard) -> bool {
    true
}
