mod reading;
mod types;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use sqlx::PgConnection;

use super::{
    baseline::{self, Baseline},
    code::{Code, CodeFuture},
    directory::Directory,
    error::{MigrationError, Problem},
    file_name::FileName,
    lint::{self, Home, TenantServer, Warning},
    script::Script,
    set::{Migration, MigrationSet},
    tenant_files::{self, TenantFiles},
};
use crate::database::{Config, Layout};
use crate::error::Result as CrateResult;
use crate::tenant::{SchemaName, TypeName};

/// The migrations of the master schema and those of every tenant's schema.
///
/// The files follow sqlx's rules: `<version>_<description>.sql`, or a pair that ends in `.up.sql`
/// and `.down.sql`; `-- no-transaction` as the very beginning of a file. Unlike sqlx, no SQL is overlooked: a file
/// that ends in `.sql` in whatever case, and has another name or is in a folder, is an error. Other files are
/// ignored, and so are names that begin with a dot.
/// A `baseline.sql` beside the tenants' migrations is what new tenants start from.
///
/// Tenants may have a [type](TypeName), which has a directory of further files: a schema of that type has both, in the
/// order of their versions. Two types may use the same version, a type and the tenants' directory may not.
///
/// All of them are read and judged here, so that a mistake shows before anything is migrated.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Migrations {
    master: Arc<MigrationSet>,
    tenant: TenantFiles,
    types: BTreeMap<TypeName, TenantFiles>,
    faults: Arc<Faults>,
    is_none: bool,
}

/// The mistakes that are not in the text of one migration, which holds those itself.
#[derive(Clone, Debug, Default)]
struct Faults {
    /// Files that cannot be read or told apart: nobody knows which migrations there are.
    files: Vec<MigrationError>,
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
        Self::read_all(master.as_ref(), tenant.as_ref(), &BTreeMap::new(), Baselines::Read)
    }

    /// Does what [`read`](Self::read) does with the directories that a configuration names. Where it names none and
    /// neither of the default ones exists, there are no migrations, and no tenant can be created.
    pub fn of(config: &Config) -> Self {
        let ((master, tenant), types) = (config.migration_directories(), config.type_directories());
        if !config.names_migrations() && !master.exists() && !tenant.exists() {
            let absent = MigrationError::in_file(tenant.display().to_string(), Problem::NoDirectories);
            let faults = Faults { absent: Some(absent), ..Faults::default() };
            let none = Self { faults: Arc::new(faults), ..Self::none() };
            return types
                .iter()
                .fold(none, |files, (name, path)| files.with_read(name, path, Baselines::Read));
        }
        let baselines = if config.ignores_baseline() { Baselines::Ignored } else { Baselines::Read };
        Self::read_all(&master, &tenant, &types, baselines)
    }

    /// Reads the files of two directories that others are about to be added to: no baseline, and nothing of a
    /// directory that does not exist yet.
    pub fn read_present(master: impl AsRef<Path>, tenant: impl AsRef<Path>) -> Self {
        let (master, tenant) = (master.as_ref(), tenant.as_ref());
        let mut errors = Vec::new();
        let directories =
            [(master, Directory::master(master, &[tenant])), (tenant, Directory::tenant(tenant, &[master]))];
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
            tenant: TenantFiles::of(MigrationSet::empty(), Vec::new()),
            types: BTreeMap::new(),
            faults: Arc::default(),
            is_none: true,
        }
    }

    /// Everything that is wrong with the files; [`read`](Self::read) says whom it stops. What is part of a baseline
    /// is left to those schemas that still have to apply it.
    pub fn mistakes(&self) -> Vec<MigrationError> {
        let refusals = self.master.iter().flat_map(Migration::refusals);
        let of_tenants = self.tenant.mistakes().chain(self.types.values().flat_map(TenantFiles::mistakes));
        refusals.chain(of_tenants).chain(&self.faults.files).cloned().collect()
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

    /// Does the same for the files of all types.
    ///
    /// # Errors
    /// Like [`check_files`](Self::check_files).
    pub fn check_all_files(&self) -> Result<(), MigrationError> {
        self.check_files()?;
        self.types.values().try_for_each(TenantFiles::check)
    }

    /// The files of the tenants of a type, or of those without one.
    ///
    /// # Errors
    /// If this program knows no such type, or it is not known which migrations there are.
    pub(crate) fn files_of(&self, type_name: Option<&TypeName>) -> CrateResult<&TenantFiles> {
        self.check_files()?;
        let files = self.look_up(type_name).ok_or_else(|| type_name.map(tenant_files::unknown));
        let files = files.or_else(|error| error.map_or(Ok(&self.tenant), Err))?;
        files.check()?;
        Ok(files)
    }

    /// The same for a new schema.
    ///
    /// # Errors
    /// If no new schema can be made of them.
    pub(crate) fn creation_files(&self, type_name: Option<&TypeName>) -> CrateResult<&TenantFiles> {
        let files = self.files_of(type_name)?;
        files.check_creation()?;
        match &self.faults.absent {
            Some(absent) => Err(absent.clone().into()),
            None => Ok(files),
        }
    }

    fn look_up(&self, type_name: Option<&TypeName>) -> Option<&TenantFiles> {
        match type_name {
            None => Some(&self.tenant),
            Some(type_name) => self.types.get(type_name),
        }
    }

    fn without_mistakes(self) -> Result<Self, MigrationError> {
        let mistakes = self.mistakes();
        if mistakes.is_empty() { Ok(self) } else { Err(MigrationError::first_of(mistakes)) }
    }

    /// The migrations of the master schema.
    pub fn master(&self) -> &MigrationSet {
        &self.master
    }

    /// The migrations of each tenant's schema: all that those without a type have.
    pub fn tenant(&self) -> &MigrationSet {
        self.tenant.set()
    }

    /// The types there are, each with all migrations of its tenants' schemas.
    pub fn types(&self) -> impl Iterator<Item = (&TypeName, &MigrationSet)> {
        self.types.iter().map(|(name, files)| (name, files.set()))
    }

    /// All migrations of the tenants of a type, or of those without one. `None` if there is no such type.
    pub fn of_type(&self, type_name: Option<&TypeName>) -> Option<&MigrationSet> {
        self.look_up(type_name).map(TenantFiles::set)
    }

    /// Lets new tenants start from the text of a `baseline.sql`, for an application that compiled its
    /// migrations in. Those that are read from directories have theirs already.
    ///
    /// # Errors
    /// If it was made from other migrations than these, or holds what no migration may hold.
    pub fn with_baseline(self, text: &str) -> Result<Self, MigrationError> {
        let baseline = baseline::compiled_in(text, self.tenant())?;
        let Self { mut tenant, mut types, .. } = self;
        for files in std::iter::once(&mut tenant).chain(types.values_mut()) {
            if !files.has_own_baseline {
                files.baseline = Some(Arc::clone(&baseline));
            }
        }
        Ok(Self { tenant, types, ..self })
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
        let code = Code::new(function);
        let Self { mut tenant, mut types, .. } = self;
        tenant.set = Arc::new(tenant.set().clone().with_code(version, code.clone())?);
        for files in types.values_mut() {
            // A file of the type's own may have the version where those of all tenants are faulty.
            if files.set().get(version).is_some_and(|migration| !migration.is_of_type()) {
                files.set = Arc::new(files.set().clone().with_code(version, code.clone())?);
            }
        }
        Ok(Self { tenant, types, ..self })
    }

    /// The baseline that new tenants without a type start from, if there is one.
    pub fn baseline(&self) -> Option<&Baseline> {
        self.tenant.baseline()
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
        self.lint_in(Home::Tenant { extensions: extension_schemas, server: TenantServer::Postgres })
    }

    /// Does what [`lint_with`](Self::lint_with) does, for tenants on Citus: the rules `citus-…` are looked at, too.
    pub fn lint_on_citus(&self, extension_schemas: &[SchemaName]) -> Vec<Warning> {
        let reference_tables = self.reference_tables();
        let server = TenantServer::Citus { reference_tables: &reference_tables };
        self.lint_in(Home::Tenant { extensions: extension_schemas, server })
    }

    /// The tables that the master schema's files copy to every node of Citus.
    pub(crate) fn reference_tables(&self) -> Vec<String> {
        self.master().iter().flat_map(|migration| lint::reference_tables(migration.up())).collect()
    }

    fn lint_in(&self, tenant: Home<'_>) -> Vec<Warning> {
        let of_types =
            self.types().flat_map(|(_, set)| set.iter().filter(|migration| migration.is_of_type()));
        let of_tenants = self.tenant().iter().chain(of_types).map(|migration| (migration, tenant));
        let of_master = self.master().iter().map(|migration| (migration, Home::Master));
        of_master
            .chain(of_tenants)
            .flat_map(|(migration, home)| {
                let scripts = [Some(migration.up()), migration.down()].into_iter().flatten();
                // What no migration may hold is no matter of taste.
                let accepted = scripts.filter(|script| script.refusals().is_empty());
                accepted.flat_map(move |script| lint::lint(script, home))
            })
            .collect()
    }

    fn new(scripts: [Vec<Script>; 2], mut errors: Vec<MigrationError>) -> Self {
        // Of what is missing, a second error would only say that it is.
        let is_whole = errors.is_empty();
        let mut in_sets = Vec::new();
        let [master, tenant] = scripts.map(|scripts| MigrationSet::new(scripts, &mut in_sets));
        errors.extend(in_sets.into_iter().filter(|_| is_whole));
        let faults = Arc::new(Faults { files: errors, ..Faults::default() });
        let tenant = TenantFiles::of(tenant, Vec::new());
        Self { master: Arc::new(master), tenant, types: BTreeMap::new(), faults, is_none: false }
    }
}

/// Says whether the files that new schemas start from are read.
#[derive(Clone, Copy)]
enum Baselines {
    Read,
    /// One of them is about to be written again.
    Ignored,
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
