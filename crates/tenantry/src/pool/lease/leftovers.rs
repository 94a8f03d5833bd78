//! Finds what an idle session holds, although the pool takes it for clean.

use std::fmt::Write as _;

use super::Lease;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::driver::Driver;
use crate::pool::lease::Activity;
use crate::pool::slots::Slot;
use crate::sql::VOID_SCHEMA;
use crate::tenant::Slug;

/// Something that a session held which cleaning has removed from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// `setting`, `advisory lock` and so on.
    pub(crate) kind: String,
    pub(crate) name: String,
    /// The tenant that the session served last; `None` if that was the master schema.
    pub(crate) tenant: Option<Slug>,
}

/// All that a session holds, as JSON: kind, name and value of each.
///
/// A setting that no extension has declared is in no catalog. Who makes one unseen is a function, so all names in
/// functions that look like one are asked for.
const HOLDINGS: &str = r"SELECT pg_catalog.json_agg(pg_catalog.json_build_array(kind, name, value))::text FROM (
    SELECT 'setting' AS kind, name, setting AS value FROM pg_catalog.pg_settings WHERE source = 'session'
    UNION ALL
    SELECT 'setting', name, value FROM (
        SELECT DISTINCT pg_catalog.lower(found[1]) AS name
        FROM pg_catalog.pg_proc, pg_catalog.regexp_matches(prosrc, '([a-zA-Z_]\w*\.[a-zA-Z_]\w*)', 'g') AS found
        WHERE pronamespace <> 'pg_catalog'::pg_catalog.regnamespace
          AND prosrc ~* '\mset'
    ) AS names, pg_catalog.current_setting(name, true) AS value
    WHERE value <> ''
    UNION ALL SELECT 'role', CURRENT_USER::text, '' WHERE CURRENT_USER <> SESSION_USER
    UNION ALL SELECT 'advisory lock', pg_catalog.concat_ws(' ', classid, objid), '' FROM pg_catalog.pg_locks
        WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()
    UNION ALL SELECT 'temporary table', relname::text, '' FROM pg_catalog.pg_class
        WHERE relnamespace = pg_catalog.pg_my_temp_schema() AND relkind IN ('r', 'p', 'v', 'S')
    UNION ALL SELECT 'prepared statement', name, '' FROM pg_catalog.pg_prepared_statement() WHERE from_sql
    UNION ALL SELECT 'cursor', name, '' FROM pg_catalog.pg_cursor() WHERE is_holdable
    UNION ALL SELECT 'channel', name, '' FROM pg_catalog.pg_listening_channels() AS name
) AS holdings";

type Holding = (String, String, String);

impl<D: Driver> Lease<D> {
    /// Looks what an idle session holds that cleaning removes, and removes it.
    pub(in crate::pool) async fn leftovers(slot: Slot<D>) -> Result<Vec<Leftover>> {
        let mut lease = Self::new(slot);
        let session = &lease.pooled().session;
        let Some(last) = session.last() else { return Ok(Vec::new()) };
        let tenant = last.tenant().map(|tenant| tenant.slug().clone());
        let is_in_void = session.schema() == Some(VOID_SCHEMA);
        let before = lease.holdings().await?;
        lease.clean().await?;
        let after = lease.holdings().await?;
        let is_left = |(kind, name, value): &Holding| {
            let is_void = is_in_void && name == "search_path" && value == VOID_SCHEMA;
            !is_void && !after.contains(&(kind.clone(), name.clone(), value.clone()))
        };
        let left = before.into_iter().filter(is_left);
        Ok(left.map(|holding| told(holding, tenant.as_ref())).collect())
    }

    async fn holdings(&mut self) -> Result<Vec<Holding>> {
        let answer = self
            .exchange(Activity::Boundary, async |driver, connection| driver.send(connection, HOLDINGS).await);
        let json = answer.await?.unwrap_or_else(|| "[]".to_owned());
        serde_json::from_str(&json).map_err(|error| {
            Error::new(ErrorKind::Database, "a session does not tell what it holds").with_source(error)
        })
    }
}

fn told((kind, mut name, value): Holding, tenant: Option<&Slug>) -> Leftover {
    if kind == "setting" {
        let _ = write!(name, " = {value}");
    }
    Leftover { kind, name, tenant: tenant.cloned() }
}
