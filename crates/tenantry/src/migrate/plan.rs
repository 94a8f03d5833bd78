use std::collections::HashMap;

use super::conflict::Conflict;
use crate::migration::{Code, Migration, MigrationSet, Script, digest_of};
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
    reach: Reach,
    digest: Digest,
    is_in_order: bool,
}

#[derive(Clone, Copy, Debug)]
enum Reach {
    All,
    /// The files up to and with this version.
    Through(i64),
    /// The files of all tenants, and none of the type's own.
    WithoutType,
    Nothing,
}

impl<'a> Goal<'a> {
    /// All files, in whatever order they came.
    pub(crate) fn latest(files: &'a MigrationSet) -> Self {
        Self { files, reach: Reach::All, digest: files.digest(), is_in_order: false }
    }

    /// The files up to and with this version; 0 for none of them, not even one that is numbered 0.
    pub(crate) fn through(files: &'a MigrationSet, version: i64) -> Self {
        let (reach, digest) = match version {
            0 => (Reach::Nothing, MigrationSet::empty().digest()),
            _ => (Reach::Through(version), files.through(version).digest()),
        };
        Self { reach, digest, ..Self::latest(files) }
    }

    /// The files of all tenants, and none of the type's own.
    pub(crate) fn without_type(files: &'a MigrationSet) -> Self {
        let own = files.iter().filter(|migration| !migration.is_of_type());
        let digest = digest_of(own.map(|migration| (migration.version(), migration.checksum())));
        Self { reach: Reach::WithoutType, digest, is_in_order: true, ..Self::latest(files) }
    }

    /// The same, by files that come in order only: none is applied after one of its own directory with a higher
    /// version.
    pub(crate) fn in_order(self) -> Self {
        Self { is_in_order: true, ..self }
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
        match self.reach {
            Reach::All | Reach::WithoutType => self.files.latest(),
            Reach::Through(version) => Some(version),
            Reach::Nothing => None,
        }
    }

    pub(super) fn has(&self, version: i64) -> bool {
        match self.reach {
            Reach::All => true,
            Reach::Through(newest) => version <= newest,
            Reach::WithoutType => self.files.get(version).is_some_and(|file| !file.is_of_type()),
            Reach::Nothing => false,
        }
    }
}

/// A migration that is applied, or undone, by a file that was accepted.
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
    pub(super) fn apply(migration: &'a Migration) -> Result<Self, Conflict> {
        if migration.up().is_code() && migration.code().is_none() {
            let (version, file) = (migration.version(), migration.file().to_owned());
            return Err(Conflict::NoCode { version, file });
        }
        Self::by(migration, Direction::Up, migration.up())
    }

    fn undo(migration: &'a Migration) -> Result<Self, Conflict> {
        let version = migration.version();
        let no_way = || Conflict::NoWayBack { version, file: migration.file().to_owned() };
        let script = migration.down().ok_or_else(no_way)?;
        if migration.undoes_nothing() {
            return Err(Conflict::EmptyWayBack { version, file: script.file().to_owned() });
        }
        Self::by(migration, Direction::Down, script)
    }

    fn by(migration: &'a Migration, direction: Direction, script: &'a Script) -> Result<Self, Conflict> {
        match script.refusals().first() {
            Some(refusal) => Err(Conflict::refused(migration.version(), refusal)),
            None => Ok(Self { migration, direction, script }),
        }
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

/// Compares a goal with what one schema has applied.
///
/// A pending version below the newest applied one of its own directory is a conflict where the goal is to be reached in
/// order, and planned like any other elsewhere. The files of a type and those of all tenants have an order of their own
/// each, because a tenant that comes to be of a type applies its files after all of the others.
///  What is to be undone is undone first, the newest first.
///
/// # Errors
/// Every conflict with what was applied, by ascending version; an interrupted migration is reported as that and
/// nothing else, even when its file was changed meanwhile to cure it. If there is none, every conflict with what
/// is to be done.
pub(crate) fn plan<'a>(goal: Goal<'a>, applied: &[Applied]) -> Result<Plan<'a>, Vec<Conflict>> {
    let files = goal.files;
    let mut conflicts: Vec<_> =
        applied.iter().filter_map(|row| Some((row.version, conflict(files, row)?))).collect();
    if !conflicts.is_empty() {
        conflicts.sort_by_key(|(version, _)| *version);
        return Err(conflicts.into_iter().map(|(_, conflict)| conflict).collect());
    }
    let stays =
        || applied.iter().filter_map(|row| files.get(row.version)).filter(|file| goal.has(file.version()));
    let newest = |is_of_type: bool| {
        stays().filter(|file| file.is_of_type() == is_of_type).map(Migration::version).max()
    };
    let newest = if goal.is_in_order { [newest(false), newest(true)] } else { [None; 2] };
    let applied: HashMap<_, _> = applied.iter().map(|row| (row.version, row)).collect();
    let is_applied = |migration: &&Migration| applied.contains_key(&migration.version());
    let surplus = files.iter().rev().filter(|migration| !goal.has(migration.version()));
    let undone = surplus.filter(is_applied).map(Change::undo);
    let meant = files.iter().filter(|migration| goal.has(migration.version()));
    let pending = meant.filter(|migration| !is_applied(migration)).map(|migration| {
        match newest[usize::from(migration.is_of_type())] {
            Some(newest) if migration.version() < newest => {
                let (version, file) = (migration.version(), migration.file().to_owned());
                Err(Conflict::OutOfOrder { version, file, newest })
            }
            _ => Change::apply(migration),
        }
    });
    let (mut changes, mut conflicts) = (Vec::new(), Vec::new());
    for change in undone.chain(pending) {
        match change {
            Ok(change) => changes.push(change),
            Err(conflict) => conflicts.push(conflict),
        }
    }
    if conflicts.is_empty() { Ok(Plan { steps: steps(changes) }) } else { Err(conflicts) }
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
            Some(Conflict::changed(migration, checksum))
        }
        _ => None,
    }
}

/// Changes that follow each other share a transaction, where they can.
pub(super) fn steps(changes: Vec<Change<'_>>) -> Vec<Step<'_>> {
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
