//! Moments at which a test lets the process die.
//!
//! With `TENANTRY_DIE_AT=<name>` in the environment of a test run, the process ends when it first comes to
//! the point of that name: nothing is cleaned up, no destructor runs, and the server learns of it from the
//! closed socket, as after `kill -9`. `TENANTRY_DIE_AFTER=2` lets it pass twice before. In any other build the points
//! do not exist.

/// A moment before or after something becomes permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "archive"), allow(dead_code, reason = "nobody writes or reads archives"))]
pub(crate) enum FailPoint {
    /// A tenant is made in one transaction, which is not committed yet.
    BeforeCreate,
    /// A tenant was made in one transaction.
    AfterCreate,
    /// A spare is made, and not committed yet.
    BeforeFill,
    /// A spare was made.
    AfterFill,
    /// A spare becomes a tenant, which is not committed yet.
    BeforeClaim,
    /// A spare became a tenant.
    AfterClaim,
    /// A run has the lock, and was not entered yet.
    BeforeRun,
    /// A run was entered.
    AfterRun,
    /// The files that share a transaction are about to be sent.
    BeforeMigrate,
    /// The files that share a transaction were committed.
    AfterMigrate,
    /// The ledger is about to be told of a file without a transaction.
    BeforeMark,
    /// The ledger was told of a file without a transaction, which has not run yet.
    AfterMark,
    /// A file without a transaction has run, and the ledger does not know it yet.
    BeforeFinish,
    /// The ledger knows that a file without a transaction has run.
    AfterFinish,
    /// A tenant is suspended, which is not committed yet.
    BeforeSuspend,
    /// A tenant was suspended.
    AfterSuspend,
    /// A tenant is resumed, which is not committed yet.
    BeforeResume,
    /// A tenant was resumed.
    AfterResume,
    /// The migrations were replayed in a scratch schema, of which a baseline is to be made.
    InScratch,
    /// A tenant is deleted, which is not committed yet.
    BeforeDelete,
    /// A tenant was deleted.
    AfterDelete,
    /// A tenant comes back, which is not committed yet.
    BeforeUndelete,
    /// A tenant came back.
    AfterUndelete,
    /// A purge begins, which is not committed yet.
    BeforePurge,
    /// A purge has begun, and all is still there.
    AfterPurge,
    /// Some objects of a schema are about to be dropped.
    BeforeBatch,
    /// Some objects of a schema were dropped.
    AfterBatch,
    /// The schema is dropped, which is not committed yet.
    BeforeDrop,
    /// The schema was dropped, and the registry still has its tenant.
    AfterDrop,
    /// The registry has forgotten the tenant, which is not committed yet.
    BeforeForget,
    /// The registry has forgotten the tenant.
    AfterForget,
    /// A tenant is renamed, which is not committed yet.
    BeforeRename,
    /// A tenant was renamed.
    AfterRename,
    /// A clone has its tables, and no rows.
    CloneBegun,
    /// A clone has its rows, and nothing behind them.
    CloneFilled,
    /// A clone is complete and was found to be like its source.
    CloneProven,
    /// A clone is entered in the registry, and not committed yet.
    BeforeClone,
    /// A clone was committed.
    AfterClone,
    /// The structure of a clone is kept, and the planner knows nothing of its rows.
    StructureKept,
    /// The registry has a tenant whose schema, in another database, is complete and not committed yet.
    RowEntered,
    /// The schema of a tenant, in another database, was committed, and it is not served yet.
    SchemaCommitted,
    /// A database that is imported has its tables here, and no rows.
    DatabaseTables,
    /// It has its rows, and nothing behind them.
    DatabaseRows,
    /// It is complete and was found to be like its source.
    DatabaseProven,
    /// It is entered as a tenant, which is not committed yet.
    BeforeDatabase,
    /// It became a tenant, and the planner knows nothing of its rows.
    AfterDatabase,
    /// An archive has its structure, and no rows.
    ExportBegun,
    /// An archive is whole, and nothing is noted of it.
    ExportWritten,
    /// An archive was noted, and is not in its place yet.
    AfterExport,
    /// A tenant has the tables of an archive, and no rows.
    ImportBegun,
    /// A tenant has the rows of an archive, and nothing behind them.
    ImportFilled,
    /// A tenant of an archive is entered in the registry, and not committed yet.
    BeforeImport,
    /// A tenant of an archive was committed, and may be at an older version than the files.
    AfterImport,
    /// A tenant of an archive is at the version of the files, and not served yet.
    ImportMigrated,
    /// A tenant is released, which is not committed yet.
    BeforeRelease,
    /// A tenant was released.
    AfterRelease,
    /// The ledger of a schema in another database was written, and the registry does not know the tenant yet.
    LedgerWritten,
    /// A tenant is made of a schema that was there, which is not committed yet.
    BeforeAdopt,
    /// A tenant was made of a schema that was there.
    AfterAdopt,
    /// A change of type begins, which is not committed yet.
    BeforeTypeChange,
    /// A change of type has begun, and nothing is changed.
    AfterTypeChange,
    /// The files of the former type are undone.
    TypeUndone,
    /// The ledger goes over to another type, which is not committed yet.
    BeforeLedgerMoves,
    /// The ledger went over to another type, and the registry does not know.
    LedgerMoved,
    /// The registry says the new type, whose files are missing.
    TypeSet,
    /// The files of the new type are applied.
    TypeFilled,
    /// A change of type ends, which is not committed yet.
    BeforeTypeEnds,
    /// A change of type has ended.
    AfterTypeEnds,
    /// A move is recorded, and nothing is made.
    MovePlanned,
    /// The tables are there at the new place, without rows.
    MoveMade,
    /// The source keeps the changes of a tenant that moves.
    MoveFollowed,
    /// Checkouts wait for the end of the move.
    MoveGated,
    /// The old place is locked against writers.
    MoveFenced,
    /// The rows arrived at the new place, and nothing behind them.
    MoveCopied,
    /// All changes of a tenant that moves are repeated.
    MoveDrained,
    /// The old place is closed, which is not committed yet.
    BeforeMoveClose,
    /// The old place is closed, and the registry still leads there.
    AfterMoveClose,
    /// The registry leads to the new place, which is not committed yet.
    BeforeMoveFlip,
    /// The registry leads to the new place.
    AfterMoveFlip,
    /// Nothing of a move is left, and the registry does not know.
    BeforeMoveEnd,
}

impl FailPoint {
    #[cfg(test)]
    pub(crate) const OF_CREATION: [Self; 6] = [
        Self::BeforeCreate,
        Self::AfterCreate,
        Self::BeforeFill,
        Self::AfterFill,
        Self::BeforeClaim,
        Self::AfterClaim,
    ];

    #[cfg(test)]
    pub(crate) const OF_MIGRATION: [Self; 8] = [
        Self::BeforeRun,
        Self::AfterRun,
        Self::BeforeMigrate,
        Self::AfterMigrate,
        Self::BeforeMark,
        Self::AfterMark,
        Self::BeforeFinish,
        Self::AfterFinish,
    ];

    /// The points at the boundaries of releasing, renaming, deleting, undeleting and purging.
    #[cfg(test)]
    pub(crate) const OF_LIFE: [Self; 16] = [
        Self::BeforeRelease,
        Self::AfterRelease,
        Self::BeforeRename,
        Self::AfterRename,
        Self::BeforeDelete,
        Self::AfterDelete,
        Self::BeforeUndelete,
        Self::AfterUndelete,
        Self::BeforePurge,
        Self::AfterPurge,
        Self::BeforeBatch,
        Self::AfterBatch,
        Self::BeforeDrop,
        Self::AfterDrop,
        Self::BeforeForget,
        Self::AfterForget,
    ];

    #[cfg(test)]
    pub(crate) const OF_ADOPTION: [Self; 5] =
        [Self::LedgerWritten, Self::BeforeAdopt, Self::AfterAdopt, Self::BeforeRelease, Self::AfterRelease];

    #[cfg(test)]
    pub(crate) const OF_TYPE_CHANGE: [Self; 9] = [
        Self::BeforeTypeChange,
        Self::AfterTypeChange,
        Self::TypeUndone,
        Self::BeforeLedgerMoves,
        Self::LedgerMoved,
        Self::TypeSet,
        Self::TypeFilled,
        Self::BeforeTypeEnds,
        Self::AfterTypeEnds,
    ];

    #[cfg(test)]
    pub(crate) const OF_MOVE: [Self; 9] = [
        Self::MovePlanned,
        Self::MoveMade,
        Self::MoveGated,
        Self::MoveFenced,
        Self::MoveCopied,
        Self::BeforeMoveClose,
        Self::AfterMoveClose,
        Self::BeforeMoveFlip,
        Self::AfterMoveFlip,
    ];

    /// The points of a move during which others write.
    #[cfg(test)]
    pub(crate) const OF_ONLINE_MOVE: [Self; 12] = [
        Self::MovePlanned,
        Self::MoveMade,
        Self::MoveFollowed,
        Self::MoveCopied,
        Self::MoveGated,
        Self::MoveFenced,
        Self::MoveDrained,
        Self::BeforeMoveClose,
        Self::AfterMoveClose,
        Self::BeforeMoveFlip,
        Self::AfterMoveFlip,
        Self::BeforeMoveEnd,
    ];

    #[cfg(test)]
    pub(crate) const OF_SUSPENSION: [Self; 4] =
        [Self::BeforeSuspend, Self::AfterSuspend, Self::BeforeResume, Self::AfterResume];

    #[cfg(test)]
    pub(crate) const OF_CLONE: [Self; 6] = [
        Self::CloneBegun,
        Self::CloneFilled,
        Self::CloneProven,
        Self::BeforeClone,
        Self::AfterClone,
        Self::StructureKept,
    ];

    /// The points of a copy into another database.
    #[cfg(test)]
    pub(crate) const OF_CLONE_ELSEWHERE: [Self; 8] = [
        Self::CloneBegun,
        Self::CloneFilled,
        Self::CloneProven,
        Self::BeforeClone,
        Self::RowEntered,
        Self::SchemaCommitted,
        Self::AfterClone,
        Self::StructureKept,
    ];

    #[cfg(all(test, feature = "archive"))]
    pub(crate) const OF_EXPORT: [Self; 3] = [Self::ExportBegun, Self::ExportWritten, Self::AfterExport];

    #[cfg(all(test, feature = "archive"))]
    pub(crate) const OF_IMPORT: [Self; 5] =
        [Self::ImportBegun, Self::ImportFilled, Self::BeforeImport, Self::AfterImport, Self::ImportMigrated];

    #[cfg(test)]
    pub(crate) const OF_DATABASE: [Self; 5] = [
        Self::DatabaseTables,
        Self::DatabaseRows,
        Self::DatabaseProven,
        Self::BeforeDatabase,
        Self::AfterDatabase,
    ];

    #[cfg(test)]
    #[allow(clippy::too_many_lines, reason = "a list, not a list of steps")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BeforeCreate => "before-create",
            Self::AfterCreate => "after-create",
            Self::BeforeFill => "before-fill",
            Self::AfterFill => "after-fill",
            Self::BeforeClaim => "before-claim",
            Self::AfterClaim => "after-claim",
            Self::BeforeRun => "before-run",
            Self::AfterRun => "after-run",
            Self::BeforeMigrate => "before-migrate",
            Self::AfterMigrate => "after-migrate",
            Self::BeforeMark => "before-mark",
            Self::AfterMark => "after-mark",
            Self::BeforeFinish => "before-finish",
            Self::AfterFinish => "after-finish",
            Self::BeforeSuspend => "before-suspend",
            Self::AfterSuspend => "after-suspend",
            Self::BeforeResume => "before-resume",
            Self::AfterResume => "after-resume",
            Self::InScratch => "in-scratch",
            Self::BeforeDelete => "before-delete",
            Self::AfterDelete => "after-delete",
            Self::BeforeUndelete => "before-undelete",
            Self::AfterUndelete => "after-undelete",
            Self::BeforePurge => "before-purge",
            Self::AfterPurge => "after-purge",
            Self::BeforeBatch => "before-batch",
            Self::AfterBatch => "after-batch",
            Self::BeforeDrop => "before-drop",
            Self::AfterDrop => "after-drop",
            Self::BeforeForget => "before-forget",
            Self::AfterForget => "after-forget",
            Self::BeforeRename => "before-rename",
            Self::AfterRename => "after-rename",
            Self::CloneBegun => "clone-begun",
            Self::CloneFilled => "clone-filled",
            Self::CloneProven => "clone-proven",
            Self::BeforeClone => "before-clone",
            Self::AfterClone => "after-clone",
            Self::StructureKept => "structure-kept",
            Self::RowEntered => "row-entered",
            Self::SchemaCommitted => "schema-committed",
            Self::DatabaseTables => "database-tables",
            Self::DatabaseRows => "database-rows",
            Self::DatabaseProven => "database-proven",
            Self::BeforeDatabase => "before-database",
            Self::AfterDatabase => "after-database",
            Self::ExportBegun => "export-begun",
            Self::ExportWritten => "export-written",
            Self::AfterExport => "after-export",
            Self::ImportBegun => "import-begun",
            Self::ImportFilled => "import-filled",
            Self::BeforeImport => "before-import",
            Self::AfterImport => "after-import",
            Self::ImportMigrated => "import-migrated",
            Self::BeforeRelease => "before-release",
            Self::AfterRelease => "after-release",
            Self::LedgerWritten => "ledger-written",
            Self::BeforeAdopt => "before-adopt",
            Self::AfterAdopt => "after-adopt",
            Self::BeforeTypeChange => "before-type-change",
            Self::AfterTypeChange => "after-type-change",
            Self::TypeUndone => "type-undone",
            Self::BeforeLedgerMoves => "before-ledger-moves",
            Self::LedgerMoved => "ledger-moved",
            Self::TypeSet => "type-set",
            Self::TypeFilled => "type-filled",
            Self::BeforeTypeEnds => "before-type-ends",
            Self::AfterTypeEnds => "after-type-ends",
            Self::MovePlanned => "move-planned",
            Self::MoveMade => "move-made",
            Self::MoveFollowed => "move-followed",
            Self::MoveDrained => "move-drained",
            Self::BeforeMoveEnd => "before-move-end",
            Self::MoveGated => "move-gated",
            Self::MoveFenced => "move-fenced",
            Self::MoveCopied => "move-copied",
            Self::BeforeMoveClose => "before-move-close",
            Self::AfterMoveClose => "after-move-close",
            Self::BeforeMoveFlip => "before-move-flip",
            Self::AfterMoveFlip => "after-move-flip",
        }
    }
}

/// Ends the process if the environment names this point.
#[cfg(test)]
pub(crate) fn reached(point: FailPoint) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static DIES_AT: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("TENANTRY_DIE_AT").ok());
    static PASSES: LazyLock<AtomicU32> = LazyLock::new(|| {
        let passes = std::env::var("TENANTRY_DIE_AFTER").ok();
        AtomicU32::new(passes.and_then(|passes| passes.parse().ok()).unwrap_or_default())
    });
    if DIES_AT.as_deref() != Some(point.name()) {
        return;
    }
    let passes = PASSES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |passes| passes.checked_sub(1));
    if passes.is_err() {
        std::process::abort();
    }
}

/// Ends the process if a test names this point; otherwise there is nothing.
#[cfg(not(test))]
pub(crate) const fn reached(_point: FailPoint) {}
