use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sqlx::{AssertSqlSafe, SqlSafeStr, migrate::MigrationType};

use super::{
    error::{MigrationError, Problem},
    script::Script,
    set::MigrationSet,
};

/// The migrations of the master schema and those of every tenant's schema.
///
/// The files follow sqlx's rules: `<version>_<description>.sql`, or a pair that ends in `.up.sql`
/// and `.down.sql`; `-- no-transaction` as the very beginning of a file; other files are ignored.
/// All of them are read and judged here, so that a mistake shows before anything is migrated.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Migrations {
    master: Arc<MigrationSet>,
    tenant: Arc<MigrationSet>,
}

impl Migrations {
    /// Reads the files of two directories.
    ///
    /// # Errors
    /// Names the directory that is missing, or the file and line that no migration may hold:
    /// transaction control, a change of `search_path` or role, `COPY` from the client, psql commands,
    /// text that is not complete SQL. [`MigrationError::hint`] says what to do.
    pub fn from_dirs(master: impl AsRef<Path>, tenant: impl AsRef<Path>) -> Result<Self, MigrationError> {
        Self::new(read_dir(master.as_ref())?, read_dir(tenant.as_ref())?)
    }

    /// Takes what `sqlx::migrate!("…")` compiled in.
    ///
    /// # Errors
    /// As [`Migrations::from_dirs`]; a file is called by its name, because its path is not known.
    pub fn from_migrators(
        master: sqlx::migrate::Migrator,
        tenant: sqlx::migrate::Migrator,
    ) -> Result<Self, MigrationError> {
        Self::new(compiled(&master)?, compiled(&tenant)?)
    }

    /// No migrations at all, for a fleet whose tables are made by something else.
    pub fn none() -> Self {
        Self { master: Arc::new(MigrationSet::empty()), tenant: Arc::new(MigrationSet::empty()) }
    }

    /// The migrations of the master schema.
    pub fn master(&self) -> &MigrationSet {
        &self.master
    }

    /// The migrations of each tenant's schema.
    pub fn tenant(&self) -> &MigrationSet {
        &self.tenant
    }

    fn new(master: Vec<Script>, tenant: Vec<Script>) -> Result<Self, MigrationError> {
        let (master, tenant) = (MigrationSet::new(master)?, MigrationSet::new(tenant)?);
        Ok(Self { master: Arc::new(master), tenant: Arc::new(tenant) })
    }
}

fn compiled(migrator: &sqlx::migrate::Migrator) -> Result<Vec<Script>, MigrationError> {
    let name = |migration: &sqlx::migrate::Migration| {
        let description = migration.description.replace(' ', "_");
        format!("{}_{description}{}", migration.version, migration.migration_type.suffix())
    };
    migrator.iter().map(|migration| Script::parse(name(migration), migration.clone())).collect()
}

fn read_dir(directory: &Path) -> Result<Vec<Script>, MigrationError> {
    let mut scripts = Vec::new();
    for path in files_in(directory).map_err(|error| unreadable_directory(directory, error))? {
        scripts.extend(read_file(&path)?);
    }
    Ok(scripts)
}

/// Sorted, so that of two mistakes the same one is reported everywhere. A link that leads nowhere
/// stays in: reading it will fail, where leaving it out would skip a migration.
fn files_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| !path.is_dir());
    paths.sort();
    Ok(paths)
}

fn unreadable_directory(directory: &Path, error: io::Error) -> MigrationError {
    let problem = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Problem::NoDirectory,
        _ => Problem::Unreadable(error),
    };
    MigrationError::in_file(directory.display().to_string(), problem)
}

/// `None` when the name is not that of a migration.
fn read_file(path: &Path) -> Result<Option<Script>, MigrationError> {
    let file = path.display().to_string();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(FileName { version, description, kind }) =
        FileName::parse(&name).map_err(|problem| MigrationError::in_file(file.as_str(), problem))?
    else {
        return Ok(None);
    };
    let bytes = fs::read(path).map_err(|error| MigrationError::in_file(file.as_str(), error))?;
    let sql = String::from_utf8(bytes).map_err(|error| not_utf8(&file, &error))?;
    let no_transaction = sql.starts_with("-- no-transaction");
    let sql = AssertSqlSafe(sql).into_sql_str();
    let source = sqlx::migrate::Migration::new(version, description.into(), kind, sql, no_transaction);
    Script::parse(file, source).map(Some)
}

fn not_utf8(file: &str, error: &std::string::FromUtf8Error) -> MigrationError {
    let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = valid.split(|&byte| byte == b'\n').count();
    MigrationError::at_line(file, line, Problem::NotUtf8)
}

struct FileName {
    version: i64,
    description: String,
    kind: MigrationType,
}

impl FileName {
    /// Word for word what sqlx's resolver does, which gives no paths and blocks on a runtime; a test
    /// holds the two together.
    fn parse(name: &str) -> Result<Option<Self>, Problem> {
        let ending = MigrationType::Simple.suffix();
        let Some((version, rest)) = name.split_once('_').filter(|(_, rest)| rest.ends_with(ending)) else {
            return Ok(None);
        };
        let version = version.parse().map_err(|_| Problem::NoVersion)?;
        let kind = MigrationType::from_filename(rest);
        let description = rest.trim_end_matches(kind.suffix()).replace('_', " ");
        Ok(Some(Self { version, description, kind }))
    }
}

#[cfg(test)]
mod tests;
