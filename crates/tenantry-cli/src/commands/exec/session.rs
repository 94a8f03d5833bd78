//! The session that the statements run in: one of the application's, or of the owner's.
use std::time::Duration;

use futures_util::stream::BoxStream;
use sqlx::postgres::{PgQueryResult, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Either, PgConnection};
use tenantry::pool::Checkout;
use tenantry::tenant::Tenant;
use tenantry::{Tenancy, TenantDb};

use crate::duration::parse_duration;

/// The terms on which statements run.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Terms {
    /// Run as the owner of the schemas, who may change tables, where the configuration has one
    #[arg(long)]
    owner: bool,
    /// The longest that a statement may run, as in `30s` or `500ms`; 0 for no limit
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    statement_timeout: Option<Duration>,
    /// The longest that a statement may wait for a lock
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    lock_timeout: Option<Duration>,
}

pub(super) enum Session {
    Application(Box<Checkout>),
    Owner(Box<PgConnection>),
}

impl Session {
    /// Opens a session in the schema of a tenant.
    pub(super) async fn of_tenant(tenancy: &Tenancy, db: &TenantDb, terms: Terms) -> anyhow::Result<Self> {
        let session = if terms.owner {
            Self::of_owner(tenancy, Some(db.tenant())).await?
        } else {
            Self::Application(Box::new(db.acquire().await.map_err(tenantry::Error::from)?))
        };
        session.on(terms).await
    }

    /// Opens one in the master schema.
    pub(super) async fn of_master(tenancy: &Tenancy, terms: Terms) -> anyhow::Result<Self> {
        let session = if terms.owner {
            Self::of_owner(tenancy, None).await?
        } else {
            Self::Application(Box::new(tenancy.master().acquire().await.map_err(tenantry::Error::from)?))
        };
        session.on(terms).await
    }

    async fn of_owner(tenancy: &Tenancy, tenant: Option<&Tenant>) -> tenantry::Result<Self> {
        let connection = match tenant {
            Some(tenant) => tenancy.owner_session(tenant).await?,
            None => tenancy.master_owner_session().await?,
        };
        Ok(Self::Owner(Box::new(connection)))
    }

    /// Gives the connection back, or closes it where it is the owner's.
    pub(super) async fn close(self) {
        if let Self::Owner(connection) = self {
            // It has done its work.
            let _ = connection.close().await;
        }
    }

    async fn on(mut self, terms: Terms) -> anyhow::Result<Self> {
        // Makes the server end the statement when this process is gone. Where the server's system cannot see that, the
        // statement goes on there to its end, as it does with psql.
        let _ = self.set("client_connection_check_interval", Duration::from_secs(1)).await;
        let limits = [("statement_timeout", terms.statement_timeout), ("lock_timeout", terms.lock_timeout)];
        for (name, limit) in limits {
            if let Some(limit) = limit {
                self.set(name, limit).await.map_err(tenantry::Error::from)?;
            }
        }
        Ok(self)
    }

    /// Rounded up, since zero would turn it off.
    async fn set(&mut self, name: &str, limit: Duration) -> Result<(), sqlx::Error> {
        let milliseconds = limit.as_nanos().div_ceil(1_000_000);
        let set = sqlx::raw_sql(AssertSqlSafe(format!("SET {name} TO {milliseconds}")));
        match self {
            Self::Application(checkout) => set.execute(&mut **checkout).await,
            Self::Owner(connection) => set.execute(&mut **connection).await,
        }
        .map(drop)
    }

    /// Runs statements. The simple protocol takes several, and answers with text whatever the types are.
    pub(super) fn run<'a>(
        &'a mut self,
        sql: &'a str,
    ) -> BoxStream<'a, Result<Either<PgQueryResult, PgRow>, sqlx::Error>> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Self::Application(checkout) => sql.fetch_many(&mut **checkout),
            Self::Owner(connection) => sql.fetch_many(&mut **connection),
        }
    }
}
