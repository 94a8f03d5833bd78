//! The statements about structures of schemas that are kept, one function each.

use sqlx::PgConnection;

use super::trim::trim;
use crate::error::Result;

/// Structures that are kept, those used last. A fleet has one per state of its files, and a few that went astray.
const MOST: i64 = 32;

/// The texts that make a structure: what comes before the rows, and what comes behind them.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct KeptStructure {
    pub(crate) pre_data: String,
    pub(crate) post_data: String,
}

/// The texts of a structure, if it was kept.
pub(crate) async fn find(
    connection: &mut PgConnection,
    fingerprint: &[u8; 32],
    server_major: i32,
) -> Result<Option<KeptStructure>> {
    let find =
        "SELECT pre_data, post_data FROM tenantry.structure WHERE fingerprint = $1 AND server_major = $2";
    let found = sqlx::query_as(find).bind(fingerprint.as_slice()).bind(server_major);
    Ok(found.fetch_optional(connection).await?)
}

/// Keeps a structure, or notes that it was used, and forgets those that were not for the longest time.
pub(crate) async fn keep(
    connection: &mut PgConnection,
    fingerprint: &[u8; 32],
    server_major: i32,
    structure: &KeptStructure,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO tenantry.structure (fingerprint, server_major, pre_data, post_data) VALUES ($1, $2, $3, $4)
         ON CONFLICT (fingerprint, server_major) DO UPDATE SET used_at = now()",
    )
    .bind(fingerprint.as_slice())
    .bind(server_major)
    .bind(&structure.pre_data)
    .bind(&structure.post_data)
    .execute(&mut *connection)
    .await?;
    trim(connection, "tenantry.structure", MOST).await
}
