//! Handles that a handler holds: the way to one tenant's tables, or to the master schema's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::checkout::Checkout;
use super::driver::{Driver, PgDriver};
use super::lease::{Lease, Switching};
use super::preparation::Preparation;
use super::preprocessor::Target;
use super::purpose::{Held, Purpose};
use super::shared::Pool;
use super::statement::Statement;
use super::transaction::Transaction;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::tenant::{Digest, Tenant};

/// The tables of one tenant.
///
/// `&TenantDb` is an [`Executor`](sqlx::Executor) like `&PgPool`: every statement checks a connection out, prepared for
/// this tenant, and gives it back. Unqualified names mean the tenant's schema; a table that is
/// missing there is an error.
///
/// ```no_run
/// # async fn example(db: tenantry::TenantDb) -> Result<(), sqlx::Error> {
/// let titles: Vec<String> = sqlx::query_scalar("SELECT title FROM note").fetch_all(&db).await?;
/// println!("{} notes of {}", titles.len(), db.tenant().slug());
/// # Ok(())
/// # }
/// ```
///
/// The errors of the checkout arrive as [`sqlx::Error::Io`]; `tenantry::Error::from` turns them back.
#[derive(Clone)]
pub struct TenantDb {
    tenant: Tenant,
    access: Access,
}

impl TenantDb {
    pub(crate) fn new(pool: Pool, tenant: Tenant, fleet: Option<&Digest>) -> Self {
        let access = Access::to_tenant(pool, &tenant, fleet);
        Self { tenant, access }
    }

    /// The tenant whose tables these are.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }
}

/// The tables of the master schema, which belong to no tenant.
///
/// Used like [`TenantDb`], of which it is a different type, so that a function says in its
/// signature which of the two it works on.
///
/// ```no_run
/// # async fn example(master: tenantry::MasterDb) -> Result<(), sqlx::Error> {
/// let plans: i64 = sqlx::query_scalar("SELECT count(*) FROM plan").fetch_one(&master).await?;
/// # let _ = plans;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MasterDb {
    access: Access,
}

impl MasterDb {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { access: Access::to_master(pool) }
    }
}

/// The parts that every kind of handle is made of.
pub(super) struct Access<D: Driver = PgDriver> {
    pub(super) pool: Pool<D>,
    target: Target,
    /// Set where it is the same at every checkout.
    preparation: Option<Arc<Preparation>>,
    pub(super) tag: Option<Digest>,
    /// Connections held over several statements through this handle and its clones.
    pub(super) held: Arc<AtomicU32>,
}

impl<D: Driver> Clone for Access<D> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            target: self.target.clone(),
            preparation: self.preparation.clone(),
            tag: self.tag,
            held: Arc::clone(&self.held),
        }
    }
}

impl Access {
    /// A connection for this one statement.
    pub(super) async fn checkout_for(&self, statement: &Statement) -> Result<Checkout> {
        self.pool.refuse_what_needs_session(statement.sql())?;
        self.check_out(Purpose::Statement).await
    }

    /// A connection that is a session of the server, which `what` needs.
    pub(super) async fn checkout(&self, what: &str) -> Result<Checkout> {
        self.pool.refuse_behind_pooler(what)?;
        self.check_out(Purpose::Statement).await
    }

    async fn check_out(&self, purpose: Purpose) -> Result<Checkout> {
        let lease = self.lease(Switching::Now).await?;
        let held = Held::one(&self.held, purpose);
        Ok(Checkout::new(self.pool.clone(), lease, self.tag, purpose, held))
    }
}

impl<D: Driver> Access<D> {
    pub(super) fn to_tenant(pool: Pool<D>, tenant: &Tenant, fleet: Option<&Digest>) -> Self {
        // One text for all who are where the fleet is; the others get texts of their own.
        let tag = tenant.digest().filter(|digest| Some(*digest) != fleet).copied();
        Self::new(pool, Target::Tenant(tenant.clone()), tag)
    }

    pub(super) fn to_master(pool: Pool<D>) -> Self {
        Self::new(pool, Target::Master, None)
    }

    fn new(pool: Pool<D>, target: Target, tag: Option<Digest>) -> Self {
        let preparation = pool.prepare_once(target.clone());
        Self { pool, target, preparation, tag, held: Arc::default() }
    }

    pub(super) async fn lease(&self, switching: Switching) -> Result<Lease<D>> {
        let lease = match &self.preparation {
            Some(preparation) => self.pool.check_out_as(preparation, switching).await,
            None => self.pool.check_out_as(&self.pool.prepare(self.target.clone())?, switching).await,
        };
        lease.map_err(|error| self.explain(error))
    }

    /// A handle that waits for a connection while it holds one itself may wait for itself.
    fn explain(&self, error: Error) -> Error {
        let held = self.held.load(Ordering::Relaxed);
        if error.kind() != ErrorKind::PoolTimeout || held == 0 || !stands(Guard::SelfDeadlock) {
            return error;
        }
        let message = format!(
            "{error}; the handle that asked holds {held} of them itself, in a transaction or checkout"
        );
        let explained = Error::new(ErrorKind::PoolTimeout, message)
            .with_hint("run the statement on the transaction, `&mut *tx`, or end the transaction first");
        match &self.target {
            Target::Tenant(tenant) => explained.with_tenant(tenant.slug()),
            Target::Master => explained,
        }
    }
}

macro_rules! handle {
    ($handle:ident) => {
        impl $handle {
            /// Takes a connection for several statements that need the same session.
            ///
            /// # Errors
            /// An [`Error`] inside [`sqlx::Error::Io`]: of kind [`ErrorKind::PoolTimeout`] if none became
            /// free, [`ErrorKind::MissingSchema`] if the schema is gone,
            /// [`ErrorKind::DatabaseUnavailable`] if the server cannot be reached,
            /// [`ErrorKind::Unsupported`] behind a pooler in transaction mode, where no session lasts.
            pub async fn acquire(&self) -> Result<Checkout, sqlx::Error> {
                self.access.pool.refuse_behind_pooler("`acquire()`")?;
                Ok(self.access.check_out(Purpose::Session).await?)
            }

            /// Takes a connection and opens a transaction on it.
            ///
            /// # Errors
            /// As [`acquire`](Self::acquire), of which it does not need the session, and what PostgreSQL
            /// answers to `BEGIN`.
            pub async fn begin(&self) -> Result<Transaction, sqlx::Error> {
                Transaction::begin(self.access.check_out(Purpose::Transaction).await?).await
            }

            pub(super) fn access(&self) -> &Access {
                &self.access
            }
        }
    };
}

handle!(TenantDb);
handle!(MasterDb);

impl fmt::Debug for TenantDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantDb").field("tenant", &self.tenant.slug().as_str()).finish_non_exhaustive()
    }
}

impl fmt::Debug for MasterDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterDb").finish_non_exhaustive()
    }
}
