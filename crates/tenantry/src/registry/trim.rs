//! Keeps within a limit what a table of the registry remembers.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Result;

/// Forgets the rows that were not used for the longest time, beyond this many. The table has a column `used_at`.
pub(super) async fn trim(connection: &mut PgConnection, table: &'static str, most: i64) -> Result<()> {
    // A row that somebody uses at this moment has moved, and stays.
    let forget = format!(
        "DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} ORDER BY used_at DESC OFFSET $1)"
    );
    sqlx::query(AssertSqlSafe(forget)).bind(most).persistent(false).execute(connection).await?;
    Ok(())
}
