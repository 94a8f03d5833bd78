//! Databases of one customer each, which become tenants.

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::lifecycle::{self, ExaminedDatabase, ImportedDatabase, SourceDatabase};
use crate::observe::{Steps, make_in_span};
use crate::provision::NewTenant;
use crate::tenant::Verb;

impl Tenancy {
    /// Makes a tenant of a customer's own database: the structure and the rows of its schema `public`, or of
    /// [another one](SourceDatabase::schema). It can be served when this returns.
    ///
    /// `dump` gives what `pg_dump` says of the source when it is called with these arguments, by its login.
    ///
    /// The source is read in one read-only transaction, while others write to it; only `TRUNCATE` and what changes a
    /// table wait. The tenant is one transaction, so that a call that is interrupted leaves nothing. In another
    /// database than the default one ([`NewTenant::database`]) the row in the registry is entered when all is made and
    /// compared, and after an interruption in between the same call goes on. Rows travel as text, a few at a time, and
    /// are counted on both sides. Both are compared by everything that the servers say of them (by the names of
    /// everything, where they are of two major versions) before anybody can see the tenant.
    ///
    /// What extensions had in `public` is found where the extension is here, among the schemas of extensions. All
    /// belongs to the owner here. Privileges of roles that are not here are left out, and so is what lies in other
    /// schemas: [`ImportedDatabase::notes`] says so.
    ///
    /// The version is [`NewTenant::applied_through`]; or what the ledger says that is there (`_sqlx_migrations`),
    /// if it is
    /// one of these files; or else the newest at which the files make the same structure.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`], before anything is made, naming what cannot be carried: functions and strings
    /// with the
    /// schema's name in them, extensions and collations that are not here, rows that policies hide, large objects, what
    /// depends on another schema, an encoding that says nothing, a server that is newer than this one.
    /// [`ErrorKind::AlreadyExists`] if the slug or a domain is taken. Or whatever `dump` fails with. No error
    /// repeats the
    /// URL of the source.
    pub async fn import_database<E: From<Error>>(
        &self,
        source: &SourceDatabase,
        new: NewTenant,
        dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<ImportedDatabase, E> {
        self.import_database_observed(source, new, (), dump).await
    }

    /// Does what [`import_database`](Self::import_database) does, and tells of its steps. Cancelled, it fails, and
    /// leaves
    /// nothing.
    ///
    /// # Errors
    /// Like [`import_database`](Self::import_database).
    pub async fn import_database_observed<E: From<Error>>(
        &self,
        source: &SourceDatabase,
        new: NewTenant,
        steps: impl Steps,
        mut dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<ImportedDatabase, E> {
        let context = &self.inner.context;
        let import = lifecycle::import_database(context, source, &new, &steps, &mut dump);
        let imported = make_in_span(Verb::Import, Some(new.slug()), |made| &made.tenant, import).await?;
        // Somebody may have looked for it before it was there.
        self.inner.registry.forget_tenant(&imported.tenant).await;
        Ok(imported)
    }

    /// Finds what would keep a database from becoming this tenant, and what would be left out. Nothing is made.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the slug or a domain is taken, or an error of either database or of `dump`.
    pub async fn examine_database<E: From<Error>>(
        &self,
        source: &SourceDatabase,
        new: NewTenant,
        mut dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<ExaminedDatabase, E> {
        lifecycle::examine_database(&self.inner.context, source, &new, &mut dump).await
    }
}
