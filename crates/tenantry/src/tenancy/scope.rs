//! The tenant of a task, for code that cannot be handed one.

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tracing::Instrument as _;

use super::Tenancy;
use crate::error::{Error, ErrorKind, Result};
#[cfg(doc)]
use crate::pool::{Preprocessor, TenantDb};
use crate::tenant::{Alias, Tenant};

tokio::task_local! {
    static CURRENT: Tenant;
}

impl Tenancy {
    /// Runs a future with the tenant as the task's [`current`](Self::current) one, for code deep
    /// inside that cannot be handed a [`TenantDb`].
    ///
    /// A task that is spawned inside does not inherit it.
    pub async fn scope<F: Future>(&self, tenant: &Tenant, future: F) -> F::Output {
        let span = tracing::info_span!("scope", tenant = %tenant.slug(), tenant.id = %tenant.id());
        CURRENT.scope(tenant.clone(), future).instrument(span).await
    }

    /// The tenant of the innermost [`scope`](Self::scope) around this task; never a default.
    pub fn current() -> Option<Tenant> {
        CURRENT.try_with(Tenant::clone).ok()
    }

    /// A stock `PgPool` of this database, for libraries that insist on one, such as `SeaORM`.
    ///
    /// Its connections follow the [`current`](Self::current) tenant of the task that looks one up,
    /// [prepared](crate::pool) and verified like those of [`TenantDb`]. On release they are emptied
    /// in one message, and closed if a transaction is still open or anything else is in doubt.
    /// Where a [`TenantDb`] will do, it is the better choice.
    ///
    /// ```no_run
    /// use sqlx::postgres::PgPoolOptions;
    /// use tenantry::tenant::Alias;
    ///
    /// # async fn example(tenancy: tenantry::Tenancy) -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = tenancy.stock_pool(&Alias::default(), PgPoolOptions::new().max_connections(10))?;
    /// let acme = tenancy.tenant("acme").await?;
    /// let query = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&pool);
    /// let notes: i64 = tenancy.scope(&acme, query).await?;
    /// assert_eq!(notes, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The three hooks of the options are replaced; what a session needs goes into a
    /// [`Preprocessor`]. `min_connections` becomes 0 and `test_before_acquire` false. The pool comes on top of
    /// the database's own one and is closed with its own `close`.
    ///
    /// # Without a tenant
    ///
    /// Outside of a [`scope`](Self::scope), in a spawned task for instance, the checkout succeeds and every
    /// statement fails: the first with the reason, `no tenant is current in this task`, those after
    /// it on the same connection with `current transaction is aborted`. It is the same for a tenant
    /// that is not active, that lives in another database, whose schema is missing, or that a
    /// preprocessor refuses. (An error of a hook would make sqlx reconnect until `acquire_timeout`,
    /// and nobody would learn the reason.) The connection is closed afterwards.
    ///
    /// # Price
    ///
    /// | round trips for one statement | the caller waits for | the connection is taken for |
    /// | --- | --- | --- |
    /// | [`TenantDb`], connection last used by the same tenant | 1 | 1 |
    /// | [`TenantDb`], connection last used by another | 2 | 2 |
    /// | stock pool | 3 (switch, prepare, execute) | 6 (and clean, forget statements, ping) |
    /// | stock pool, statement without parameters sent with `raw_sql` | 2 | 4 |
    ///
    /// A further statement in the same checkout costs 2, or 1 if it has the same text. Prepared statements
    /// are not kept beyond a checkout, because sqlx knows them by their text alone: two tenants may
    /// have types of one name, or tables with different columns.
    ///
    /// # Holes
    ///
    /// - `try_acquire` runs no hook. Its connection shows no table, and refuses nothing else.
    /// - The tenant is that of the moment of the checkout: a connection or transaction that is kept does
    ///   not follow a later `scope`.
    /// - `RESET ALL` and `SET search_path` sent by hand work until the connection is returned, and
    ///   `ROLLBACK` sent by hand ends a refusal; what follows sees no table.
    /// - A `PgStatement` prepared for one tenant and run for another has the first one's columns. A
    ///   migration while a connection is held can fail its cached statements with `0A000`.
    /// - There is no fairness between tenants, and [`status`](Self::status) does not count the connections.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if no database goes by this alias, [`ErrorKind::Unsupported`] behind a
    /// pooler in transaction mode, where no hook runs at the beginning of a transaction.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as sqlx does.
    pub fn stock_pool(&self, database: &Alias, options: PgPoolOptions) -> Result<PgPool> {
        self.inner.context.databases.stock_pool(database, options, current_served)
    }
}

/// The tenant of the running task, for code that cannot be told otherwise.
fn current_served() -> Result<Tenant> {
    let Some(tenant) = Tenancy::current() else {
        return Err(Error::new(ErrorKind::UnknownTenant, "no tenant is current in this task")
            .with_hint("wrap the call in `tenancy.scope(&tenant, …)`; a spawned task does not inherit it"));
    };
    tenant.check_served()?;
    Ok(tenant)
}
