//! Tells whether the ways to a database pass a pooler in transaction mode, as the configuration says they do.

use sqlx::Row as _;

use super::{Check, Finding, Patient, Session};
use crate::database::{PoolMode, Route, Way};

/// Questions put to each of two clients. A pooler that chooses among sessions at random would have to choose
/// the same two again and again.
const ROUNDS: usize = 8;

/// The mode of the pool against what is really there.
pub(super) async fn mode(patient: &Patient<'_>) -> Result<Option<Finding>, sqlx::Error> {
    let lends = lends_sessions(patient.config.application()).await?;
    Ok(match (patient.config.pool_config().mode, lends) {
        (PoolMode::Session, true) => {
            let what = "a pooler in transaction mode stands in front of it, while `pool.mode` is `session`";
            let finding = patient.error(Check::PoolMode, what, "tenants could read each other's rows");
            Some(finding.mend_by(
                "set `mode = \"transaction\"` under `[pool]` in tenantry.toml, or TENANTRY_POOL_MODE=transaction",
            ))
        }
        (PoolMode::Transaction, false) => {
            let what = "`pool.mode` is `transaction`, and no pooler in that mode was found";
            let why = "every statement takes four round trips where one would do";
            let finding = patient.warning(Check::PoolMode, what, why);
            Some(finding.mend_by(
                "set `mode = \"session\"` under `[pool]` in tenantry.toml, or TENANTRY_POOL_MODE=session",
            ))
        }
        (PoolMode::Session, false) | (PoolMode::Transaction, true) => None,
    })
}

/// Without one, some things do not work behind a pooler.
pub(super) fn missing_direct_url(patient: &Patient<'_>) -> Option<Finding> {
    let config = patient.config;
    if config.pool_config().mode == PoolMode::Session || config.way(Way::Direct).is_some() {
        return None;
    }
    let why = match config.way(Way::Owner) {
        Some(_) => "changes of tenants are seen only when the cache expires",
        None => "changes of tenants are seen only when the cache expires; nothing can be created or migrated",
    };
    let (alias, name) = (patient.alias, patient.alias.as_str().to_uppercase());
    let mend = format!(
        "set `direct_url`, which leads to the server past the pooler, under `[databases.{alias}]` in \
         tenantry.toml, or TENANTRY_DATABASES_{name}_DIRECT_URL"
    );
    Some(patient.warning(Check::DirectWay, "`direct_url` is not set", why).mend_by(mend))
}

/// Checks that a way passes no pooler where it should pass none.
pub(super) async fn way_past(patient: &Patient<'_>, way: Way) -> Option<Finding> {
    let route = patient.config.way(way)?;
    let key = way.key();
    match lends_sessions(route).await {
        Ok(false) => None,
        Ok(true) => {
            let what = format!("`{key}` passes a pooler in transaction mode");
            let why = "what it is for needs a session of its own";
            let finding = patient.error(Check::DirectWay, what, why);
            Some(finding.mend_by(format!("let `{key}` lead to the server itself")))
        }
        Err(error) => {
            let what = format!("`{key}` leads to no database that can be examined: {error}");
            let why = "what goes that way, such as migrations, does not work";
            let mend = format!("check that the server runs there and that `{key}` is right");
            Some(patient.error(Check::Unreachable, what, why).mend_by(mend))
        }
    }
}

/// Returns true if clients share the sessions of the server.
///
/// Two clients that are connected at the same time ask in turn for the process that serves them. Where
/// each has a session, with or without a pooler, these are two that stay the same. Nothing else is
/// asked, so nothing can be left behind in a session that is shared.
async fn lends_sessions(route: &Route) -> Result<bool, sqlx::Error> {
    let (mut first, mut second) = (Session::new(route), Session::new(route));
    let (own, others) = (process(&mut first).await?, process(&mut second).await?);
    let mut lends = own == others;
    for _ in 1..ROUNDS {
        lends |= process(&mut first).await? != own || process(&mut second).await? != others;
    }
    first.close().await;
    second.close().await;
    Ok(lends)
}

async fn process(client: &mut Session) -> Result<Option<String>, sqlx::Error> {
    let rows = client.rows_of_text("SELECT pg_catalog.pg_backend_pid()::text").await?;
    rows.first().map(|row| row.try_get(0)).transpose()
}
