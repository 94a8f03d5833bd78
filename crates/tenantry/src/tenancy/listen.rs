//! Notifications of PostgreSQL's, by tenant.

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::pool::Notifications;
#[cfg(doc)]
use crate::pool::{MasterDb, Notification, TenantDb};
use crate::tenant::{Alias, Tenant};

impl Tenancy {
    /// Listens on a channel of the tenant, until the stream is dropped. What
    /// [`TenantDb::notify`] announces after this returns is heard.
    ///
    /// ```no_run
    /// use futures_util::StreamExt as _;
    /// use tenantry::pool::Notification;
    ///
    /// # async fn example(tenancy: tenantry::Tenancy) -> Result<(), Box<dyn std::error::Error>> {
    /// let acme = tenancy.tenant("acme").await?;
    /// let mut notes = tenancy.listen(&acme, "note").await?;
    /// tenancy.db(&acme)?.notify("note", "42").await?;
    /// assert_eq!(notes.next().await, Some(Notification::Payload("42".to_owned())));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// All who listen in this process share one connection per database, which is none of the pool's. A tenant
    /// hears its own channels only. PostgreSQL knows each as `note.` and the name of the schema, so a
    /// trigger announces by `pg_notify('note.' || TG_TABLE_SCHEMA, …)`; the two together have at most 63 bytes.
    ///
    /// While the connection is lost, nothing is heard; when it is back, everybody gets
    /// [`Notification::Missed`].
    ///
    /// # Errors
    /// [`ErrorKind::TenantUnavailable`] unless the tenant is active, [`ErrorKind::InvalidInput`] for a name
    /// that is not made of lower-case letters, digits and `_`, or is too long,
    /// [`ErrorKind::DatabaseUnavailable`] if the server cannot be reached, [`ErrorKind::Unsupported`]
    /// behind a pooler in transaction mode without a `direct_url`.
    pub async fn listen(&self, tenant: &Tenant, channel: &str) -> Result<Notifications> {
        tenant.check_served()?;
        self.inner.context.databases.listen(tenant.database(), Some(tenant), channel).await
    }

    /// Listens on a channel of the master schema in the default database, where
    /// [`MasterDb::notify`] announces.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub async fn listen_master(&self, channel: &str) -> Result<Notifications> {
        self.inner.context.databases.listen(&Alias::default(), None, channel).await
    }
}
