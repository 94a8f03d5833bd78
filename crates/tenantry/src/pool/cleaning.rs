//! The messages that remove what a session may hold.
//!
//! Most of it goes by plain statements, in one message. The rest is rare, and takes code: the message asks
//! whether there may be any, and only then a second one follows.

use uuid::Uuid;

use super::driver::Driver;
use crate::error::Result;
use crate::guard::{Guard, stands};

/// Removes what no plain statement removes, as the role that logged in: statements prepared by SQL, temporary
/// replication slots, a replication origin, and what extensions hold, which may be in any schema.
///
/// Only an error tells that `dblink` has no connection without a name. An extension's functions that the role
/// may not use have left nothing, unless through a function of somebody else's.
const REMOVE_REST: &str = "DO LANGUAGE plpgsql $tenantry$ \
    DECLARE command text; may_fail boolean; \
    BEGIN FOR command, may_fail IN \
    SELECT pg_catalog.format('DEALLOCATE %I', name), false \
    FROM pg_catalog.pg_prepared_statement() WHERE from_sql \
    UNION ALL SELECT pg_catalog.format('SELECT pg_catalog.pg_drop_replication_slot(%L)', slot_name), false \
    FROM pg_catalog.pg_get_replication_slots() WHERE temporary AND active_pid = pg_catalog.pg_backend_pid() \
    UNION ALL SELECT 'SELECT pg_catalog.pg_replication_origin_session_reset() \
    WHERE pg_catalog.pg_replication_origin_session_is_setup()', false \
    WHERE pg_catalog.has_function_privilege('pg_catalog.pg_replication_origin_session_reset()', 'EXECUTE') \
    UNION ALL SELECT pg_catalog.format(release, extnamespace::pg_catalog.regnamespace), true \
    FROM pg_catalog.pg_extension JOIN (VALUES \
    ('dblink', 'SELECT %1$s.dblink_disconnect(name) FROM pg_catalog.unnest(%1$s.dblink_get_connections()) AS name'), \
    ('dblink', 'SELECT %s.dblink_disconnect()'), \
    ('isn', 'SELECT %s.isn_weak(false)'), \
    ('postgres_fdw', 'SELECT %s.postgres_fdw_disconnect_all()')) AS held (extension, release) \
    ON extname = extension \
    LOOP BEGIN EXECUTE command; \
    EXCEPTION WHEN connection_does_not_exist OR insufficient_privilege OR undefined_function THEN \
    IF NOT may_fail THEN RAISE; END IF; \
    END; END LOOP; END $tenantry$; ";

/// Answers with the schema in force, with nothing in a transaction that began before this message, and with no
/// name if there may be something that takes code.
///
/// A statement prepared by SQL would outlive the tenant, and deallocating all would take sqlx's own with them.
/// A replication origin is seen only by who may set it.
const SCHEMA_UNLESS_REST: &str = "SELECT CASE \
    WHEN pg_catalog.now() <> pg_catalog.statement_timestamp() THEN NULL \
    WHEN EXISTS (SELECT FROM pg_catalog.pg_prepared_statement() WHERE from_sql) \
    OR EXISTS (SELECT FROM pg_catalog.pg_get_replication_slots() \
    WHERE temporary AND active_pid = pg_catalog.pg_backend_pid()) \
    OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname IN ('dblink', 'isn', 'postgres_fdw')) \
    OR pg_catalog.has_function_privilege(session_user, \
    'pg_catalog.pg_replication_origin_session_reset()', 'EXECUTE') THEN '' \
    ELSE pg_catalog.current_schema() END";

/// Answers with the schema in force, with nothing in a transaction that began before this message.
pub(super) const SCHEMA: &str = "SELECT CASE \
    WHEN pg_catalog.now() <> pg_catalog.statement_timestamp() THEN NULL \
    ELSE pg_catalog.current_schema() END";

/// Answers with nothing in a transaction that began before this message.
pub(super) const IS_IDLE: &str =
    "SELECT CASE WHEN pg_catalog.now() = pg_catalog.statement_timestamp() THEN '' END";

const MAY_HOLD_REST: &str = "";

/// Removes all that a session may hold, makes the settings of every session and these, and answers with the schema
/// in force then.
pub(super) async fn clean<D: Driver>(
    driver: &D,
    connection: &mut D::Connection,
    settings: &str,
) -> Result<Option<String>> {
    let removal = remove_all();
    let settings = &[driver.defaults().statements(), settings].concat();
    let question = if stands(Guard::Rest) { SCHEMA_UNLESS_REST } else { SCHEMA };
    let answer = driver.send(connection, &[&removal, settings, question].concat()).await?;
    match answer.as_deref() {
        Some(MAY_HOLD_REST) => {
            driver.send(connection, &[&removal, REMOVE_REST, settings, SCHEMA].concat()).await
        }
        _ => Ok(answer),
    }
}

/// Plain statements that remove what a session may hold, and reset the settings to the server's.
///
/// A seed that a tenant chose would tell what is random for the next one.
fn remove_all() -> String {
    format!(
        "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; \
         SELECT pg_catalog.pg_advisory_unlock_all(), pg_catalog.setseed({}); DISCARD TEMP; DISCARD SEQUENCES; ",
        random_seed()
    )
}

/// Statements that remove all that a session behind a pooler may hold, and set again what sqlx asked for when it
/// connected.
pub(super) fn remove_behind_pooler(settings: &str) -> String {
    format!("{}{REMOVE_REST}{settings}", remove_all())
}

/// A number between 0 and 1, of as many random bits as the server takes.
fn random_seed() -> f64 {
    // The first field of a UUID has no bit that is not random.
    let random = || f64::from(Uuid::new_v4().as_fields().0) / 4_294_967_296.0;
    random() + random() / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_seed_is_what_the_server_takes_and_never_the_same() {
        let seeds = [(); 100].map(|()| random_seed());
        assert!(seeds.iter().all(|seed| (0.0..=1.0).contains(seed)), "{seeds:?}");
        let different: HashSet<_> = seeds.iter().map(|seed| seed.to_bits()).collect();
        assert_eq!(different.len(), seeds.len(), "{seeds:?}");
        assert!(remove_all().contains("setseed(0."), "written without an exponent");
    }
}
