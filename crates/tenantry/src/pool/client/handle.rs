//! The handles of code that is written against tokio-postgres.

use std::fmt;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::checkout::ClientCheckout;
use super::driver::ClientDriver;
use super::statements::Owner;
use super::transaction::ClientTransaction;
use crate::error::Result;
use crate::pool::classify::Effect;
use crate::pool::db::Access;
use crate::pool::lease::Switching;
use crate::pool::purpose::{Held, Purpose};
use crate::pool::shared::Pool;
use crate::tenant::{Digest, Tenant};

/// The tables of one tenant, through tokio-postgres.
///
/// Every statement checks a connection out, prepared for this tenant, and gives it back. Unqualified names
/// mean the tenant's schema; a table that is missing there is an error. Statements are prepared once per
/// connection.
///
/// ```no_run
/// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
/// let acme = tenancy.tenant("acme").await?;
/// let client = tenancy.client(&acme)?;
/// client.execute("INSERT INTO note (title) VALUES ($1)", &[&"Hello"]).await?;
/// for row in client.query("SELECT title FROM note", &[]).await? {
///     println!("{}", row.get::<_, String>(0));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TenantClient {
    tenant: Tenant,
    access: Access<ClientDriver>,
}

impl TenantClient {
    pub(crate) fn new(pool: Pool<ClientDriver>, tenant: Tenant, fleet: Option<&Digest>) -> Self {
        let access = Access::to_tenant(pool, &tenant, fleet);
        Self { tenant, access }
    }

    /// The tenant whose tables these are.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn owner(&self) -> Owner {
        Owner {
            digest: self.access.tag,
            tenant: Some(self.tenant.id()),
            owns_types: self.tenant.owns_types(),
        }
    }
}

/// The tables of the master schema, through tokio-postgres.
///
/// Used like [`TenantClient`], of which it is a different type.
///
/// ```no_run
/// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
/// let row = tenancy.master_client().query_one("SELECT count(*) FROM plan", &[]).await?;
/// let plans: i64 = row.get(0);
/// # let _ = plans;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MasterClient {
    access: Access<ClientDriver>,
}

impl MasterClient {
    pub(crate) fn new(pool: Pool<ClientDriver>) -> Self {
        Self { access: Access::to_master(pool) }
    }

    #[expect(clippy::unused_self, reason = "as of a tenant's handle")]
    fn owner(&self) -> Owner {
        Owner::default()
    }
}

impl Access<ClientDriver> {
    /// A connection for a single statement.
    async fn checkout_for(&self, sql: &str, owner: Owner) -> Result<ClientCheckout> {
        // What is not a plain query may have to run outside of a transaction.
        let switching = match self.pool.classifier().effect(sql) {
            Effect::Neutral => Switching::WithStatement,
            Effect::Touched => Switching::Now,
        };
        self.check_out_for(Purpose::Statement, switching, owner).await
    }

    /// A connection that its owner keeps over several statements.
    async fn hold_for(&self, purpose: Purpose, owner: Owner) -> Result<ClientCheckout> {
        let switching = match purpose {
            Purpose::Transaction => Switching::WithTransaction,
            Purpose::Statement | Purpose::Session => Switching::Now,
        };
        self.check_out_for(purpose, switching, owner).await
    }

    async fn check_out_for(
        &self,
        purpose: Purpose,
        switching: Switching,
        owner: Owner,
    ) -> Result<ClientCheckout> {
        if self.pool.is_behind_pooler() {
            let hint = "use `tenancy.db(…)`, or connect past the pooler";
            return Err(self.pool.unsupported("a connection of tokio-postgres", hint));
        }
        let lease = self.lease(switching).await?;
        let held = Held::one(&self.held, purpose);
        Ok(ClientCheckout::new(self.pool.clone(), lease, owner, purpose, held))
    }
}

macro_rules! handle {
    ($handle:ident) => {
        impl $handle {
            /// Runs a statement and answers with its rows.
            ///
            /// # Errors
            /// Those of [`acquire`](Self::acquire), and those of [`ClientCheckout::query`].
            pub async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
                self.checkout_for(sql).await?.query(sql, parameters).await
            }

            /// Runs a statement and answers with its only row.
            ///
            /// # Errors
            /// Those of [`acquire`](Self::acquire), and those of [`ClientCheckout::query_one`].
            pub async fn query_one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
                self.checkout_for(sql).await?.query_one(sql, parameters).await
            }

            /// Runs a statement and answers with its only row, if there is one.
            ///
            /// # Errors
            /// Those of [`acquire`](Self::acquire), and those of [`ClientCheckout::query_opt`].
            pub async fn query_opt(
                &self,
                sql: &str,
                parameters: &[&(dyn ToSql + Sync)],
            ) -> Result<Option<Row>> {
                self.checkout_for(sql).await?.query_opt(sql, parameters).await
            }

            /// Runs a statement and answers with the number of rows it touched.
            ///
            /// # Errors
            /// Those of [`acquire`](Self::acquire), and those of [`ClientCheckout::execute`].
            pub async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64> {
                self.checkout_for(sql).await?.execute(sql, parameters).await
            }

            /// Runs statements without parameters in one message.
            ///
            /// # Errors
            /// Those of [`acquire`](Self::acquire), and those of [`ClientCheckout::batch_execute`].
            pub async fn batch_execute(&self, sql: &str) -> Result<()> {
                self.checkout_for(sql).await?.batch_execute(sql).await
            }

            /// Takes a connection for several statements that need the same session.
            ///
            /// # Errors
            /// [`ErrorKind::PoolTimeout`](crate::ErrorKind::PoolTimeout) if none became free,
            /// [`ErrorKind::MissingSchema`](crate::ErrorKind::MissingSchema) if the schema is gone,
            /// [`ErrorKind::DatabaseUnavailable`](crate::ErrorKind::DatabaseUnavailable) if the server cannot
            /// be reached.
            pub async fn acquire(&self) -> Result<ClientCheckout> {
                self.access.hold_for(Purpose::Session, self.owner()).await
            }

            /// Takes a connection for a transaction.
            ///
            /// # Errors
            /// Those of [`acquire`](Self::acquire), and what PostgreSQL answers to `BEGIN`.
            pub async fn begin(&self) -> Result<ClientTransaction> {
                let checkout = self.access.hold_for(Purpose::Transaction, self.owner()).await?;
                ClientTransaction::begin(checkout).await
            }

            async fn checkout_for(&self, sql: &str) -> Result<ClientCheckout> {
                self.access.checkout_for(sql, self.owner()).await
            }
        }
    };
}

handle!(TenantClient);
handle!(MasterClient);

impl fmt::Debug for TenantClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantClient").field("tenant", &self.tenant.slug().as_str()).finish_non_exhaustive()
    }
}

impl fmt::Debug for MasterClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterClient").finish_non_exhaustive()
    }
}
