use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::{
    code::Code,
    error::{MigrationError, Problem},
    lint,
    script::Script,
};
use crate::tenant::{Digest, TypeName};

/// The migrations of one kind of schema, ordered by version; each version exists once.
///
/// The set of a type of tenants is the files of all tenants and the type's own.
#[derive(Clone, Debug)]
pub struct MigrationSet {
    migrations: Vec<Migration>,
    type_name: Option<TypeName>,
    digest: Digest,
    /// For each version, what a schema is at that has applied all files up to it.
    versions: HashMap<Digest, i64>,
}

impl MigrationSet {
    /// Puts them in order. A file whose version another has, or whose version nothing has that it could undo, is
    /// left out and named.
    pub(crate) fn new(scripts: Vec<Script>, errors: &mut Vec<MigrationError>) -> Self {
        let (downs, ups): (Vec<_>, Vec<_>) =
            scripts.into_iter().partition(|script| script.source().migration_type.is_down_migration());
        let mut migrations: Vec<_> =
            ups.into_iter().map(|up| Migration { up, down: None, code: None, is_of_type: false }).collect();
        migrations.sort_by_key(Migration::version);
        migrations.dedup_by(|second, first| {
            let is_same = first.version() == second.version();
            errors.extend(is_same.then(|| same_version(&first.up, &second.up)));
            is_same
        });
        for down in downs {
            errors.extend(attach_down(&mut migrations, down).err());
        }
        Self::of(migrations, None)
    }

    /// Adds the files of a type to those of all tenants. One whose version is taken there is left out and named.
    pub(crate) fn with_type(
        &self,
        type_name: TypeName,
        own: &Self,
        errors: &mut Vec<MigrationError>,
    ) -> Self {
        let mut migrations = self.migrations.clone();
        for migration in own {
            match self.get(migration.version()) {
                Some(other) => errors.push(same_version(&other.up, &migration.up)),
                None => migrations.push(Migration { is_of_type: true, ..migration.clone() }),
            }
        }
        migrations.sort_by_key(Migration::version);
        let mut set = Self::of(migrations, Some(type_name));
        set.note_parts();
        set
    }

    /// Knows the schemas as well that have all files of one directory and some of the other: those of tenants that are
    /// behind with the files of all, and of those that come to be of the type. Their version is the one up to which
    /// they have all files.
    fn note_parts(&mut self) {
        for (index, first_missing) in self.migrations.iter().enumerate().skip(1) {
            let is_missing = |migration: &&Migration| {
                migration.is_of_type() == first_missing.is_of_type()
                    && migration.version() >= first_missing.version()
            };
            let there = self.migrations.iter().filter(|migration| !is_missing(migration));
            let digest = digest_of(there.map(|migration| (migration.version(), migration.checksum())));
            self.versions.entry(digest).or_insert(self.migrations[index - 1].version());
        }
    }

    fn of(migrations: Vec<Migration>, type_name: Option<TypeName>) -> Self {
        let mut hash = Hash::default();
        let mut versions = HashMap::new();
        for migration in &migrations {
            hash.add(migration.version(), migration.checksum());
            versions.insert(hash.digest(), migration.version());
        }
        Self { migrations, type_name, digest: hash.digest(), versions }
    }

    /// The files of the type alone, or those of all tenants alone.
    pub(super) fn only(&self, is_of_type: bool) -> Self {
        let files = self.iter().filter(|migration| migration.is_of_type() == is_of_type).cloned();
        Self::of(files.collect(), self.type_name.clone())
    }

    /// The files up to and including this version.
    pub(crate) fn through(&self, version: i64) -> Self {
        let files = self.iter().filter(|migration| migration.version() <= version).cloned();
        Self::of(files.collect(), self.type_name.clone())
    }

    pub(crate) fn empty() -> Self {
        Self::of(Vec::new(), None)
    }

    /// Has a function run where the file of this version says that one does.
    pub(super) fn with_code(mut self, version: i64, code: Code) -> Result<Self, MigrationError> {
        let file = self.migrations.iter_mut().find(|migration| migration.version() == version);
        let Some(migration) = file.filter(|migration| migration.up.is_code()) else {
            let file = format!("version {version}");
            return Err(MigrationError::in_file(file, Problem::NoCodeFile { version }));
        };
        migration.code = Some(code);
        Ok(self)
    }

    /// The type of the tenants that these are the files of.
    pub fn type_name(&self) -> Option<&TypeName> {
        self.type_name.as_ref()
    }

    /// The digest of a schema that has applied all of them.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The version of a schema that has applied all files up to it, and no other.
    pub fn version_of(&self, digest: &Digest) -> Option<i64> {
        self.versions.get(digest).copied()
    }

    /// The newest version; `None` when there are no migrations.
    pub fn latest(&self) -> Option<i64> {
        self.migrations.last().map(Migration::version)
    }

    /// The migration of that version.
    pub fn get(&self, version: i64) -> Option<&Migration> {
        let index = self.migrations.binary_search_by_key(&version, Migration::version).ok()?;
        self.migrations.get(index)
    }

    /// The migrations by ascending version.
    pub fn iter(&self) -> std::slice::Iter<'_, Migration> {
        self.migrations.iter()
    }

    /// The number of them.
    pub fn len(&self) -> usize {
        self.migrations.len()
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.migrations.is_empty()
    }
}

impl<'a> IntoIterator for &'a MigrationSet {
    type Item = &'a Migration;
    type IntoIter = std::slice::Iter<'a, Migration>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One version: what applies it and, where there is a `.down.sql` file, what undoes it.
#[derive(Clone, Debug)]
pub struct Migration {
    up: Script,
    down: Option<Script>,
    code: Option<Code>,
    is_of_type: bool,
}

impl Migration {
    /// The number its file name begins with.
    pub fn version(&self) -> i64 {
        self.up.source().version
    }

    /// The rest of the file name, with spaces.
    pub fn description(&self) -> &str {
        &self.up.source().description
    }

    /// The SHA-384 of the text, as sqlx's ledger holds it.
    pub fn checksum(&self) -> &[u8] {
        &self.up.source().checksum
    }

    /// The path of the file that applies it, or its name where it was compiled in.
    pub fn file(&self) -> &str {
        self.up.file()
    }

    /// Returns true if it is SQL that can share a transaction with other files.
    pub fn is_plain(&self) -> bool {
        self.up.is_plain()
    }

    /// Returns true if only the tenants of one type have it.
    pub fn is_of_type(&self) -> bool {
        self.is_of_type
    }

    /// The script that applies it.
    pub fn up(&self) -> &Script {
        &self.up
    }

    /// Returns true if there is a way back that holds nothing, and does not say that this is meant.
    pub(crate) fn undoes_nothing(&self) -> bool {
        self.down().is_some_and(lint::is_empty_down)
    }

    /// The lines of its files that no migration may hold.
    pub(super) fn refusals(&self) -> impl Iterator<Item = &MigrationError> {
        [Some(&self.up), self.down.as_ref()].into_iter().flatten().flat_map(Script::refusals)
    }

    pub(crate) fn code(&self) -> Option<&Code> {
        self.code.as_ref()
    }

    /// The script that undoes it.
    pub fn down(&self) -> Option<&Script> {
        self.down.as_ref()
    }
}

/// The digest of applied migrations, given as version and checksum by ascending version.
pub fn digest_of<'a>(applied: impl IntoIterator<Item = (i64, &'a [u8])>) -> Digest {
    let mut hash = Hash::default();
    for (version, checksum) in applied {
        hash.add(version, checksum);
    }
    hash.digest()
}

/// The hash of applied migrations, one by one.
#[derive(Clone, Default)]
struct Hash(Sha256);

impl Hash {
    fn add(&mut self, version: i64, checksum: &[u8]) {
        self.0.update(version.to_be_bytes());
        self.0.update(checksum);
    }

    fn digest(&self) -> Digest {
        Digest::from_bytes(self.0.clone().finalize().into())
    }
}

fn attach_down(migrations: &mut [Migration], down: Script) -> Result<(), MigrationError> {
    let version = down.source().version;
    let Ok(index) = migrations.binary_search_by_key(&version, Migration::version) else {
        return Err(MigrationError::in_file(down.file(), Problem::NothingToUndo { version }));
    };
    if let Some(other) = &migrations[index].down {
        return Err(same_version(other, &down));
    }
    migrations[index].down = Some(down);
    Ok(())
}

fn same_version(first: &Script, second: &Script) -> MigrationError {
    let (version, other) = (second.source().version, first.file().to_owned());
    MigrationError::in_file(second.file(), Problem::SameVersion { version, other })
}

#[cfg(test)]
mod tests;
