use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr, migrate::MigrationType};

use super::{
    baseline::{self, Baseline},
    code::{Code, CodeFuture},
    error::{MigrationError, Problem},
    lint::{self, Home, Warning},
    script::Script,
    set::{Migration, MigrationSet},
};
use crate::database::{Config, Layout};
use crate::tenant::SchemaName;

/// The migrations of the master schema and those of every tenant's schema.
///
/// The files follow sqlx's rules: `<version>_<description>.sql`, or a pair that ends in `.up.sql`
/// and `.down.sql`; `-- no-transaction` as the very beginning of a file; other files are ignored.
/// A `baseline.sql` beside the tenants' migrations is what new tenants start from.
/// All of them are read and judged here, so that a mistake shows before anything is migrated.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Migrations {
    master: Arc<MigrationSet>,
    tenant: Arc<MigrationSet>,
    baseline: Option<Arc<Baseline>>,
}

impl Migrations {
    /// Reads the files of two directories.
    ///
    /// # Errors
    /// Names the directory that is missing, or the file and line that no migration may hold:
    /// transaction control, a change of `search_path` or role, `COPY` from the client, psql commands,
    /// text that is not complete SQL. [`MigrationError::hint`] says what to do.
    pub fn from_dirs(master: impl AsRef<Path>, tenant: impl AsRef<Path>) -> Result<Self, MigrationError> {
        Self::read(master.as_ref(), tenant.as_ref()).map_err(MigrationError::first_of)
    }

    /// Reads the files of the directories that a configuration names. Where it names none and neither of
    /// the default ones exists, there are no migrations.
    ///
    /// # Errors
    /// As [`Migrations::from_dirs`], with everything that is wrong instead of the first of it. There is
    /// at least one.
    pub fn of(config: &Config) -> Result<Self, Vec<MigrationError>> {
        let (master, tenant) = config.migration_directories();
        if !config.names_migrations() && !master.exists() && !tenant.exists() {
            return Ok(Self::none());
        }
        let migrations = Self::read_files(&master, &tenant)?;
        if config.ignores_baseline() {
            Ok(migrations)
        } else {
            migrations.with_file(&tenant.join(baseline::FILE))
        }
    }

    /// Takes what `sqlx::migrate!("…")` compiled in.
    ///
    /// # Errors
    /// As [`Migrations::from_dirs`]; a file is called by its name, because its path is not known.
    pub fn from_migrators(
        master: sqlx::migrate::Migrator,
        tenant: sqlx::migrate::Migrator,
    ) -> Result<Self, MigrationError> {
        let mut errors = Vec::new();
        let scripts = [compiled(&master, &mut errors), compiled(&tenant, &mut errors)];
        Self::new(scripts, errors).map_err(MigrationError::first_of)
    }

    /// No migrations at all, for a fleet whose tables are made by something else.
    pub fn none() -> Self {
        Self {
            master: Arc::new(MigrationSet::empty()),
            tenant: Arc::new(MigrationSet::empty()),
            baseline: None,
        }
    }

    /// The migrations of the master schema.
    pub fn master(&self) -> &MigrationSet {
        &self.master
    }

    /// The migrations of each tenant's schema.
    pub fn tenant(&self) -> &MigrationSet {
        &self.tenant
    }

    /// Lets new tenants start from the text of a `baseline.sql`, for an application that compiled its
    /// migrations in. Those that are read from directories have theirs already.
    ///
    /// # Errors
    /// If it was made from other migrations than these, or holds what no migration may hold.
    pub fn with_baseline(self, text: &str) -> Result<Self, MigrationError> {
        let baseline = baseline::compiled_in(text, &self.tenant)?;
        Ok(Self { baseline: Some(baseline), ..self })
    }

    /// Has an async function run where a tenant migration is more than SQL can do. Its file says so in its
    /// first line, `-- code`, and holds nothing else but comments: so everybody who has the files knows of
    /// the migration, and only this program can apply it.
    ///
    /// The function gets a connection that is in the tenant's schema and in a transaction, which also holds
    /// the ledger row. It must not end that, and may be called again for the same tenant after an error.
    ///
    /// ```no_run
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// // migrations/tenant/0005_initials.sql: `-- code`
    /// let migrations = tenantry::Migrations::from_dirs("migrations/master", "migrations/tenant")?
    ///     .with_code(5, |connection| {
    ///         Box::pin(async move {
    ///             let names: Vec<(i64, String)> =
    ///                 sqlx::query_as("SELECT id, name FROM person").fetch_all(&mut *connection).await?;
    ///             for (id, name) in names {
    ///                 let initials: String = name.split(' ').filter_map(|word| word.chars().next()).collect();
    ///                 sqlx::query("UPDATE person SET initials = $2 WHERE id = $1")
    ///                     .bind(id)
    ///                     .bind(initials)
    ///                     .execute(&mut *connection)
    ///                     .await?;
    ///             }
    ///             Ok(())
    ///         })
    ///     })?;
    /// # let _ = migrations;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If no file of this version begins with `-- code`.
    pub fn with_code(
        self,
        version: i64,
        function: impl for<'c> Fn(&'c mut PgConnection) -> CodeFuture<'c> + Send + Sync + 'static,
    ) -> Result<Self, MigrationError> {
        let tenant = Arc::unwrap_or_clone(self.tenant).with_code(version, Code::new(function))?;
        Ok(Self { tenant: Arc::new(tenant), ..self })
    }

    /// The baseline that new tenants start from, if there is one.
    pub fn baseline(&self) -> Option<&Baseline> {
        self.baseline.as_deref()
    }

    /// The tenant migrations that are part of the baseline.
    pub(crate) fn squashed(&self) -> impl Iterator<Item = &Migration> {
        let last = self.baseline().map(Baseline::version);
        self.tenant.iter().filter(move |migration| Some(migration.version()) <= last)
    }

    /// The tenant migrations that a new tenant applies.
    pub(crate) fn beyond_baseline(&self) -> impl Iterator<Item = &Migration> {
        let last = self.baseline().map(Baseline::version);
        self.tenant.iter().filter(move |migration| Some(migration.version()) > last)
    }

    /// Warnings of what works in these files and makes a fleet of tenants hard to operate, with `extensions` as
    /// the one extension schema. The [`Rule`](crate::migrate::Rule)s say what that is; no database is asked.
    ///
    /// An application's own test may hold it to none:
    ///
    /// ```no_run
    /// use tenantry::Migrations;
    ///
    /// # fn example() -> Result<(), tenantry::migrate::MigrationError> {
    /// let migrations = Migrations::from_dirs("migrations/master", "migrations/tenant")?;
    /// assert_eq!(migrations.lint(), []);
    /// # Ok(())
    /// # }
    /// ```
    pub fn lint(&self) -> Vec<Warning> {
        self.lint_with(&Layout::default().extension_schemas)
    }

    /// Does what [`lint`](Self::lint) does, with other extension schemas.
    pub fn lint_with(&self, extension_schemas: &[SchemaName]) -> Vec<Warning> {
        let tenant = Home::Tenant { extensions: extension_schemas };
        [(self.master(), Home::Master), (self.tenant(), tenant)]
            .into_iter()
            .flat_map(|(set, home)| set.iter().map(move |migration| (migration, home)))
            .flat_map(|(migration, home)| {
                let scripts = [Some(migration.up()), migration.down()];
                scripts.into_iter().flatten().flat_map(move |script| lint::lint(script, home))
            })
            .collect()
    }

    fn read(master: &Path, tenant: &Path) -> Result<Self, Vec<MigrationError>> {
        Self::read_files(master, tenant)?.with_file(&tenant.join(baseline::FILE))
    }

    fn with_file(self, path: &Path) -> Result<Self, Vec<MigrationError>> {
        let file = path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self),
            Err(error) => return Err(vec![MigrationError::in_file(file, Problem::from(error))]),
        };
        let baseline = Baseline::parse(&file, &text, &self.tenant)?;
        Ok(Self { baseline: Some(Arc::new(baseline)), ..self })
    }

    fn read_files(master: &Path, tenant: &Path) -> Result<Self, Vec<MigrationError>> {
        let mut errors = Vec::new();
        let scripts = [read_dir(master, &mut errors), read_dir(tenant, &mut errors)];
        Self::new(scripts, errors)
    }

    /// Sets are judged only when every file could be read: what is missing would be a second error.
    fn new(
        [master, tenant]: [Vec<Script>; 2],
        mut errors: Vec<MigrationError>,
    ) -> Result<Self, Vec<MigrationError>> {
        if !errors.is_empty() {
            return Err(errors);
        }
        match (MigrationSet::new(master), MigrationSet::new(tenant)) {
            (Ok(master), Ok(tenant)) => {
                Ok(Self { master: Arc::new(master), tenant: Arc::new(tenant), baseline: None })
            }
            (master, tenant) => {
                errors.extend(master.err());
                errors.extend(tenant.err());
                Err(errors)
            }
        }
    }
}

fn compiled(migrator: &sqlx::migrate::Migrator, errors: &mut Vec<MigrationError>) -> Vec<Script> {
    let name = |migration: &sqlx::migrate::Migration| {
        let description = migration.description.replace(' ', "_");
        format!("{}_{description}{}", migration.version, migration.migration_type.suffix())
    };
    let scripts = migrator.iter().map(|migration| Script::parse(name(migration), migration.clone()));
    scripts.filter_map(|script| script.map_err(|found| errors.extend(found)).ok()).collect()
}

fn read_dir(directory: &Path, errors: &mut Vec<MigrationError>) -> Vec<Script> {
    let paths = files_in(directory).unwrap_or_else(|error| {
        errors.push(unreadable_directory(directory, error));
        Vec::new()
    });
    let scripts = paths.iter().filter_map(|path| read_file(path).transpose());
    scripts.filter_map(|script| script.map_err(|found| errors.extend(found)).ok()).collect()
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
fn read_file(path: &Path) -> Result<Option<Script>, Vec<MigrationError>> {
    let file = path.display().to_string();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let in_file = |problem| vec![MigrationError::in_file(file.as_str(), problem)];
    let Some(FileName { version, description, kind }) = FileName::parse(&name).map_err(in_file)? else {
        return Ok(None);
    };
    let bytes = fs::read(path).map_err(|error| in_file(error.into()))?;
    let sql = String::from_utf8(bytes).map_err(|error| vec![not_utf8(&file, &error)])?;
    let no_transaction = sql.starts_with("-- no-transaction");
    let sql = AssertSqlSafe(sql).into_sql_str();
    let source = sqlx::migrate::Migration::new(version, description.into(), kind, sql, no_transaction);
    Script::parse(file.clone(), source).map(Some)
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
