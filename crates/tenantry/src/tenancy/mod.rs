//! The one value an application keeps: everything starts from it.
//!
//! [`Tenancy`] only says which part of the library does a thing, and which of them hear of it. Each file holds
//! the calls of one subject.

mod adopt;
#[cfg(feature = "archive")]
mod archive;
mod audit;
mod builder;
mod clone;
mod databases;
mod events;
mod fleet;
mod for_each;
mod import_database;
mod jobs;
mod life;
mod listen;
mod moves;
mod owner;
mod scope;
mod spares;
mod status;
mod suspend;
mod tenants;
#[cfg(feature = "testing")]
mod testing;
mod types;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::context::Context;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
#[cfg(feature = "tokio-postgres")]
use crate::pool::{MasterClient, TenantClient};
use crate::pool::{MasterDb, Surroundings, TenantDb, TenantReadDb};
#[cfg(feature = "diesel-async")]
use crate::pool::{MasterDiesel, TenantDiesel};
use crate::registry::Registry;
use crate::resolve::Resolve;
use crate::tenant::{Alias, Tenant};

pub use self::builder::Builder;
pub use self::status::TenancyStatus;

/// All tenants of one installation. Cheap to clone; made with [`Tenancy::builder`].
///
/// ```no_run
/// use tenantry::resolve::Subdomain;
/// use tenantry::{DatabaseConfig, Migrations, NewTenant, Tenancy};
///
/// # async fn example(url: &str) -> tenantry::Result<()> {
/// let tenancy = Tenancy::builder()
///     .database(DatabaseConfig::from_url(url)?)
///     .migrations(Migrations::from_dirs("migrations/master", "migrations/tenant")?)
///     .resolver(Subdomain::of("example.com")?)
///     .connect()
///     .await?;
///
/// let acme = tenancy.create(NewTenant::new("acme").name("Acme Ltd")).await?;
/// let db = tenancy.db(&acme)?;
/// let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await?;
/// assert_eq!(notes, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tenancy {
    inner: Arc<Inner>,
}

struct Inner {
    context: Arc<Context>,
    registry: Registry,
    resolver: Arc<dyn Resolve>,
}

impl Tenancy {
    /// The tables of a tenant. This is where its status counts, for requests and for jobs alike, and again at
    /// each checkout: a handle may be kept.
    ///
    /// # Errors
    /// [`ErrorKind::Suspended`] if the tenant is suspended, and may not be read; [`ErrorKind::TenantUnavailable`]
    /// unless it is active otherwise, or on its way to another database: then checkouts wait.
    pub fn db(&self, tenant: &Tenant) -> Result<TenantDb> {
        self.handle(tenant, false)
    }

    /// The same for a tenant that was read from the registry just now, or some time ago.
    fn handle(&self, tenant: &Tenant, is_just_read: bool) -> Result<TenantDb> {
        tenant.check_served_soon()?;
        let pool = self.inner.context.databases.pool(tenant.database())?.clone();
        Ok(TenantDb::new(pool, tenant.clone(), self.surroundings(), is_just_read))
    }

    /// The tables of a suspended tenant, until this time.
    pub(crate) fn db_until(&self, tenant: &Tenant, until: OffsetDateTime) -> Result<TenantDb> {
        let pool = self.inner.context.databases.pool(tenant.database())?.clone();
        Ok(TenantDb::new(pool, tenant.clone(), self.surroundings_until(until), false))
    }

    /// The tables of a tenant, to read: from a [replica](crate::DatabaseConfig::replica_url) of its database where one
    /// can be read, else from its primary.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> Result<(), Box<dyn std::error::Error>> {
    /// let acme = tenancy.tenant("acme").await?;
    /// let replica = tenancy.replica(&acme)?;
    /// let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&replica).await?;
    /// # let _ = notes;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The first read begins to look at the replicas: with one connection of its own to each of them, and one to the
    /// primary, once a second.
    ///
    /// # Errors
    /// Like [`db`](Self::db).
    pub fn replica(&self, tenant: &Tenant) -> Result<TenantReadDb> {
        tenant.check_served()?;
        self.inner.context.databases.tenant_reader(tenant, self.surroundings())
    }

    /// The same of a suspended tenant, until this time.
    pub(crate) fn replica_until(&self, tenant: &Tenant, until: OffsetDateTime) -> Result<TenantReadDb> {
        self.inner.context.databases.tenant_reader(tenant, self.surroundings_until(until))
    }

    fn surroundings(&self) -> Surroundings {
        let fleet = self.inner.context.migrations.tenant().digest();
        Surroundings { standing: self.inner.registry.standing(), fleet, bypass_until: None }
    }

    fn surroundings_until(&self, until: OffsetDateTime) -> Surroundings {
        Surroundings { bypass_until: Some(until), ..self.surroundings() }
    }

    /// The tables of the master schema.
    pub fn master(&self) -> MasterDb {
        MasterDb::new(self.inner.context.databases.default_pool().clone())
    }

    /// The tables of the master schema in another database.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if no database goes by this alias.
    pub fn master_of(&self, alias: &Alias) -> Result<MasterDb> {
        Ok(MasterDb::new(self.inner.context.databases.pool(alias)?.clone()))
    }

    /// The tables of a tenant, for code that is written against tokio-postgres. As [`db`](Self::db), on
    /// connections of a pool of its own, with the same limits. There is none behind a pooler in transaction
    /// mode: every statement fails with [`ErrorKind::Unsupported`].
    ///
    /// # Errors
    /// Like [`db`](Self::db).
    #[cfg(feature = "tokio-postgres")]
    pub fn client(&self, tenant: &Tenant) -> Result<TenantClient> {
        tenant.check_served_soon()?;
        let pool = self.inner.context.databases.client_pool(tenant.database())?.clone();
        Ok(TenantClient::new(pool, tenant.clone(), self.surroundings()))
    }

    /// The same of a suspended tenant, until this time.
    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn client_until(&self, tenant: &Tenant, until: OffsetDateTime) -> Result<TenantClient> {
        let pool = self.inner.context.databases.client_pool(tenant.database())?.clone();
        Ok(TenantClient::new(pool, tenant.clone(), self.surroundings_until(until)))
    }

    /// The tables of the master schema, for code that is written against tokio-postgres.
    #[cfg(feature = "tokio-postgres")]
    pub fn master_client(&self) -> MasterClient {
        MasterClient::new(self.inner.context.databases.default_client_pool().clone())
    }

    /// The tables of a tenant, for code that is written against Diesel: a connection for `diesel-async`. It takes its
    /// connections from the pool of [`client`](Self::client).
    ///
    /// # Errors
    /// Like [`db`](Self::db).
    #[cfg(feature = "diesel-async")]
    pub fn diesel(&self, tenant: &Tenant) -> Result<TenantDiesel> {
        tenant.check_served_soon()?;
        let pool = self.inner.context.databases.client_pool(tenant.database())?.clone();
        Ok(TenantDiesel::new(pool, tenant.clone(), self.surroundings()))
    }

    /// The same of a suspended tenant, until this time.
    #[cfg(feature = "diesel-async")]
    pub(crate) fn diesel_until(&self, tenant: &Tenant, until: OffsetDateTime) -> Result<TenantDiesel> {
        let pool = self.inner.context.databases.client_pool(tenant.database())?.clone();
        Ok(TenantDiesel::new(pool, tenant.clone(), self.surroundings_until(until)))
    }

    /// The tables of the master schema, for code that is written against Diesel.
    #[cfg(feature = "diesel-async")]
    pub fn master_diesel(&self) -> MasterDiesel {
        MasterDiesel::new(self.inner.context.databases.default_client_pool().clone())
    }

    /// Stops the listener, refuses new checkouts, waits for the connections in use and closes all.
    ///
    /// # Errors
    /// [`ErrorKind::PoolTimeout`] naming who still holds a connection when the time is over.
    pub async fn close(&self, limit: Duration) -> Result<()> {
        self.inner.registry.stop().await;
        self.inner.context.databases.close(limit).await
    }
}

impl fmt::Debug for Tenancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aliases: Vec<_> = self.inner.context.databases.aliases().map(Alias::as_str).collect();
        f.debug_struct("Tenancy").field("databases", &aliases).finish_non_exhaustive()
    }
}
