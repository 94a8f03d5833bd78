use std::{fs, io, path::Path, sync::Arc};

use sqlx::PgConnection;

use super::{
    baseline::{self, Baseline},
    code::{Code, CodeFuture},
    directory::Directory,
    error::{MigrationError, Problem},
    file_name::FileName,
    lint::{self, Home, Warning},
    script::Script,
    set::{Migration, MigrationSet},
    text::sql_text,
};
use crate::database::{Config, Layout};
use crate::tenant::SchemaName;

/// The migrations of the master schema and those of every tenant's schema.
///
/// The files follow sqlx's rules: `<version>_<description>.sql`, or a pair that ends in `.up.sql`
/// and `.down.sql`; `-- no-transaction` as the very beginning of a file. Unlike sqlx, no SQL is overlooked: a file
/// that ends in `.sql` in whatever case, and has another name or is in a folder, is an error. Other files are
/// ignored, and so are names that begin with a dot.
/// A `baseline.sql` beside the tenants' migrations is what new tenants start from.
/// All of them are read and judged here, so that a mistake shows before anything is migrated.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Migrations {
    master: Arc<MigrationSet>,
    tenant: Arc<MigrationSet>,
    baseline: Option<Arc<Baseline>>,
    faults: Arc<Faults>,
    is_none: bool,
}

/// The mistakes that are not in the text of one migration, which holds those itself.
#[derive(Clone, Debug, Default)]
struct Faults {
    /// Files that cannot be read or told apart: nobody knows which migrations there are.
    files: Vec<MigrationError>,
    /// Mistakes that matter to new schemas only.
    creation: Vec<MigrationError>,
    /// That there are no directories, where none is named: no mistake, unless they are lost.
    absent: Option<MigrationError>,
}

impl Migrations {
    /// Reads the files of two directories.
    ///
    /// # Errors
    /// Names the directory that is missing, or the file and line that no migration may hold:
    /// transaction control, a change of `search_path` or role, `COPY` from the client, psql commands,
    /// text that is not complete SQL. [`MigrationError::hint`] says what to do.
    pub fn from_dirs(master: impl AsRef<Path>, tenant: impl AsRef<Path>) -> Result<Self, MigrationError> {
        Self::read(master, tenant).without_mistakes()
    }

    /// Reads the files of two directories like [`from_dirs`](Self::from_dirs), and keeps what is wrong with them for
    /// those who need it: creating a tenant and migrating fail then, and everything else works.
    ///
    /// A file that holds what no migration may hold stands in the way of the schemas that have not applied it, and
    /// of new ones. A broken or stale `baseline.sql` stands in the way of new schemas only. Anything else stands in the
    /// way of all.
    pub fn read(master: impl AsRef<Path>, tenant: impl AsRef<Path>) -> Self {
        let tenant = tenant.as_ref();
        Self::read_files(master.as_ref(), tenant).with_file(&tenant.join(baseline::FILE))
    }

    /// Does what [`read`](Self::read) does with the directories that a configuration names. Where it names none and
    /// neither of the default ones exists, there are no migrations, and no tenant can be created.
    pub fn of(config: &Config) -> Self {
        let (master, tenant) = config.migration_directories();
        if !config.names_migrations() && !master.exists() && !tenant.exists() {
            let absent = MigrationError::in_file(tenant.display().to_string(), Problem::NoDirectories);
            let faults = Faults { absent: Some(absent), ..Faults::default() };
            return Self { faults: Arc::new(faults), ..Self::none() };
        }
        if config.ignores_baseline() {
            Self::read_files(&master, &tenant)
        } else {
            Self::read(&master, &tenant)
        }
    }

    /// Reads the files of two directories that others are about to be added to: no baseline, and nothing of a
    /// directory that does not exist yet.
    pub fn read_present(master: impl AsRef<Path>, tenant: impl AsRef<Path>) -> Self {
        let (master, tenant) = (master.as_ref(), tenant.as_ref());
        let mut errors = Vec::new();
        let directories =
            [(master, Directory::master(master, tenant)), (tenant, Directory::tenant(tenant, master))];
        let scripts = directories.map(
            |(path, directory)| {
                if path.exists() { directory.read(&mut errors) } else { Vec::new() }
            },
        );
        Self::new(scripts, errors)
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
        Self::new(scripts, errors).without_mistakes()
    }

    /// No migrations at all, for a fleet whose tables are made by something else.
    pub fn none() -> Self {
        Self {
            master: Arc::new(MigrationSet::empty()),
            tenant: Arc::new(MigrationSet::empty()),
            baseline: None,
            faults: Arc::default(),
            is_none: true,
        }
    }

    /// Everything that is wrong with the files; [`read`](Self::read) says whom it stops. What is part of a baseline
    /// is left to those schemas that still have to apply it.
    pub fn mistakes(&self) -> Vec<MigrationError> {
        let refusals = self.master.iter().chain(self.beyond_baseline()).flat_map(Migration::refusals);
        let Faults { files, creation, .. } = &*self.faults;
        refusals.chain(files).chain(creation).cloned().collect()
    }

    /// Returns true if there are no files on purpose, rather than none any more.
    pub(crate) fn is_none(&self) -> bool {
        self.is_none
    }

    /// Makes sure that the names of all files were read, so that no version is overlooked.
    ///
    /// # Errors
    /// If it is not known which migrations there are.
    pub fn check_files(&self) -> Result<(), MigrationError> {
        self.faults.files.first().cloned().map_or(Ok(()), Err)
    }

    /// # Errors
    /// If there is a baseline that cannot be used.
    pub(crate) fn check_baseline(&self) -> Result<(), MigrationError> {
        self.check_files()?;
        self.faults.creation.first().cloned().map_or(Ok(()), Err)
    }

    /// # Errors
    /// If no new schema can be made of them.
    pub(crate) fn check_creation(&self) -> Result<(), MigrationError> {
        self.check_baseline()?;
        let refusals = self.beyond_baseline().flat_map(|migration| migration.up().refusals());
        refusals.chain(&self.faults.absent).next().cloned().map_or(Ok(()), Err)
    }

    fn without_mistakes(self) -> Result<Self, MigrationError> {
        let mistakes = self.mistakes();
        if mistakes.is_empty() { Ok(self) } else { Err(MigrationError::first_of(mistakes)) }
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
                let scripts = [Some(migration.up()), migration.down()].into_iter().flatten();
                // What no migration may hold is no matter of taste.
                let accepted = scripts.filter(|script| script.refusals().is_empty());
                accepted.flat_map(move |script| lint::lint(script, home))
            })
            .collect()
    }

    /// Adds a baseline, if there is such a file.
    fn with_file(mut self, path: &Path) -> Self {
        match self.read_baseline(path) {
            Ok(baseline) => Self { baseline, ..self },
            // Where files are missing, a baseline that was made of them only repeats that.
            Err(_) if !self.faults.files.is_empty() => self,
            Err(errors) => {
                Arc::make_mut(&mut self.faults).creation.extend(errors);
                self
            }
        }
    }

    fn read_baseline(&self, path: &Path) -> Result<Option<Arc<Baseline>>, Vec<MigrationError>> {
        let file = path.display().to_string();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(vec![MigrationError::in_file(file, Problem::from(error))]),
        };
        let text = sql_text(&file, bytes).map_err(|error| vec![error])?;
        Ok(Some(Arc::new(Baseline::parse(&file, &text, &self.tenant)?)))
    }

    fn read_files(master: &Path, tenant: &Path) -> Self {
        let mut errors = Vec::new();
        let directories = [Directory::master(master, tenant), Directory::tenant(tenant, master)];
        let scripts = directories.map(|directory| directory.read(&mut errors));
        Self::new(scripts, errors)
    }

    fn new(scripts: [Vec<Script>; 2], mut errors: Vec<MigrationError>) -> Self {
        // Of what is missing, a second error would only say that it is.
        let is_whole = errors.is_empty();
        let mut in_sets = Vec::new();
        let [master, tenant] = scripts.map(|scripts| Arc::new(MigrationSet::new(scripts, &mut in_sets)));
        errors.extend(in_sets.into_iter().filter(|_| is_whole));
        let faults = Faults { files: errors, ..Faults::default() };
        Self { master, tenant, baseline: None, faults: Arc::new(faults), is_none: false }
    }
}

fn compiled(migrator: &sqlx::migrate::Migrator, errors: &mut Vec<MigrationError>) -> Vec<Script> {
    let name = |migration: &sqlx::migrate::Migration| {
        let description = migration.description.replace(' ', "_");
        format!("{}_{description}{}", migration.version, migration.migration_type.suffix())
    };
    let scripts = migrator.iter().map(|migration| {
        let file = name(migration);
        FileName::parse(&file).map_err(|fault| MigrationError::in_file(file.as_str(), fault))?;
        Ok(Script::parse(file, migration.clone()))
    });
    scripts.filter_map(|script| script.map_err(|fault| errors.push(fault)).ok()).collect()
}

#[cfg(test)]
mod tests;
