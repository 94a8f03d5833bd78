//! Several databases: which take new tenants, how full they are, and which do not answer.

use std::collections::BTreeMap;

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::lifecycle::{self, DatabaseState, DrainPlan};
use crate::tenant::Alias;

impl Tenancy {
    /// Tells of every database, counted and measured now. One that does not answer says so itself.
    ///
    /// # Errors
    /// If the registry cannot be read or written.
    pub async fn databases(&self) -> Result<Vec<DatabaseState>> {
        lifecycle::databases(&self.inner.context).await
    }

    /// Closes a database to new tenants, for all processes. Those that live there are served as before. Answers `false`
    /// if it was closed before.
    ///
    /// The [placement](crate::Builder::placement) leaves it out from now on, and a tenant that names it is refused with
    /// [`ErrorKind::DatabaseClosed`]: one that is made, cloned, imported, adopted or moved there. What was begun before
    /// is finished. The configuration may close it [as well](crate::DatabaseConfig::closed).
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// use tenantry::tenant::Alias;
    ///
    /// let eu = Alias::parse("eu")?;
    /// tenancy.close_database(&eu).await?;
    /// assert!(tenancy.databases().await?.iter().any(|database| database.is_closed()));
    /// tenancy.open_database(&eu).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if there is no such database.
    pub async fn close_database(&self, alias: &Alias) -> Result<bool> {
        lifecycle::close_database(&self.inner.context, alias).await
    }

    /// Opens a database to new tenants that was [closed](Self::close_database). Answers `false` if it was open before.
    ///
    /// # Errors
    /// Like [`close_database`](Self::close_database).
    pub async fn open_database(&self, alias: &Alias) -> Result<bool> {
        lifecycle::open_database(&self.inner.context, alias).await
    }

    /// Says where the tenants of a database go that is to be left, and changes nothing. They are spread by the
    /// [placement](crate::Builder::placement) over the databases that are named, or over all that are open and answer.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if there is no such database, [`ErrorKind::InvalidInput`] if it is to be left for
    /// itself.
    pub async fn plan_drain(&self, alias: &Alias, to: &[Alias]) -> Result<DrainPlan> {
        lifecycle::plan_drain(&self.inner.context, alias, to).await
    }

    /// Removes the spares of a database that is to be left. Answers with their number.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn remove_spares(&self, alias: &Alias) -> Result<usize> {
        lifecycle::drain_spares(&self.inner.context, alias).await
    }

    /// The databases that did not answer when they were last asked by something that goes on without them, each with
    /// its error: by a run, a list, a spare, a sign-up that could choose. The default one is never among them, since
    /// nothing goes on without it.
    pub fn unreachable(&self) -> BTreeMap<Alias, Error> {
        self.inner.context.databases.away().all()
    }
}
