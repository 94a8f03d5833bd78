//! Copies of tenants.

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::lifecycle::{self, CloneOptions, Cloned};
use crate::observe::{Steps, make_in_span};
use crate::provision::NewTenant;
use crate::tenant::{Tenant, Verb};

impl Tenancy {
    /// Makes a tenant as a copy of another one: the structure of its schema, its rows, its ledger, and its settings but
    /// for the name. It can be served when this returns, and nothing in it leads to its source.
    ///
    /// `dump` gives what `pg_dump` says of the source's database when it is called as the owner with these arguments.
    /// It is called once per structure: `pg_dump` reads the whole catalog, so what it says is kept, in
    /// `tenantry.structure`, for all tenants whose schema is the same.
    ///
    /// The clone is made in the database of its source, or in the one that [`NewTenant::database`] names. There, the
    /// rows are carried from one connection to another. The server may be of a newer major version, owner and
    /// application may go by other names: then shapes are compared, and privileges are not.
    ///
    /// All of it is one transaction, so that a call that is interrupted leaves nothing. In another database than the
    /// default one, the row in the registry is entered when all is made and compared, and after an interruption in
    /// between the same call goes on. More tables than the server has locks for (some 200, as it is installed) are made
    /// in several transactions behind that row; whatever fails then is removed.
    ///
    /// The rows are those of one moment. The source is read and written meanwhile; only `TRUNCATE` and what rewrites a
    /// table wait, and so does a migration. Types of the schema's own, partitions, sequences, policies, privileges,
    /// comments and casts are carried. The copy is compared with its source by everything that the server says of
    /// both, before anybody can see it.
    ///
    /// Where policies hide rows from their owner (`FORCE ROW LEVEL SECURITY`), a role reads them that the owner is a
    /// member of, has `BYPASSRLS` and may read the tables, by `SET LOCAL ROLE`.
    ///
    /// Triggers do not run while rows are copied. Domains and a role of the tenant's own are not shared.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`], before anything is made, naming what in the source cannot be carried: functions and
    /// strings with the schema's name in them, tables whose rows nobody sees for their owner, large objects, what
    /// belongs to other roles, what depends on the schema of another tenant; or an extension, a role, a tablespace or a
    /// shared table that another database lacks. [`ErrorKind::AlreadyExists`] if the slug or a domain is taken.
    /// [`ErrorKind::Conflict`] if the source is being migrated. [`ErrorKind::Migration`] if the SQL of
    /// [`CloneOptions::anonymize`] fails. Or whatever `dump` fails with.
    pub async fn clone_tenant<E: From<Error>>(
        &self,
        source: &Tenant,
        new: NewTenant,
        options: CloneOptions,
        dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Cloned, E> {
        self.clone_tenant_observed(source, new, options, (), dump).await
    }

    /// Does what [`clone_tenant`](Self::clone_tenant) does, and tells of its steps. Cancelled, it fails, and leaves
    /// nothing.
    ///
    /// # Errors
    /// Like [`clone_tenant`](Self::clone_tenant).
    pub async fn clone_tenant_observed<E: From<Error>>(
        &self,
        source: &Tenant,
        new: NewTenant,
        options: CloneOptions,
        steps: impl Steps,
        mut dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Cloned, E> {
        let clone = lifecycle::clone(&self.inner.context, source, &new, &options, &steps, &mut dump);
        let cloned = make_in_span(Verb::Clone, Some(new.slug()), |made| &made.tenant, clone).await?;
        // Somebody may have looked for it before it was there.
        self.inner.registry.forget_tenant(&cloned.tenant).await;
        Ok(cloned)
    }
}
