//! The handles of code that is written against tokio-postgres.

use std::fmt;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, pin_mut};
use sqlx_core::bytes::Bytes;
use tokio::io::AsyncRead;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::checkout::{ClientCheckout, NOTIFY};
use super::driver::ClientDriver;
use super::rows::{OwnedCall, rows};
use super::transaction::ClientTransaction;
use crate::error::Result;
use crate::pool::access::Access;
use crate::pool::purpose::Purpose;
use crate::pool::shared::Pool;
use crate::pool::standing::Surroundings;
use crate::pool::tx_options::TxOptions;
use crate::tenant::Tenant;

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
    pub(crate) fn new(pool: Pool<ClientDriver>, tenant: Tenant, surroundings: Surroundings) -> Self {
        let access = Access::to_tenant(pool, &tenant, surroundings, false);
        Self { tenant, access }
    }

    /// The tenant whose tables these are, as it was when the handle was made.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The same tables, with one more setting of the session. See
    /// [`TenantDb::with_setting`](crate::TenantDb::with_setting).
    ///
    /// ```no_run
    /// # async fn example(client: tenantry::pool::TenantClient) -> tenantry::Result<()> {
    /// let client = client.with_setting("app.actor", "jane")?;
    /// let row = client.query_one("SELECT current_setting('app.actor')", &[]).await?;
    /// assert_eq!(row.get::<_, &str>(0), "jane");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a name or value that
    /// [`SessionSettings::set`](crate::pool::SessionSettings::set) refuses.
    pub fn with_setting(&self, name: &str, value: &str) -> Result<Self> {
        Ok(Self { tenant: self.tenant.clone(), access: self.access.with_setting(name, value)? })
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

    /// The same tables, with one more setting of the session. See
    /// [`TenantDb::with_setting`](crate::TenantDb::with_setting).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a name or value that
    /// [`SessionSettings::set`](crate::pool::SessionSettings::set) refuses.
    pub fn with_setting(&self, name: &str, value: &str) -> Result<Self> {
        Ok(Self { access: self.access.with_setting(name, value)? })
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

            /// Runs a statement whose parameters have these types, and answers with its rows.
            ///
            /// ```no_run
            #[doc = concat!("use tenantry::pool::", stringify!($handle), ";")]
            /// use tokio_postgres::types::Type;
            ///
            #[doc = concat!("# async fn example(client: ", stringify!($handle), ") -> tenantry::Result<()> {")]
            /// let rows = client.query_typed("SELECT $1 + 1", &[(&41_i64, Type::INT8)]).await?;
            /// assert_eq!(rows[0].get::<_, i64>(0), 42);
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// # Errors
            /// Those of [`acquire`](Self::acquire), and those of [`ClientCheckout::query_typed`].
            pub async fn query_typed(
                &self,
                sql: &str,
                parameters: &[(&(dyn ToSql + Sync), Type)],
            ) -> Result<Vec<Row>> {
                self.checkout_for(sql).await?.query_typed(sql, parameters).await
            }

            /// Runs statements without parameters in one message.
            ///
            /// # Errors
            /// Those of [`acquire`](Self::acquire), and those of [`ClientCheckout::batch_execute`].
            pub async fn batch_execute(&self, sql: &str) -> Result<()> {
                self.checkout_for(sql).await?.batch_execute(sql).await
            }

            /// Runs a statement and hands out its rows as they come, in a stream that borrows nothing: it outlives
            /// the handler, as the body of a response does.
            ///
            /// The stream keeps its connection until it ends or is dropped. Its errors are those of
            /// [`query`](Self::query).
            ///
            /// ```no_run
            #[doc = concat!("use tenantry::pool::", stringify!($handle), ";")]
            #[doc = concat!("# async fn example(client: ", stringify!($handle), ") -> tenantry::Result<()> {")]
            /// use futures_util::TryStreamExt as _;
            ///
            /// let rows = client.fetch_owned("SELECT title FROM note WHERE id > $1", vec![Box::new(7_i64)]);
            /// let titles = tokio::spawn(rows.map_ok(|row| row.get::<_, String>(0)).try_collect::<Vec<_>>());
            /// # drop(titles);
            /// # Ok(())
            /// # }
            /// ```
            pub fn fetch_owned(
                &self,
                sql: &str,
                parameters: Vec<Box<dyn ToSql + Send + Sync>>,
            ) -> BoxStream<'static, Result<Row>> {
                let (access, sql) = (self.access.clone(), sql.to_owned());
                Box::pin(async_stream::try_stream! {
                    let checkout = access.checkout_for(&sql).await?;
                    let rows = rows(checkout, OwnedCall::new(sql, parameters));
                    pin_mut!(rows);
                    while let Some(row) = rows.next().await {
                        yield row?;
                    }
                })
            }

            /// Takes a connection for several statements that need the same session.
            ///
            /// # Errors
            /// [`ErrorKind::PoolTimeout`](crate::ErrorKind::PoolTimeout) if none became free,
            /// [`ErrorKind::MissingSchema`](crate::ErrorKind::MissingSchema) if the schema is gone,
            /// [`ErrorKind::DatabaseUnavailable`](crate::ErrorKind::DatabaseUnavailable) if the server cannot
            /// be reached.
            pub async fn acquire(&self) -> Result<ClientCheckout> {
                self.access.hold_for(Purpose::Session).await
            }

            /// Takes a connection for a transaction.
            ///
            /// # Errors
            /// Those of [`acquire`](Self::acquire), and what PostgreSQL answers to `BEGIN`.
            pub async fn begin(&self) -> Result<ClientTransaction> {
                self.begin_with(TxOptions::new()).await
            }

            /// Takes a connection for a transaction of this kind.
            ///
            /// # Errors
            /// Those of [`begin`](Self::begin).
            pub async fn begin_with(&self, options: TxOptions) -> Result<ClientTransaction> {
                let checkout = self.access.hold_for(Purpose::Transaction).await?;
                ClientTransaction::open(checkout, options).await
            }

            /// Runs a `COPY … FROM STDIN` with all that can be read from the source, and answers with the
            /// number of rows.
            ///
            /// # Errors
            /// Those of [`acquire`](Self::acquire), and those of [`ClientCheckout::copy_in`].
            pub async fn copy_in(&self, sql: &str, source: impl AsyncRead + Send + Unpin) -> Result<u64> {
                self.acquire().await?.copy_in(sql, source).await
            }

            /// Runs a `COPY … TO STDOUT`, and hands out its data as it comes, in a stream that borrows nothing.
            ///
            /// The stream keeps its connection until it ends. Dropped before that, it closes the connection.
            pub fn copy_out(&self, sql: &str) -> BoxStream<'static, Result<Bytes>> {
                let (access, sql) = (self.access.clone(), sql.to_owned());
                Box::pin(async_stream::try_stream! {
                    let mut checkout = access.hold_for(Purpose::Session).await?;
                    let mut chunks = checkout.copy_out(&sql);
                    while let Some(chunk) = chunks.next().await {
                        yield chunk?;
                    }
                })
            }

            /// Announces something to those who [listen](crate::Tenancy::listen).
            ///
            /// # Errors
            /// Those of [`acquire`](Self::acquire), and those of [`ClientCheckout::notify`].
            pub async fn notify(&self, channel: &str, payload: &str) -> Result<()> {
                self.access.at_home().checkout_for(NOTIFY).await?.notify(channel, payload).await
            }

            async fn checkout_for(&self, sql: &str) -> Result<ClientCheckout> {
                self.access.checkout_for(sql).await
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
