use std::fmt;

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use sqlx::{Executor as _, PgConnection};
use tokio::sync::Mutex;

use super::statement::{execution_failed, prepared, query_failed, unprepared};

/// A bare connection that somebody lends, as one of `SeaORM`'s: that of a migration which is
/// [code](crate::Migrations::with_code), or of a [`Hook`](crate::pool::Hook).
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sea_orm::ConnectionTrait as _;
/// use tenantry::pool::OrmConnection;
///
/// // migrations/tenant/0005_initials.sql: `-- code`
/// let migrations = tenantry::Migrations::from_dirs("migrations/master", "migrations/tenant")?
///     .with_code(5, |connection| {
///         Box::pin(async move {
///             let db = OrmConnection::from(connection);
///             db.execute_unprepared("UPDATE person SET initials = left(name, 1)").await?;
///             Ok(())
///         })
///     })?;
/// # let _ = migrations;
/// # Ok(())
/// # }
/// ```
///
/// It begins no transaction, because the one it is in belongs to the lender. Statements leave nothing prepared behind,
/// because the connection goes on to other tenants.
pub struct OrmConnection<'c> {
    connection: Mutex<&'c mut PgConnection>,
}

impl<'c> From<&'c mut PgConnection> for OrmConnection<'c> {
    fn from(connection: &'c mut PgConnection) -> Self {
        Self { connection: Mutex::new(connection) }
    }
}

#[async_trait]
impl ConnectionTrait for OrmConnection<'_> {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let statement = prepared(statement).map_err(execution_failed)?.unnamed();
        let mut connection = self.connection.lock().await;
        Ok(connection.execute(statement).await.map_err(execution_failed)?.into())
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let statement = unprepared(sql).map_err(execution_failed)?;
        let mut connection = self.connection.lock().await;
        Ok(connection.execute(statement).await.map_err(execution_failed)?.into())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let statement = prepared(statement).map_err(query_failed)?.unnamed();
        let mut connection = self.connection.lock().await;
        Ok(connection.fetch_optional(statement).await.map_err(query_failed)?.map(Into::into))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let statement = prepared(statement).map_err(query_failed)?.unnamed();
        let mut connection = self.connection.lock().await;
        let rows = connection.fetch_all(statement).await.map_err(query_failed)?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

impl fmt::Debug for OrmConnection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrmConnection").finish_non_exhaustive()
    }
}
