//! The statements that complete the diary of a run, one function each.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;

use crate::error::Result;
use crate::tenant::Digest;

/// The part of the diary that concerns one schema in a run.
#[derive(Debug, Default)]
pub(crate) struct Entered {
    /// True if it has an entry without an error.
    pub(crate) is_migrated: bool,
    /// The error of its entry.
    pub(crate) error: Option<String>,
    /// The versions that this run or a later one has entered as applied.
    pub(crate) applied: Vec<i64>,
    /// The versions that they have entered as undone.
    pub(crate) undone: Vec<i64>,
}

/// Reads what the diary says of the schemas with these slugs since a run began.
pub(crate) async fn known(
    connection: &mut PgConnection,
    run: i64,
    slugs: &[&str],
) -> Result<HashMap<String, Entered>> {
    let rows = sqlx::query(
        "SELECT slug, run_id = $1 AND state = 'migrated' AS is_migrated, applied, undone,
                CASE WHEN run_id = $1 THEN error END AS error
         FROM tenantry.run_schema WHERE run_id >= $1 AND slug = ANY ($2)",
    );
    let mut known = HashMap::<String, Entered>::new();
    for row in rows.bind(run).bind(slugs).fetch_all(connection).await? {
        let entry = known.entry(row.try_get("slug")?).or_default();
        entry.is_migrated |= row.try_get::<bool, _>("is_migrated")?;
        entry.error = entry.error.take().or(row.try_get("error")?);
        entry.applied.extend(row.try_get::<Vec<i64>, _>("applied")?);
        entry.undone.extend(row.try_get::<Vec<i64>, _>("undone")?);
    }
    Ok(known)
}

/// A schema whose ledger has changed.
#[derive(Debug)]
pub(crate) struct ChangedSchema {
    pub(crate) schema: String,
    pub(crate) digest: Digest,
    pub(crate) applied_at: OffsetDateTime,
    /// The versions that were undone since then, the newest first.
    pub(crate) undone: Vec<i64>,
}

/// Finds those among some schemas whose ledgers have changed since a moment.
pub(crate) async fn changed_since(
    connection: &mut PgConnection,
    schemas: &[&str],
    since: OffsetDateTime,
) -> Result<Vec<ChangedSchema>> {
    let rows = sqlx::query(
        "SELECT schema_name, digest, applied_at, ARRAY(
             SELECT key::bigint FROM pg_catalog.jsonb_each_text(undone)
             WHERE value::timestamptz >= $2 ORDER BY key::bigint DESC) AS undone
         FROM tenantry.applied
         WHERE schema_name = ANY ($1) AND applied_at >= $2",
    );
    let rows = rows.bind(schemas).bind(since).fetch_all(connection).await?;
    let read = |row: &sqlx::postgres::PgRow| {
        let digest: [u8; 32] = row.try_get("digest")?;
        Ok(ChangedSchema {
            schema: row.try_get("schema_name")?,
            digest: Digest::from_bytes(digest),
            applied_at: row.try_get("applied_at")?,
            undone: row.try_get("undone")?,
        })
    };
    rows.iter().map(read).collect()
}
