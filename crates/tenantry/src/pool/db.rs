//! Handles that a handler holds: the way to one tenant's tables, or to the master schema's.

use std::fmt;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Execute, FromRow};
use sqlx_core::bytes::Bytes;
use tokio::io::AsyncRead;

use super::access::Access;
use super::checkout::Checkout;
use super::copy::CopyStatement;
use super::lease::Switching;
use super::purpose::{Held, Purpose};
use super::shared::Pool;
use super::standing::Surroundings;
use super::statement::Statement;
use super::transaction::Transaction;
use super::tx_options::TxOptions;
use crate::error::Result;
#[cfg(doc)]
use crate::error::{Error, ErrorKind};
use crate::tenant::Tenant;

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
///
/// # Kept handles
///
/// A worker or a WebSocket may keep its handle for days. Each checkout looks whether the tenant is still served, in
/// memory and without I/O while nothing changes: a tenant that was suspended is
/// [`ErrorKind::TenantUnavailable`], one that was deleted [`ErrorKind::UnknownTenant`], and one that has
/// another slug, schema name, version or database is served as it is now. While it is moved to another database,
/// checkouts wait, up to [`PoolConfig::move_wait`](crate::PoolConfig::move_wait). A transaction or checkout that is
/// held goes on to its end.
#[derive(Clone)]
pub struct TenantDb {
    tenant: Tenant,
    access: Access,
}

impl TenantDb {
    pub(crate) fn new(pool: Pool, tenant: Tenant, surroundings: Surroundings, is_just_read: bool) -> Self {
        let access = Access::to_tenant(pool, &tenant, surroundings, is_just_read);
        Self { tenant, access }
    }

    /// The tenant whose tables these are, as it was when the handle was made.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The same tables, with one more setting of the session, such as the user on whose behalf a request runs. It
    /// travels with the switch, and is gone when the connection goes to anybody else.
    ///
    /// ```no_run
    /// # async fn example(db: tenantry::TenantDb) -> Result<(), Box<dyn std::error::Error>> {
    /// let db = db.with_setting("app.actor", "jane")?;
    /// let actor: String = sqlx::query_scalar("SELECT current_setting('app.actor')").fetch_one(&db).await?;
    /// assert_eq!(actor, "jane");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Where it is not set, `current_setting('app.actor', true)` is NULL on a connection that never had it
    /// and an empty text on one that did: PostgreSQL cannot forget the name. Write
    /// `nullif(current_setting('app.actor', true), '')`, which is NULL on both. The same value for many
    /// requests of one tenant costs nothing, while each change of it costs a switch.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name or value that
    /// [`SessionSettings::set`](crate::pool::SessionSettings::set) refuses. A name or value that PostgreSQL
    /// refuses is an error of each checkout.
    pub fn with_setting(&self, name: &str, value: &str) -> Result<Self> {
        Ok(Self { tenant: self.tenant.clone(), access: self.access.with_setting(name, value)? })
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

    /// The same tables, with one more setting of the session. See [`TenantDb::with_setting`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name or value that
    /// [`SessionSettings::set`](crate::pool::SessionSettings::set) refuses.
    pub fn with_setting(&self, name: &str, value: &str) -> Result<Self> {
        Ok(Self { access: self.access.with_setting(name, value)? })
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
        self.check_out_with(purpose, &[]).await
    }

    pub(super) async fn check_out_with(
        &self,
        purpose: Purpose,
        settings: &[(String, String)],
    ) -> Result<Checkout> {
        let (lease, current) = self.lease_with(Switching::Now, settings).await?;
        let held = Held::one(&self.held, purpose);
        let schema = lease.schema().clone();
        Ok(Checkout::new(current.pool.clone(), lease, schema, current.marks.clone(), purpose, held))
    }

    async fn begin(&self, options: TxOptions) -> Result<Transaction, sqlx::Error> {
        // Behind a pooler the checkout begins the transaction, with what prepares it.
        let settings = if self.pool.is_behind_pooler() { options.settings() } else { Vec::new() };
        let checkout = self.check_out_with(Purpose::Transaction, &settings).await?;
        Transaction::open(checkout, options).await
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
                self.access.begin(TxOptions::new()).await
            }

            /// Takes a connection and opens a transaction of this kind on it.
            ///
            /// # Errors
            /// As [`begin`](Self::begin).
            pub async fn begin_with(&self, options: TxOptions) -> Result<Transaction, sqlx::Error> {
                self.access.begin(options).await
            }

            /// Runs a query and hands out its rows as they come, in a stream that borrows nothing: it
            /// outlives the handler, as the body of a response does.
            ///
            /// ```no_run
            #[doc = concat!("# async fn example(db: tenantry::", stringify!($handle), ") -> Result<(), sqlx::Error> {")]
            /// use futures_util::TryStreamExt as _;
            ///
            /// let titles = db.fetch_owned::<(String,)>(sqlx::query("SELECT title FROM note"));
            /// let lines = tokio::spawn(titles.map_ok(|(title,)| title + "\n").try_collect::<String>());
            /// # drop(lines);
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// The stream keeps its connection until it ends or is dropped.
            pub fn fetch_owned<'q, T>(
                &self,
                query: impl Execute<'q, Postgres>,
            ) -> BoxStream<'static, Result<T, sqlx::Error>>
            where
                T: for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static,
            {
                let (statement, access) = (Statement::take(query), self.access.clone());
                Box::pin(async_stream::try_stream! {
                    let statement = statement?;
                    let mut checkout = access.checkout_for(&statement).await?;
                    let mut results = checkout.run_statement(Ok(statement));
                    while let Some(result) = results.try_next().await? {
                        if let Some(row) = result.right() {
                            yield T::from_row(&row)?;
                        }
                    }
                })
            }

            /// Runs a `COPY … FROM STDIN` with all that can be read from the source, and answers with the
            /// number of rows.
            ///
            /// ```no_run
            #[doc = concat!("# async fn example(db: tenantry::", stringify!($handle), ") -> Result<(), sqlx::Error> {")]
            /// let csv = "first\nsecond\n".as_bytes();
            /// let rows = db.copy_in("COPY note (title) FROM STDIN WITH (FORMAT csv)", csv).await?;
            /// assert_eq!(rows, 2);
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// # Errors
            /// As [`acquire`](Self::acquire), and those of [`Checkout::copy_in`].
            pub async fn copy_in(
                &self,
                sql: &str,
                source: impl AsyncRead + Send + Unpin,
            ) -> Result<u64, sqlx::Error> {
                let statement = CopyStatement::parse(sql)?;
                self.access.checkout("`COPY`").await?.copy_from(&statement, source).await
            }

            /// Runs a `COPY … TO STDOUT`, and hands out its data as it comes, in a stream that borrows nothing.
            ///
            /// ```no_run
            #[doc = concat!("# async fn example(db: tenantry::", stringify!($handle), ") -> Result<(), sqlx::Error> {")]
            /// use futures_util::TryStreamExt as _;
            ///
            /// let mut csv = Vec::new();
            /// let mut chunks = db.copy_out("COPY note (title) TO STDOUT WITH (FORMAT csv)");
            /// while let Some(chunk) = chunks.try_next().await? {
            ///     csv.extend_from_slice(&chunk);
            /// }
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// The stream keeps its connection until it ends. Dropped before that, it closes the connection.
            pub fn copy_out(&self, sql: &str) -> BoxStream<'static, Result<Bytes, sqlx::Error>> {
                let (statement, access) = (CopyStatement::parse(sql), self.access.clone());
                Box::pin(async_stream::try_stream! {
                    let mut checkout = access.checkout("`COPY`").await?;
                    let mut chunks = checkout.copy_to(statement);
                    while let Some(chunk) = chunks.next().await {
                        yield chunk?;
                    }
                })
            }

            /// Announces something to those who [listen](crate::Tenancy::listen).
            ///
            /// # Errors
            /// As [`Checkout::notify`].
            pub async fn notify(&self, channel: &str, payload: &str) -> Result<(), sqlx::Error> {
                self.access.at_home().check_out(Purpose::Statement).await?.notify(channel, payload).await
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
