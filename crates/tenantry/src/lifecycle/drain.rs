//! Waits until nothing of a suspended tenant is under way.
//!
//! This process knows whose connections are in use. Of others the server is asked, by what their transactions cannot
//! hide: a lock on each relation that they have read or written, kept until they end. That question costs what the
//! server's locks cost, however many tenants there are. A transaction of another process that was begun before the
//! suspension and has touched no table yet is not seen; what has not heard of the suspension yet may still begin.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::{Status, Tenant};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// The looks in a row at which nothing was seen: the announcement of the suspension may be on its way.
const LOOKS: u32 = 3;
/// The sessions that an error names.
const MOST_NAMES: usize = 5;

/// The sessions that hold or wait for a lock on a relation of the schema, a prepared transaction as number 0.
///
/// Each lock is looked up by the number of its relation: the catalog is not read. Autovacuum has no user.
const SESSIONS: &str = "SELECT DISTINCT coalesce(lock.pid, 0), coalesce(activity.application_name, '')
    FROM pg_catalog.pg_locks AS lock
    LEFT JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = lock.pid
    WHERE lock.locktype = 'relation'
      AND lock.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
      AND (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = lock.relation)
        = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
      AND (lock.pid IS NULL OR activity.usesysid IS NOT NULL)
      AND (NOT $2 OR lock.mode <> 'AccessShareLock')
    ORDER BY 1";

/// Waits for the transactions and statements of a suspended tenant, but no longer than this. Where reads go on, it
/// waits for those that write.
pub(crate) async fn drain(context: &Context, tenant: &Tenant, limit: Duration) -> Result<()> {
    if tenant.status() != Status::Suspended {
        let message = format!("tenant `{}` is {} and never without work", tenant.slug(), tenant.status());
        return Err(Error::new(ErrorKind::InvalidInput, message)
            .with_tenant(tenant.slug())
            .with_hint("suspend it first"));
    }
    let quiet = Quiet { only_writers: tenant.is_read_only(), limit, pause: PAUSE };
    let mut server = context.databases.owner_connection(tenant.database()).await?;
    quiet.wait(context, tenant, &mut server).await.map_err(|error| {
        error.with_hint(
            "it stays suspended: wait again, or end a session with `SELECT pg_terminate_backend(…)`",
        )
    })
}

/// The quiet of a tenant for whom nobody begins new work.
pub(super) struct Quiet {
    /// Lets those go on who only read, if true.
    pub(super) only_writers: bool,
    pub(super) limit: Duration,
    /// The pause between two looks.
    pub(super) pause: Duration,
}

impl Quiet {
    /// Waits for the transactions and statements that are under way.
    ///
    /// # Errors
    /// [`ErrorKind::PoolTimeout`], naming some of them, if the time is over.
    pub(super) async fn wait(
        &self,
        context: &Context,
        tenant: &Tenant,
        server: &mut PgConnection,
    ) -> Result<()> {
        let deadline = Instant::now() + self.limit;
        let mut quiet = 0;
        loop {
            let own = context.databases.held_by(tenant, self.only_writers)?;
            let sessions = sessions(server, tenant, self.only_writers).await?;
            quiet = if own == 0 && sessions.is_empty() { quiet + 1 } else { 0 };
            if quiet == LOOKS {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(still_at_work(tenant, self.limit, own, &sessions));
            }
            sleep(self.pause).await;
        }
    }
}

async fn sessions(
    server: &mut PgConnection,
    tenant: &Tenant,
    only_writers: bool,
) -> Result<Vec<(i32, String)>> {
    let sessions = sqlx::query_as(SESSIONS).bind(tenant.schema().as_str()).bind(only_writers);
    Ok(sessions.fetch_all(server).await?)
}

fn still_at_work(tenant: &Tenant, limit: Duration, own: usize, sessions: &[(i32, String)]) -> Error {
    let mut parts = Vec::new();
    if own > 0 {
        parts.push(format!("{own} connections of this process are in use"));
    }
    parts.extend(sessions.iter().take(MOST_NAMES).map(|(pid, application)| match pid {
        0 => "a prepared transaction holds locks".to_owned(),
        _ => format!("session {pid} ({application}) holds locks"),
    }));
    if sessions.len() > MOST_NAMES {
        parts.push(format!("so do {} more", sessions.len() - MOST_NAMES));
    }
    if parts.is_empty() {
        parts.push("the last work ended just now".to_owned());
    }
    let message =
        format!("tenant `{}` is still at work after {limit:?}: {}", tenant.slug(), parts.join(", "));
    Error::new(ErrorKind::PoolTimeout, message).with_tenant(tenant.slug())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::fixture::with_one_connection;

    #[tokio::test]
    async fn each_lock_is_looked_up_by_the_number_of_its_relation() {
        let installation = with_one_connection(&[]).await;
        let tables: Vec<_> = (0..1_000).map(|n| format!("CREATE TABLE public.t{n} (id int)")).collect();
        installation.run(&tables.join(";")).await;
        installation.run("ANALYZE pg_class").await;
        let explain = format!("EXPLAIN {}", SESSIONS.replace("$1", "'public'").replace("$2", "true"));
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
            .fetch_all(&mut installation.outside().await)
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains("Index Scan using pg_class_oid_index"), "{plan}");
        assert!(!plan.contains("Seq Scan on pg_class"), "{plan}");
    }
}
