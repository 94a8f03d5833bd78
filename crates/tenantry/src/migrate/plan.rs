use std::collections::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::migration::{Code, Migration, MigrationSet, Script};
use crate::tenant::Digest;

/// One row of a schema's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) version: i64,
    pub(crate) checksum: Vec<u8>,
    /// `false` while a migration without transaction runs, and after it was interrupted.
    pub(crate) success: bool,
}

/// The state that schemas are to be brought to: these files applied, and no others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal<'a> {
    files: &'a MigrationSet,
    /// The newest version that is to be applied; `None` for all files.
    version: Option<i64>,
    digest: Digest,
}

impl<'a> Goal<'a> {
    /// All files.
    pub(crate) fn latest(files: &'a MigrationSet) -> Self {
        Self { files, version: None, digest: files.digest() }
    }

    /// The files up to and with this version; 0 for none of them.
    ///
    /// # Errors
    /// If no file has this version.
    pub(crate) fn version(files: &'a MigrationSet, version: i64) -> Result<Self> {
        if version != 0 && files.get(version).is_none() {
            let message = format!("there is no migration with version {version}");
            return Err(
                Error::new(ErrorKind::InvalidInput, message).with_hint("give the number of a file, or 0")
            );
        }
        Ok(Self { files, version: Some(version), digest: files.through(version).digest() })
    }

    pub(super) fn files(&self) -> &'a MigrationSet {
        self.files
    }

    /// The row of a ledger: a migration that a schema has applied.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// The newest version that it has applied then.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.version.or_else(|| self.files.latest()).filter(|version| *version != 0)
    }

    fn has(&self, version: i64) -> bool {
        self.version.is_none_or(|newest| version <= newest)
    }
}

/// A migration that is applied, or undone.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    migration: &'a Migration,
    direction: Direction,
    script: &'a Script,
}

/// The direction in which a schema goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The migration is applied.
    Up,
    /// The migration is undone, by its `.down.sql`.
    Down,
}

impl<'a> Change<'a> {
    fn try_apply(migration: &'a Migration) -> Result<Self, Conflict> {
        if migration.up().is_code() && migration.code().is_none() {
            let (version, file) = (migration.version(), migration.file().to_owned());
            return Err(Conflict::NoCode { version, file });
        }
        Ok(Self::apply(migration))
    }

    pub(super) fn apply(migration: &'a Migration) -> Self {
        Self { migration, direction: Direction::Up, script: migration.up() }
    }

    fn undo(migration: &'a Migration) -> Result<Self, Conflict> {
        let (version, file) = (migration.version(), migration.file());
        let script =
            migration.down().ok_or_else(|| Conflict::NoWayBack { version, file: file.to_owned() })?;
        Ok(Self { migration, direction: Direction::Down, script })
    }

    /// The migration that is applied or undone.
    pub fn migration(&self) -> &'a Migration {
        self.migration
    }

    /// The direction: applied, or undone.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The function that does it, instead of the file.
    pub(super) fn code(&self) -> Option<&'a Code> {
        self.migration.code().filter(|_| self.script.is_code())
    }

    /// The file that does it.
    pub fn script(&self) -> &'a Script {
        self.script
    }
}

/// The versions that were applied and undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) applied: Vec<i64>,
    pub(crate) undone: Vec<i64>,
}

impl Changed {
    pub(crate) fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.undone.is_empty()
    }
}

impl<'a> FromIterator<Change<'a>> for Changed {
    fn from_iter<T: IntoIterator<Item = Change<'a>>>(changes: T) -> Self {
        let mut done = Self::default();
        for change in changes {
            match change.direction {
                Direction::Up => done.applied.push(change.migration.version()),
                Direction::Down => done.undone.push(change.migration.version()),
            }
        }
        done
    }
}

/// The changes that bring one schema to a goal.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) steps: Vec<Step<'a>>,
}

/// Changes that run at once.
#[derive(Clone, Debug)]
pub(crate) enum Step<'a> {
    /// Consecutive changes that share one transaction; never empty.
    Batch(Vec<Change<'a>>),
    /// A change that runs outside of a transaction, or is a function of the application.
    Alone(Change<'a>),
}

/// A contradiction between a ledger and the files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Conflict {
    #[error("`{file}` was changed after it had been applied")]
    Changed { version: i64, file: String },
    #[error("version {version} was applied, but there is no file for it")]
    Missing { version: i64 },
    #[error("`{file}` was interrupted")]
    Interrupted { version: i64, file: String },
    #[error("`{file}` cannot be undone")]
    NoWayBack { version: i64, file: String },
    #[error("`{file}` stands for a function that this program does not have")]
    NoCode { version: i64, file: String },
}

impl Conflict {
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "restore the file, and put the change into a new migration",
            Self::Missing { .. } => "restore the file, or deploy the release that has it",
            Self::Interrupted { .. } => {
                "find out how far it came: undo that or finish it by hand, then migrate again"
            }
            Self::NoWayBack { .. } => {
                "write a `.down.sql` beside its `.up.sql`, or go on with a new migration"
            }
            Self::NoCode { .. } => "migrate with the application's own program, which registers the function",
        }
    }
}

/// Compares a goal with what one schema has applied.
///
/// A pending version below the newest applied one is planned like any other, as sqlx does: branches
/// merge in any order. What is to be undone is undone first, the newest first.
///
/// # Errors
/// Every conflict, by ascending version; an interrupted migration is reported as that and nothing
/// else, even when its file was changed meanwhile to cure it.
pub(crate) fn plan<'a>(goal: Goal<'a>, applied: &[Applied]) -> Result<Plan<'a>, Vec<Conflict>> {
    let files = goal.files;
    let mut conflicts: Vec<_> =
        applied.iter().filter_map(|row| Some((row.version, conflict(files, row)?))).collect();
    if !conflicts.is_empty() {
        conflicts.sort_by_key(|(version, _)| *version);
        return Err(conflicts.into_iter().map(|(_, conflict)| conflict).collect());
    }
    let applied: HashMap<_, _> = applied.iter().map(|row| (row.version, row)).collect();
    let is_applied = |migration: &&Migration| applied.contains_key(&migration.version());
    let surplus = files.iter().rev().filter(|migration| !goal.has(migration.version()));
    let undone = surplus.filter(is_applied).map(Change::undo);
    let meant = files.iter().filter(|migration| goal.has(migration.version()));
    let pending = meant.filter(|migration| !is_applied(migration)).map(Change::try_apply);
    let changes: Result<Vec<_>, _> = undone.chain(pending).collect();
    Ok(Plan { steps: steps(changes.map_err(|conflict| vec![conflict])?) })
}

impl<'a> Plan<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// All changes, in the order in which they run.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Change<'a>> {
        self.steps.iter().flat_map(Step::changes).copied()
    }
}

impl<'a> Step<'a> {
    pub(crate) fn changes(&self) -> &[Change<'a>] {
        match self {
            Self::Batch(changes) => changes,
            Self::Alone(change) => std::slice::from_ref(change),
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

fn steps(changes: Vec<Change<'_>>) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for change in changes {
        match steps.last_mut() {
            _ if !change.script.is_plain() => steps.push(Step::Alone(change)),
            Some(Step::Batch(batch)) => batch.push(change),
            _ => steps.push(Step::Batch(vec![change])),
        }
    }
    steps
}

#[cfg(test)]
mod tests;
