use std::collections::HashMap;

use super::set::{Migration, MigrationSet};

/// One row of a schema's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) version: i64,
    pub(crate) checksum: Vec<u8>,
    /// `false` while a migration without transaction runs, and after it was interrupted.
    pub(crate) success: bool,
}

/// What has to be done to bring one schema up to date.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) steps: Vec<Step<'a>>,
}

/// What is run at once.
#[derive(Clone, Debug)]
pub(crate) enum Step<'a> {
    /// Consecutive migrations that share one transaction; never empty.
    Batch(Vec<&'a Migration>),
    /// A migration that runs outside of a transaction.
    Alone(&'a Migration),
}

/// Where a ledger and the files contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Conflict {
    #[error("`{file}` was changed after it had been applied")]
    Changed { version: i64, file: String },
    #[error("version {version} was applied, but there is no file for it")]
    Missing { version: i64 },
    #[error("`{file}` was interrupted")]
    Interrupted { version: i64, file: String },
}

impl Conflict {
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "restore the file, and put the change into a new migration",
            Self::Missing { .. } => "restore the file, or deploy the release that has it",
            Self::Interrupted { .. } => {
                "find out how far it came: undo that or finish it by hand, then migrate again"
            }
        }
    }
}

/// Compares the files with what one schema has applied.
///
/// A pending version below the newest applied one is planned like any other, as sqlx does: branches
/// merge in any order.
///
/// # Errors
/// Every conflict, by ascending version; an interrupted migration is reported as that and nothing
/// else, even when its file was changed meanwhile to cure it.
pub(crate) fn plan<'a>(files: &'a MigrationSet, applied: &[Applied]) -> Result<Plan<'a>, Vec<Conflict>> {
    let mut conflicts: Vec<_> =
        applied.iter().filter_map(|row| Some((row.version, conflict(files, row)?))).collect();
    if !conflicts.is_empty() {
        conflicts.sort_by_key(|(version, _)| *version);
        return Err(conflicts.into_iter().map(|(_, conflict)| conflict).collect());
    }
    let applied: HashMap<_, _> = applied.iter().map(|row| (row.version, row)).collect();
    let pending = files.iter().filter(|migration| !applied.contains_key(&migration.version()));
    Ok(Plan { steps: steps(pending) })
}

impl<'a> Plan<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// All pending migrations, in the order in which they run.
    pub(crate) fn migrations(&self) -> impl Iterator<Item = &'a Migration> {
        self.steps.iter().flat_map(Step::migrations).copied()
    }
}

impl<'a> Step<'a> {
    pub(crate) fn migrations(&self) -> &[&'a Migration] {
        match self {
            Self::Batch(migrations) => migrations,
            Self::Alone(migration) => std::slice::from_ref(migration),
        }
    }
}

fn conflict(files: &MigrationSet, row: &Applied) -> Option<Conflict> {
    let version = row.version;
    let Some(migration) = files.get(version) else { return Some(Conflict::Missing { version }) };
    let file = migration.file().to_owned();
    match row {
        Applied { success: false, .. } => Some(Conflict::Interrupted { version, file }),
        Applied { checksum, .. } if checksum != migration.checksum() => {
            Some(Conflict::Changed { version, file })
        }
        _ => None,
    }
}

fn steps<'a>(pending: impl Iterator<Item = &'a Migration>) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    for migration in pending {
        match steps.last_mut() {
            _ if !migration.is_transactional() => steps.push(Step::Alone(migration)),
            Some(Step::Batch(batch)) => batch.push(migration),
            _ => steps.push(Step::Batch(vec![migration])),
        }
    }
    steps
}

#[cfg(test)]
mod tests;
