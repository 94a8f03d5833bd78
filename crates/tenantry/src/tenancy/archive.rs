//! Archives of tenants.

use std::io::{self, Read, Write};
use std::sync::Arc;

use tracing::Instrument as _;

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::lifecycle::{self, ExportOptions, Exported, FromArchive, ImportedTenant};
use crate::observe::{Steps, make_in_span, verb_span};
use crate::tenant::{Tenant, Verb};

impl Tenancy {
    /// Writes a tenant into one file, which [`archive`](crate::archive) describes: its structure, its rows, its
    /// ledger, its settings and its domains. Whatever it is written to gets all of the file before this returns, and
    /// a file that is cut off is noticed: see [`ArchiveFile`](crate::archive::ArchiveFile) for a file that is there
    /// when it is whole.
    ///
    /// The tenant may be active, suspended or deleted, and may live in any database. The rows are those of one
    /// moment. It is read and written meanwhile; only `TRUNCATE` and what rewrites a table wait, and so does a
    /// migration. Rows stream through, so that the size of a table does not count.
    ///
    /// `dump` is what it is for [`clone_tenant`](Self::clone_tenant), and is called for the database of the tenant.
    /// Archives and clones keep one structure for all tenants whose schema is the same.
    ///
    /// The audit has the SHA-256 of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`], before anything is written, naming what an archive would be without; what
    /// [`clone_tenant`](Self::clone_tenant) lists. [`ErrorKind::TenantUnavailable`] for a tenant that is half made or
    /// half gone. [`ErrorKind::Conflict`] while it is being migrated. [`ErrorKind::InvalidInput`] if it cannot be
    /// written. Or whatever `dump` fails with.
    pub async fn export<E: From<Error>>(
        &self,
        tenant: &Tenant,
        to: impl Write + Send + 'static,
        options: &ExportOptions,
        dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Exported, E> {
        self.export_observed(tenant, to, options, (), dump).await
    }

    /// Does what [`export`](Self::export) does, and tells of its steps. Cancelled, it fails, and what was written has
    /// no end.
    ///
    /// # Errors
    /// Like [`export`](Self::export).
    pub async fn export_observed<E: From<Error>>(
        &self,
        tenant: &Tenant,
        to: impl Write + Send + 'static,
        options: &ExportOptions,
        steps: impl Steps,
        mut dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Exported, E> {
        let export = lifecycle::export(&self.inner.context, tenant, to, options, &steps, &mut dump);
        export.instrument(verb_span(Verb::Export, tenant)).await
    }

    /// Makes a tenant of an archive that [`export`](Self::export) has written, in the default database or the one that
    /// [`FromArchive::database`] names. It can be served when this returns.
    ///
    /// `archive` opens it, and is called several times: all of it is verified before anything is made, then it is
    /// imported, and a third time where a `CHECK` of one table asks another. What it needs is compared with what
    /// there is before anything is made, too: the server, extensions, roles, files.
    ///
    /// Schema and rows are one transaction, in the default database with the row of the registry. If the archive is
    /// older than the files, they are applied behind it, and until then the tenant is `provisioning`: after an
    /// interruption the same call goes on.
    /// Where the server is of the major version that the archive comes from, and the owner is called the same, the
    /// structure is compared with the one that was exported. Rows are counted always.
    ///
    /// **The SQL of an archive runs as the owner.** Import only what you trust: an archive that somebody has rewritten
    /// cannot be told from one that this library has written, but by the SHA-256 in the audit.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// use tenantry::FromArchive;
    ///
    /// let open = || Ok(Box::new(std::fs::File::open("acme.tar.zst")?) as Box<_>);
    /// let imported = tenancy.import(open, &FromArchive::default().slug("acme-2")).await?;
    /// println!("{} with {} rows", imported.tenant.slug(), imported.rows);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a file that is damaged, changed or no archive. [`ErrorKind::AlreadyExists`] if
    /// the slug or a domain is taken. [`ErrorKind::Unsupported`] if the server is older, has another encoding, or
    /// lacks an extension, a role or a tablespace; or has not enough locks for so many tables.
    /// [`ErrorKind::Migration`] if the files do not have what it has applied, or one of them was changed since; or if
    /// one fails behind the import. In all cases but the last one nothing was made.
    pub async fn import(
        &self,
        archive: impl Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync + 'static,
        order: &FromArchive,
    ) -> Result<ImportedTenant> {
        self.import_observed(archive, order, ()).await
    }

    /// Does what [`import`](Self::import) does, and tells of its steps. Cancelled, it fails, and leaves nothing.
    ///
    /// # Errors
    /// Like [`import`](Self::import).
    pub async fn import_observed(
        &self,
        archive: impl Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync + 'static,
        order: &FromArchive,
        steps: impl Steps,
    ) -> Result<ImportedTenant> {
        let open = Arc::new(archive);
        let import = lifecycle::import_archive(&self.inner.context, open, order, &steps);
        let imported = make_in_span(Verb::Import, order.chosen_slug(), |made| &made.tenant, import).await?;
        // Somebody may have looked for it before it was there.
        self.inner.registry.forget_tenant(&imported.tenant).await;
        Ok(imported)
    }
}
