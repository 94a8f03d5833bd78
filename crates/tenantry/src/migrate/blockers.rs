//! The sessions that hold the lock a migration waits for.

use sqlx::PgConnection;

use crate::error::Result;

/// The sessions a process of the server waits for at this moment, in words. None if it does not wait.
///
/// PostgreSQL shows the query of another user's session to superusers and members of `pg_read_all_stats`.
pub(super) async fn blockers(connection: &mut PgConnection, pid: i32) -> Result<Vec<String>> {
    let sessions = sqlx::query_scalar(
        r"SELECT pg_catalog.format('process %s of `%s`, %s: `%s`', pid, usename, coalesce(state, 'at work'),
              pg_catalog.left(pg_catalog.regexp_replace(query, '\s+', ' ', 'g'), 200))
          FROM pg_catalog.pg_stat_activity
          WHERE pid = ANY (pg_catalog.pg_blocking_pids($1)) ORDER BY pid",
    )
    .bind(pid)
    .fetch_all(connection)
    .await?;
    Ok(sessions)
}
