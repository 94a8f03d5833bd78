//! Types of tenants, which an application's own program adds to the files of all.

use std::path::Path;
use std::sync::Arc;

use sqlx::PgConnection;

use super::{Baselines, Migrations, compiled};
use crate::error::Result as CrateResult;
use crate::migration::code::{Code, CodeFuture};
use crate::migration::error::MigrationError;
use crate::migration::{baseline, tenant_files};
use crate::tenant::TypeName;

impl Migrations {
    /// Adds a type of tenants with the further migrations of a directory, and the `baseline.sql` there.
    ///
    /// ```no_run
    /// use tenantry::Migrations;
    /// use tenantry::tenant::TypeName;
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let migrations = Migrations::from_dirs("migrations/master", "migrations/tenant")?
    ///     .with_type_dir(TypeName::parse("pro")?, "migrations/pro")?;
    /// # let _ = migrations;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Like [`from_dirs`](Self::from_dirs); if a version is one of all tenants already.
    pub fn with_type_dir(
        self,
        type_name: TypeName,
        directory: impl AsRef<Path>,
    ) -> Result<Self, MigrationError> {
        self.with_read(&type_name, directory.as_ref(), Baselines::Read).without_mistakes()
    }

    /// Adds a type of tenants with the further migrations that `sqlx::migrate!("…")` compiled in.
    ///
    /// # Errors
    /// Like [`with_type_dir`](Self::with_type_dir).
    pub fn with_type_migrator(
        mut self,
        type_name: TypeName,
        migrator: &sqlx::migrate::Migrator,
    ) -> Result<Self, MigrationError> {
        let mut errors = Vec::new();
        let scripts = compiled(migrator, &mut errors);
        let files = self.typed(&type_name, scripts, errors);
        self.types.insert(type_name, files);
        self.without_mistakes()
    }

    /// Lets new tenants of a type start from the text of its own `baseline.sql`, as
    /// [`with_baseline`](Self::with_baseline) does for those without one.
    ///
    /// # Errors
    /// Like [`with_baseline`](Self::with_baseline); if there is no such type.
    pub fn with_type_baseline(mut self, type_name: &TypeName, text: &str) -> CrateResult<Self> {
        let files = self.types.get_mut(type_name).ok_or_else(|| tenant_files::unknown(type_name))?;
        files.baseline = Some(baseline::compiled_in(text, files.set())?);
        files.has_own_baseline = true;
        Ok(self)
    }

    /// Does what [`with_code`](Self::with_code) does for a file of a type's own.
    ///
    /// # Errors
    /// If there is no such type, or no file of it with this version begins with `-- code`.
    pub fn with_type_code(
        mut self,
        type_name: &TypeName,
        version: i64,
        function: impl for<'c> Fn(&'c mut PgConnection) -> CodeFuture<'c> + Send + Sync + 'static,
    ) -> CrateResult<Self> {
        let files = self.types.get_mut(type_name).ok_or_else(|| tenant_files::unknown(type_name))?;
        files.set = Arc::new(files.set().clone().with_code(version, Code::new(function))?);
        Ok(self)
    }
}
