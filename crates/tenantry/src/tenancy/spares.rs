//! Spares: schemas that are made ahead of time.

use std::sync::Arc;

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::observe::Steps;
use crate::provision::{self, KeepSpares, SpareKeeper, SpareSummary, Stale};
use crate::registry::Spare;
use crate::tenant::TypeName;

impl Tenancy {
    /// Removes the spares that are stale, and makes new ones until there are this many in each database that new
    /// tenants come to.
    ///
    /// A spare is a schema with all tenant migrations, made ahead of time: [`create`](Self::create) takes one
    /// where it can, renames it, and is done in a few milliseconds. A spare that has not applied what the
    /// migrations make now is never handed out, so call this after [`migrate`](Self::migrate), and from time to
    /// time, or have it done by [`keep_spares`](Self::keep_spares). Two who fill at once make no more than one.
    ///
    /// Where all tenants are made in `default`, that is the only one. A [closed](Self::close_database) database keeps
    /// no spares. One that does not answer is left out, and is among the [unreachable](Self::unreachable) ones.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if each tenant has a role of its own, if a file is not plain SQL in a transaction,
    /// or if a function of the schema has the schema's own name in its text, which a rename does not change;
    /// [`ErrorKind::Migration`] if a file fails.
    pub async fn fill_spares(&self, count: u32) -> Result<SpareSummary> {
        self.fill_spares_observed(count, ()).await
    }

    /// Does what [`fill_spares`](Self::fill_spares) does, and tells of each spare. Cancelled, it ends behind the one it
    /// is at.
    ///
    /// # Errors
    /// Like [`fill_spares`](Self::fill_spares).
    pub async fn fill_spares_observed(&self, count: u32, steps: impl Steps) -> Result<SpareSummary> {
        provision::fill_spares(&self.inner.context, None, None, count, Stale::Now, &steps).await
    }

    /// Does what [`fill_spares_observed`](Self::fill_spares_observed) does, for tenants of a type. Those without a type
    /// take none of these.
    ///
    /// # Errors
    /// Like [`fill_spares`](Self::fill_spares); [`ErrorKind::Configuration`] if there is no such type.
    pub async fn fill_spares_of_type(
        &self,
        type_name: &TypeName,
        count: u32,
        steps: impl Steps,
    ) -> Result<SpareSummary> {
        provision::fill_spares(&self.inner.context, None, Some(type_name), count, Stale::Now, &steps).await
    }

    /// Keeps this many spares, in a background task. It looks at once, whenever this process has made a tenant
    /// of one, and from time to time for what others have taken.
    ///
    /// Any number of servers may do so at once; together they make no more than one. Failures are logged, and
    /// it is tried again after growing pauses. It needs a connection of its own while it looks. Stale spares
    /// are replaced; the old ones are removed when they are 15 minutes old, since while servers are
    /// replaced one by one the version before has spares as well, and may be making them.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// use tenantry::KeepSpares;
    ///
    /// let spares = tenancy.keep_spares(KeepSpares { count: 20, ..KeepSpares::default() })?;
    /// // … serve requests …
    /// spares.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if each tenant has a role of its own, or if a file runs outside of a
    /// transaction.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn keep_spares(&self, options: KeepSpares) -> Result<SpareKeeper> {
        SpareKeeper::start(Arc::clone(&self.inner.context), options)
    }

    /// All spares, database by database, the oldest first. Those of a database that does not answer are left out.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn spares(&self) -> Result<Vec<Spare>> {
        provision::list_spares(&self.inner.context).await
    }
}
