//! The list of names in `classify.rs` against the functions of a server and of its extensions.
//!
//! A function that a later version of PostgreSQL adds fails these tests until somebody has judged it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_embedded::ScratchDatabase;

use super::{Effect, classify};

/// Reasons why functions leave nothing behind, and their names. One that ends in `*` is the beginning of several.
const JUDGED_HARMLESS: [(&str, &str); 9] = [
    (
        "tells the time, a random value or a name",
        "array_sample array_shuffle clock_timestamp current_query current_schema current_schemas fips_mode \
         gen_random_bytes gen_random_uuid gen_salt inet_client_* inet_server_* normal_rand pgp_pub_encrypt* \
         pgp_sym_encrypt* random random_normal ssl_* timeofday timezone uuid_generate_* uuidv4 uuidv7",
    ),
    ("is discarded with the sequences at each switch", "currval lastval nextval setval"),
    (
        "ends with its transaction",
        "age lo_close lo_lseek* lo_open lo_tell* loread pg_advisory_xact_lock* pg_current_xact_id* pg_notify \
         pg_stat_get_xact_* pg_try_advisory_xact_lock* txid_current txid_current_if_assigned txid_status",
    ),
    (
        "writes large objects, which are rows",
        "lo_creat lo_create lo_export lo_from_bytea lo_get lo_import lo_put lo_truncate* lo_unlink lowrite",
    ),
    ("waits, or lets go of what the session holds", "pg_advisory_unlock* pg_sleep*"),
    (
        "reads what the server tells of itself",
        "currtid2 pg_backend_pid pg_blocking_pids pg_collation_actual_version pg_current_logfile pg_current_wal_* \
         pg_database_size pg_get_aios pg_get_backend_memory_contexts pg_get_loaded_modules pg_get_logical_snapshot_* \
         pg_get_multixact_members pg_get_sequence_data pg_get_shmem_allocations* pg_get_viewdef pg_get_wait_events \
         pg_get_wal_* pg_indexes_size pg_is_in_recovery pg_last_committed_xact pg_last_wal_* \
         pg_last_xact_replay_timestamp pg_listening_channels pg_relation_size pg_sequence_last_value pg_stat_get_* \
         pg_table_size pg_total_relation_size pg_trigger_depth pg_xact_commit_timestamp* pg_xact_status",
    ),
    (
        "reads or maintains pages of tables and indexes",
        "autoprewarm_* brin_* bt_* fsm_page_contents get_raw_page gin_clean_pending_list gin_index_check \
         gin_leafpage_items gin_metapage_info gin_page_opaque_info gist_page_* hash_* heap_* page_checksum \
         page_header pgrowlocks pgstat* tuple_data_split verify_heapam",
    ),
    ("checks a definition", "amvalidate file_fdw_validator plpgsql_validator"),
    (
        "makes values of its arguments",
        "_pg_index_position gin_enum_cmp gin_numeric_cmp json_to_record* jsonb_to_record* xslt_process",
    ),
];

/// The functions that may do more than compute: volatile, not fit for parallel workers, or with rows whose shape
/// only the query knows, as where a text is run. Left out are those that no query can call.
const CANDIDATES: &str = "
    SELECT p.oid, p.proname::text AS name FROM pg_proc p JOIN pg_type t ON t.oid = prorettype
    WHERE 'internal'::regtype <> ALL (proargtypes)
      AND typname NOT IN ('trigger', 'event_trigger', 'internal') AND typname !~ '_handler$'
      AND (provolatile = 'v' OR proparallel <> 's'
            OR proretset AND prorettype = 'record'::regtype AND proallargtypes IS NULL)";

/// A database with every extension that comes with the server.
///
/// Languages are no part of it: what their functions do is up to the user.
async fn with_all_extensions() -> (ScratchDatabase, PgConnection) {
    let database = ScratchDatabase::create().await.unwrap();
    let mut server = PgConnection::connect(database.superuser_url()).await.unwrap();
    let available: Vec<String> = sqlx::query_scalar(
        "SELECT name::text FROM pg_available_extensions WHERE name !~ 'plperl|plpython|pltcl' ORDER BY name",
    )
    .fetch_all(&mut server)
    .await
    .unwrap();
    for needed in ["dblink", "isn", "pg_trgm", "postgres_fdw", "tablefunc", "xml2"] {
        assert!(available.iter().any(|name| name == needed), "PostgreSQL comes without its `{needed}`");
    }
    for name in available {
        let create = format!("CREATE EXTENSION IF NOT EXISTS \"{name}\" CASCADE");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut server).await.unwrap();
    }
    (database, server)
}

async fn names(server: &mut PgConnection, query: &str) -> BTreeSet<String> {
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(server).await.unwrap().into_iter().collect()
}

fn is_touching(function: &str) -> bool {
    classify(&format!("SELECT * FROM \"{function}\"(1)")) == Effect::Touched
}

fn judged_harmless() -> impl Iterator<Item = &'static str> {
    JUDGED_HARMLESS.iter().flat_map(|(_reason, names)| names.split(' '))
}

fn is_harmless(function: &str) -> bool {
    judged_harmless().any(|name| match name.strip_suffix('*') {
        Some(beginning) => function.starts_with(beginning),
        None => function == name,
    })
}

#[tokio::test]
async fn every_function_that_may_do_more_than_compute_is_judged() {
    let (_database, mut server) = with_all_extensions().await;
    let functions = names(&mut server, &format!("SELECT name FROM ({CANDIDATES}) AS candidate")).await;
    assert!(functions.contains("set_config") && functions.contains("xpath_table"), "{functions:?}");

    let unjudged: Vec<_> =
        functions.iter().filter(|function| !is_touching(function) && !is_harmless(function)).collect();
    assert!(unjudged.is_empty(), "neither in `SESSION_NAMES` nor judged to be harmless: {unjudged:?}");
}

#[test]
fn what_is_judged_harmless_is_neutral() {
    for name in judged_harmless() {
        assert!(!is_touching(name.trim_end_matches('*')), "{name}");
    }
}

#[tokio::test]
async fn nothing_but_its_name_calls_a_function_that_touches() {
    let (_database, mut server) = with_all_extensions().await;
    let unnamed = format!(
        "SELECT name FROM ({CANDIDATES}) AS candidate WHERE oid IN (
            SELECT oprcode FROM pg_operator UNION SELECT castfunc FROM pg_cast
            UNION SELECT aggtransfn FROM pg_aggregate UNION SELECT aggfinalfn FROM pg_aggregate
            UNION SELECT typinput FROM pg_type UNION SELECT typoutput FROM pg_type
            UNION SELECT typreceive FROM pg_type UNION SELECT typsend FROM pg_type)"
    );
    let touching: Vec<_> =
        names(&mut server, &unnamed).await.into_iter().filter(|name| is_touching(name)).collect();
    assert!(touching.is_empty(), "called by an operator, a cast, an aggregate or a type: {touching:?}");

    let rules = "SELECT DISTINCT ev_class::regclass::text FROM pg_rewrite WHERE rulename <> '_RETURN'";
    assert_eq!(names(&mut server, rules).await, BTreeSet::from(["pg_settings".to_owned()]));
}
