//! Schemas that are there, and become tenants.

use std::num::NonZeroUsize;

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::lifecycle::{self, Adoptable, Adoption, SchemaChoice};
use crate::observe::{Steps, make_in_span};
use crate::tenant::{Alias, SchemaName, Tenant, TypeName, Verb};

/// Schemas that are compared at a time.
const JOBS: NonZeroUsize = NonZeroUsize::new(4).expect("more than none");

impl Tenancy {
    /// Looks for schemas that belong to nobody and may become tenants, in the order of their names, and compares each
    /// with what the migration files make. Nothing is changed. [`adopt`](Self::adopt) makes a tenant of one.
    ///
    /// What the files make at each version is found by a replay in a scratch schema, which is gone afterwards. It is
    /// made once per set of files, and kept in `tenantry.replay`. Rows are not compared, and other owners and
    /// privileges are only told ([`Adoptable::notes`]). Tables in which other tools note what they have applied are
    /// read to find the version, and left alone.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if no database goes by this alias. A file that cannot be replayed is no error:
    /// [`Adoptable::unknown`] tells of it.
    pub async fn adoptable(&self, database: &Alias, choice: &SchemaChoice) -> Result<Vec<Adoptable>> {
        self.adoptable_observed(database, choice, JOBS, ()).await
    }

    /// Does what [`adoptable`](Self::adoptable) does, compares this many schemas at a time, and tells how far it is.
    ///
    /// # Errors
    /// Like [`adoptable`](Self::adoptable).
    pub async fn adoptable_observed(
        &self,
        database: &Alias,
        choice: &SchemaChoice,
        jobs: NonZeroUsize,
        steps: impl Steps,
    ) -> Result<Vec<Adoptable>> {
        lifecycle::adoptable(&self.inner.context, database, choice, None, jobs, &steps).await
    }

    /// Does what [`adoptable_observed`](Self::adoptable_observed) does, for tenants that are to have a type: the
    /// schemas are compared with what the files of the type make beside those of all.
    ///
    /// # Errors
    /// Like [`adoptable`](Self::adoptable), and [`ErrorKind::Configuration`] if there is no such type.
    pub async fn adoptable_of_type(
        &self,
        type_name: &TypeName,
        database: &Alias,
        choice: &SchemaChoice,
        jobs: NonZeroUsize,
        steps: impl Steps,
    ) -> Result<Vec<Adoptable>> {
        lifecycle::adoptable(&self.inner.context, database, choice, Some(type_name), jobs, &steps).await
    }

    /// Makes a tenant of a schema that is there, and notes in its ledger what it has applied: the version whose files
    /// make what is in it, which is compared once more in the transaction that does this. Nothing else in the schema is
    /// changed. To undo it, [`release`](Self::release) the tenant.
    ///
    /// ```no_run
    /// use tenantry::lifecycle::{Adoption, SchemaChoice};
    /// use tenantry::tenant::Alias;
    ///
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// let choice = SchemaChoice::Like("tenant_%".to_owned());
    /// for found in tenancy.adoptable(&Alias::default(), &choice).await? {
    ///     println!("{} is at {:?}", found.schema, found.version);
    ///     tenancy.adopt(&Adoption::of(found)).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Migration`] if the schema is not what the files make, and the [`Adoption`] does not say what to do
    /// then; [`ErrorKind::Conflict`] if it was changed since it was compared; [`ErrorKind::AlreadyExists`] if slug,
    /// domain or schema belong to a tenant; [`ErrorKind::InvalidInput`] for a slug that cannot be one.
    pub async fn adopt(&self, adoption: &Adoption) -> Result<Tenant> {
        let adopt = lifecycle::adopt(&self.inner.context, adoption);
        let tenant = make_in_span(Verb::Adopt, adoption.chosen_slug(), |made| made, adopt).await?;
        // Somebody may have looked for it before it was there.
        self.inner.registry.forget_tenant(&tenant).await;
        Ok(tenant)
    }

    /// Picks the schemas of a database that belong to a tenant or a spare.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn owned_schemas(&self, database: &Alias, schemas: &[SchemaName]) -> Result<Vec<SchemaName>> {
        lifecycle::owned(&self.inner.context, database, schemas).await
    }
}
