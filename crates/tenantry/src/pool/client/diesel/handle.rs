//! The handles of code that is written against Diesel.

use std::fmt;

use diesel::connection::{CacheSize, Instrumentation, InstrumentationEvent, TransactionManagerStatus};
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::Error as DieselError;
use diesel::{AsChangeset, ConnectionError, ConnectionResult, Identifiable, QueryResult, debug_query};
use diesel_async::methods::LoadQuery;
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, RunQueryDsl as _, SimpleAsyncConnection, TransactionManager,
    UpdateAndFetchResults,
};
use futures_util::future::BoxFuture;

use super::connection::Connection;
use super::row::{DieselRow, DieselRows};
use super::transaction::{DieselTransaction, DieselTransactionManager, HasConnection, TransactionWork, run};
use crate::error::Result;
use crate::pool::access::Access;
use crate::pool::client::driver::ClientDriver;
use crate::pool::shared::Pool;
use crate::pool::standing::Surroundings;
use crate::pool::tx_options::TxOptions;
use crate::tenant::Tenant;

/// The tables of one tenant, through Diesel: a connection for the traits of `diesel-async`.
///
/// Every statement checks a connection out, prepared for this tenant, and gives it back; a transaction keeps one until
/// it ends, and what is inside of it is a savepoint. Unqualified names mean the tenant's schema. Custom types are those
/// of the tenant's schema, at the version that it has.
///
/// ```no_run
/// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
/// use diesel::prelude::*;
/// use diesel_async::RunQueryDsl;
///
/// diesel::table! {
///     note (id) { id -> BigInt, title -> Text }
/// }
///
/// let acme = tenancy.tenant("acme").await?;
/// let mut db = tenancy.diesel(&acme)?;
/// diesel::insert_into(note::table).values(note::title.eq("Hello")).execute(&mut db).await?;
/// let titles: Vec<String> = note::table.select(note::title).load(&mut db).await?;
/// # let _ = titles;
/// # Ok(())
/// # }
/// ```
///
/// A clone is a handle of its own, in no transaction of this one: two of them run two queries at the same time, on two
/// connections. `&mut &db`, with which diesel-async pipelines, does not compile. The pool's configuration says how
/// many statements are kept prepared, not
/// [`set_prepared_statement_cache_size`](AsyncConnection::set_prepared_statement_cache_size).
///
/// The errors are Diesel's, of which `?` makes a [`tenantry::Error`](crate::Error) that knows kind and tenant.
pub struct TenantDiesel {
    tenant: Tenant,
    connection: Connection,
}

impl TenantDiesel {
    pub(crate) fn new(pool: Pool<ClientDriver>, tenant: Tenant, surroundings: Surroundings) -> Self {
        let access = Access::to_tenant(pool, &tenant, surroundings, false);
        Self { tenant, connection: Connection::new(access) }
    }

    /// The tenant whose tables these are, as it was when the handle was made.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The same tables, with one more setting of the session, outside of any transaction of this handle. See
    /// [`TenantDb::with_setting`](crate::TenantDb::with_setting).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a name or value that
    /// [`SessionSettings::set`](crate::pool::SessionSettings::set) refuses.
    pub fn with_setting(&self, name: &str, value: &str) -> Result<Self> {
        let access = self.connection.access().with_setting(name, value)?;
        Ok(Self { tenant: self.tenant.clone(), connection: Connection::new(access) })
    }

    /// The same tables on one session, which is kept until the answer is dropped, and cleaned then if need be.
    ///
    /// # Errors
    /// Those of [`TenantClient::acquire`](crate::pool::TenantClient::acquire).
    pub async fn acquire(&self) -> Result<Self> {
        let connection = Connection::on_session(self.connection.access().clone()).await?;
        Ok(Self { tenant: self.tenant.clone(), connection })
    }
}

/// The tables of the master schema, through Diesel.
///
/// Used like [`TenantDiesel`], of which it is a different type.
pub struct MasterDiesel {
    connection: Connection,
}

impl MasterDiesel {
    pub(crate) fn new(pool: Pool<ClientDriver>) -> Self {
        Self { connection: Connection::new(Access::to_master(pool)) }
    }

    /// The same tables, with one more setting of the session. See [`TenantDiesel::with_setting`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a name or value that
    /// [`SessionSettings::set`](crate::pool::SessionSettings::set) refuses.
    pub fn with_setting(&self, name: &str, value: &str) -> Result<Self> {
        Ok(Self { connection: Connection::new(self.connection.access().with_setting(name, value)?) })
    }

    /// The same tables on one session. See [`TenantDiesel::acquire`].
    ///
    /// # Errors
    /// Those of [`TenantClient::acquire`](crate::pool::TenantClient::acquire).
    pub async fn acquire(&self) -> Result<Self> {
        Ok(Self { connection: Connection::on_session(self.connection.access().clone()).await? })
    }
}

impl Clone for TenantDiesel {
    fn clone(&self) -> Self {
        let connection = Connection::new(self.connection.access().clone());
        Self { tenant: self.tenant.clone(), connection }
    }
}

impl Clone for MasterDiesel {
    fn clone(&self) -> Self {
        Self { connection: Connection::new(self.connection.access().clone()) }
    }
}

macro_rules! handle {
    ($handle:ident) => {
        impl $handle {
            /// A transaction of a kind, such as a serializable one.
            pub fn build_transaction(&mut self) -> DieselTransaction<'_, Self> {
                DieselTransaction::new(self)
            }
        }

        impl HasConnection for $handle {
            fn connection(&mut self) -> &mut Connection {
                &mut self.connection
            }
        }

        impl SimpleAsyncConnection for $handle {
            async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
                self.connection.batch_execute(query).await
            }
        }

        impl AsyncConnectionCore for $handle {
            type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
            type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<DieselRows<'conn>>>;
            type Stream<'conn, 'query> = DieselRows<'conn>;
            type Row<'conn, 'query> = DieselRow;
            type Backend = Pg;

            fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
            where
                T: AsQuery + 'query,
                T::Query: QueryFragment<Pg> + QueryId + 'query,
            {
                let query = source.as_query();
                self.connection
                    .load_query(&query, InstrumentationEvent::start_query(&debug_query::<Pg, _>(&query)))
            }

            fn execute_returning_count<'conn, 'query, T>(
                &'conn mut self,
                source: T,
            ) -> Self::ExecuteFuture<'conn, 'query>
            where
                T: QueryFragment<Pg> + QueryId + 'query,
            {
                let event = debug_query::<Pg, _>(&source);
                self.connection.execute_query(&source, InstrumentationEvent::start_query(&event))
            }
        }

        impl AsyncConnection for $handle {
            type TransactionManager = DieselTransactionManager;

            async fn establish(_: &str) -> ConnectionResult<Self> {
                let message = "the connections of a tenant come from the pool: `tenancy.diesel(&tenant)`";
                Err(ConnectionError::BadConnection(message.to_owned()))
            }

            fn transaction_state(&mut self) -> &mut TransactionManagerStatus {
                self.connection.status()
            }

            fn instrumentation(&mut self) -> &mut dyn Instrumentation {
                self.connection.instrumentation()
            }

            fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
                *self.connection.instrumentation() = Some(Box::new(instrumentation));
            }

            fn set_prepared_statement_cache_size(&mut self, _: CacheSize) {}
        }

        impl TransactionManager<$handle> for DieselTransactionManager {
            type TransactionStateData = TransactionManagerStatus;

            async fn begin_transaction(db: &mut $handle) -> QueryResult<()> {
                db.connection.begin(TxOptions::new()).await
            }

            async fn rollback_transaction(db: &mut $handle) -> QueryResult<()> {
                db.connection.roll_back().await
            }

            async fn commit_transaction(db: &mut $handle) -> QueryResult<()> {
                db.connection.commit().await
            }

            fn transaction_manager_status_mut(db: &mut $handle) -> &mut TransactionManagerStatus {
                db.connection.status()
            }

            fn transaction<'a, 'conn, F, R, E>(
                db: &'conn mut $handle,
                work: F,
            ) -> impl Future<Output = Result<R, E>> + Send + 'conn
            where
                for<'r> F: AsyncFnOnce(&'r mut $handle) -> Result<R, E>
                    + TransactionWork<&'r mut $handle, Result<R, E>, Running: Send>
                    + Send
                    + 'a,
                E: From<DieselError> + Send,
                R: Send,
                'a: 'conn,
            {
                // A block outlives what it holds; an `async fn` would have to outlive what it answers, too.
                async move { run(db, TxOptions::new(), work).await }
            }
        }

        impl<'b, Changes, Output, Table, Where> UpdateAndFetchResults<Changes, Output> for $handle
        where
            Output: Send + 'static,
            Changes: Copy + AsChangeset<Target = Table> + Send + Identifiable<Table = Table>,
            Table: diesel::Table + diesel::query_dsl::methods::FindDsl<Changes::Id> + 'b,
            diesel::dsl::Find<Table, Changes::Id>:
                diesel::query_builder::IntoUpdateTarget<Table = Table, WhereClause = Where>,
            diesel::query_builder::UpdateStatement<Table, Where, Changes::Changeset>: AsQuery,
            diesel::dsl::Update<Changes, Changes>: LoadQuery<'b, Self, Output>,
            Where: Send + 'b,
            Changes::Changeset: Send + 'b,
            Table::FromClause: Send,
        {
            fn update_and_fetch<'conn, 'changes>(
                &'conn mut self,
                changes: Changes,
            ) -> BoxFuture<'changes, QueryResult<Output>>
            where
                Changes: 'changes,
                'conn: 'changes,
                Self: 'changes,
            {
                Box::pin(async move { diesel::update(changes).set(changes).get_result(self).await })
            }
        }
    };
}

handle!(TenantDiesel);
handle!(MasterDiesel);

impl fmt::Debug for TenantDiesel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantDiesel").field("tenant", &self.tenant.slug().as_str()).finish_non_exhaustive()
    }
}

impl fmt::Debug for MasterDiesel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterDiesel").finish_non_exhaustive()
    }
}
