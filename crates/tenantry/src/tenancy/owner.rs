//! Sessions of the owner of the schemas, for operators.

use sqlx::PgConnection;

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::tenant::{Alias, Tenant};

impl Tenancy {
    /// Opens a session in the schema of a tenant as the owner of the schemas: with `owner_url` where the database has
    /// one, else as the application. It belongs to no pool, and the caller closes it.
    ///
    /// The path is that of a handle, and the server has confirmed it; what the caller does to it nobody looks at. For
    /// an operator's own statements. Migrations bring schemas up to date, and handles serve requests.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> Result<(), Box<dyn std::error::Error>> {
    /// let acme = tenancy.tenant("acme").await?;
    /// let mut session = tenancy.owner_session(&acme).await?;
    /// sqlx::query("VACUUM note").execute(&mut session).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::TenantUnavailable`] unless the tenant is active; [`ErrorKind::MissingSchema`] if its schema is
    /// gone; [`ErrorKind::Unsupported`] if there is no way past a pooler in transaction mode.
    pub async fn owner_session(&self, tenant: &Tenant) -> Result<PgConnection> {
        tenant.check_served()?;
        self.inner.context.databases.owner_session(tenant.database(), tenant.schema()).await
    }

    /// Opens the same in the master schema of the default database.
    ///
    /// # Errors
    /// Like [`owner_session`](Self::owner_session).
    pub async fn master_owner_session(&self) -> Result<PgConnection> {
        let context = &self.inner.context;
        context.databases.owner_session(&Alias::default(), &context.layout.master_schema).await
    }
}
