//! Jobs that a queue keeps: each is for a tenant, which is looked up when the job runs.

use sqlx::PgPool;

use super::Tenancy;
use crate::error::Result;
#[cfg(doc)]
use crate::error::{Error, ErrorKind};
use crate::pool::TenantDb;
use crate::resolve::TenantKey;
use crate::tenant::{ForTenant, TenantId};

impl Tenancy {
    /// The tables of the tenant with this id, as it is at this moment: for a job that was enqueued some time ago.
    ///
    /// A tenant that was renamed meanwhile is found, and so is one that was moved, or deleted and brought back. It is
    /// answered from memory while the tenant does not change. Like any handle, this one looks again at each checkout.
    ///
    /// ```no_run
    /// # use tenantry::{Tenancy, tenant::TenantId};
    /// # async fn example(tenancy: Tenancy, id: TenantId) -> Result<(), Box<dyn std::error::Error>> {
    /// let db = tenancy.db_of(id).await?;
    /// sqlx::query("DELETE FROM note WHERE title = ''").execute(&db).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// | the tenant is | kind | [status](Error::tenant_status) | [permanent](Error::is_permanent) |
    /// | --- | --- | --- | --- |
    /// | nobody, never was, or is purged | [`ErrorKind::UnknownTenant`] | none | yes |
    /// | deleted, or being purged | [`ErrorKind::UnknownTenant`] | `deleted`, `purging` | yes |
    /// | suspended, and may not be read | [`ErrorKind::Suspended`] | `suspended` | no |
    /// | being made | [`ErrorKind::TenantUnavailable`] | `provisioning` | no |
    /// | being moved | none: the first statement waits for the end of the move | | |
    ///
    /// A tenant that is moved for longer than [`PoolConfig::move_wait`](crate::PoolConfig::move_wait) is
    /// [`ErrorKind::TenantUnavailable`] of a statement, with the status `moving`. One in a database that this process
    /// has no configuration of is [`ErrorKind::Configuration`]. Both are not permanent.
    pub async fn db_of(&self, id: TenantId) -> Result<TenantDb> {
        self.db(&self.find(&TenantKey::Id(id)).await?)
    }

    /// A stock `PgPool` of the master schema in the default database, for queues that insist on one. All who ask
    /// get the same one, with 5 connections of its own, and [`close`](Self::close) closes it.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = tenancy.master_pool()?;
    /// let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM apalis.jobs").fetch_one(&pool).await?;
    /// # let _ = waiting;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # What it reaches
    ///
    /// Unqualified names mean the master schema, and then the extensions, as with a [`MasterDb`](crate::MasterDb). It
    /// is a plain pool beyond that: nobody looks at its statements, cleans its sessions or counts them for fairness. By
    /// its schema's name it reaches whatever the application's login may, tenants included. So give it to the queue,
    /// and to the job the [`TenantDb`] that it is for.
    ///
    /// It connects past the pooler where there is one, since queues listen and lock.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] behind a pooler in transaction mode without a
    /// [`direct_url`](crate::DatabaseConfig::direct_url). A session that cannot be led to the master schema is
    /// [`sqlx::Error::PoolTimedOut`] of a checkout, and its reason is logged by sqlx.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as sqlx does.
    pub fn master_pool(&self) -> Result<PgPool> {
        self.inner.context.databases.master_pool()
    }
}

impl<J> ForTenant<J> {
    /// Looks the tenant up, and gives its tables and the job.
    ///
    /// # Errors
    /// Those of [`Tenancy::db_of`]. The job is gone then, but the queue has it still: [`Error::is_permanent`] says
    /// whether it is worth another attempt.
    pub async fn open(self, tenancy: &Tenancy) -> Result<(TenantDb, J)> {
        let (id, job) = self.into_parts();
        Ok((tenancy.db_of(id).await?, job))
    }
}
