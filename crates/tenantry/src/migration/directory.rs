//! Reads one directory of migrations: every file is used, no business of ours, or an error.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use super::baseline;
use super::error::{MigrationError, Problem};
use super::file_name::{FileName, name_out_of_folder};
use super::script::Script;
use super::text::sql_text;

/// Folders in folders that are looked into, in search of SQL that nobody would run.
const DEPTH: usize = 8;

/// A directory of the master's migrations, of the tenants', or of those of one type.
pub(super) struct Directory<'a> {
    path: &'a Path,
    /// The baseline is in the directory of the tenants.
    has_baseline: bool,
    /// The other directories, which may be inside this one.
    others: Vec<PathBuf>,
}

impl<'a> Directory<'a> {
    pub(super) fn master(path: &'a Path, others: &[&Path]) -> Self {
        Self { has_baseline: others.contains(&path), ..Self::tenant(path, others) }
    }

    pub(super) fn tenant(path: &'a Path, others: &[&Path]) -> Self {
        let others = others.iter().filter_map(|other| other.canonicalize().ok()).collect();
        Self { path, has_baseline: true, others }
    }

    /// Reads its files in the order of their names, so that of two mistakes the same one is told everywhere.
    pub(super) fn read(&self, errors: &mut Vec<MigrationError>) -> Vec<Script> {
        let paths = entries(self.path).unwrap_or_else(|error| {
            errors.push(unreadable(self.path, error));
            Vec::new()
        });
        let mut scripts = Vec::new();
        for path in paths {
            match self.read_entry(&path) {
                Ok(script) => scripts.extend(script),
                Err(error) => errors.push(error),
            }
        }
        scripts
    }

    /// `None` for what is no migration. A link that leads nowhere is no folder: reading it fails, where
    /// leaving it out would skip a migration.
    fn read_entry(&self, path: &Path) -> Result<Option<Script>, MigrationError> {
        if path.is_dir() {
            return match self.sql_inside(path, DEPTH) {
                Some(file) => Err(in_folder(&file)),
                None => Ok(None),
            };
        }
        let name = name_of(path);
        if self.has_baseline && name == baseline::FILE {
            return Ok(None);
        }
        read_file(path, &name)
    }

    /// The first file of SQL in a folder.
    fn sql_inside(&self, folder: &Path, depth: usize) -> Option<PathBuf> {
        let is_other = || folder.canonicalize().is_ok_and(|folder| self.others.contains(&folder));
        if depth == 0 || !self.others.is_empty() && is_other() {
            return None;
        }
        // Where nobody may look, nobody has written a migration.
        let entries = entries(folder).unwrap_or_default();
        entries.into_iter().find_map(|path| {
            if path.is_dir() { self.sql_inside(&path, depth - 1) } else { is_sql(&path).then_some(path) }
        })
    }
}

/// Without those whose names begin with a dot: editors and archives leave them, and people do not see them.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| !name_of(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_sql(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(OsStr::new("sql")))
}

fn unreadable(directory: &Path, error: io::Error) -> MigrationError {
    let problem = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Problem::NoDirectory,
        _ => error.into(),
    };
    MigrationError::in_file(directory.display().to_string(), problem)
}

fn in_folder(path: &Path) -> MigrationError {
    let folder = path.parent().map(name_of).unwrap_or_default();
    let right = name_out_of_folder(&folder, &name_of(path));
    MigrationError::in_file(path.display().to_string(), Problem::InFolder { right })
}

/// `None` when the name is not that of a migration.
fn read_file(path: &Path, name: &str) -> Result<Option<Script>, MigrationError> {
    let file = path.display().to_string();
    let in_file = |problem: Problem| MigrationError::in_file(file.as_str(), problem);
    let Some(FileName { version, description, kind }) =
        FileName::parse(name).map_err(|wrong| in_file(wrong.into()))?
    else {
        return Ok(None);
    };
    let bytes = fs::read(path).map_err(|error| in_file(error.into()))?;
    let sql = sql_text(&file, bytes)?;
    let no_transaction = sql.starts_with("-- no-transaction");
    let sql = AssertSqlSafe(sql).into_sql_str();
    let source = sqlx::migrate::Migration::new(version, description.into(), kind, sql, no_transaction);
    Ok(Some(Script::parse(file, source)))
}
