use super::*;

#[track_caller]
fn check(expect: Result<(), NeedsSession>, texts: &[&str]) {
    for sql in texts {
        assert_eq!(runs_without_session(sql), expect, "{sql}");
    }
}

#[test]
fn what_ends_with_the_transaction_may_run() {
    check(
        Ok(()),
        &[
            "",
            "SELECT 1",
            "SET LOCAL statement_timeout TO '1s'",
            "set local time zone 'UTC'",
            "SET TRANSACTION READ ONLY",
            "SET CONSTRAINTS ALL DEFERRED",
            "SAVEPOINT a",
            "RELEASE a",
            "ROLLBACK TO a",
            "ROLLBACK WORK TO SAVEPOINT a",
            "DECLARE c CURSOR FOR SELECT 1",
            "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1",
            "FETCH c",
            "NOTIFY changed",
            "LOCK TABLE note",
            "DO $$ BEGIN PERFORM set_config('a.b', 'c', false); END $$",
            "CALL work()",
            "EXPLAIN SELECT 1",
            "CREATE TABLE note (id int)",
            "CREATE TABLE temp_note (id int)",
            "CREATE TEMP TABLE note (id int) ON COMMIT DROP",
            "CREATE TEMPORARY TABLE note ON COMMIT DROP AS SELECT 1",
            "CREATE INDEX ON note (id)",
            "CREATE FUNCTION f() RETURNS void BEGIN ATOMIC SELECT pg_advisory_lock(1); END",
            "DROP TABLE note",
            "TRUNCATE note",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY sums",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT pg_try_advisory_xact_lock(1)",
            "SELECT set_config('a.b', $1, true)",
            "SELECT set_config('a.b', coalesce($1, 'c'), TRUE), 2",
            "CREATE TABLE a (id int); INSERT INTO a VALUES (1); -- COMMIT",
            "SELECT 'unterminated",
        ],
    );
}

#[test]
fn what_begins_or_ends_a_transaction_is_refused() {
    let texts = ["BEGIN", "start transaction", "COMMIT", "END", "ABORT", "ROLLBACK", "ROLLBACK AND CHAIN"];
    check(Err(CONTROL), &texts);
    check(
        Err(CONTROL),
        &["PREPARE TRANSACTION 'a'", "COMMIT PREPARED 'a'", "SELECT 1; COMMIT", "/* x */ COMMIT"],
    );
}

#[test]
fn what_sets_the_session_is_refused() {
    check(Err(SET), &["SET x = 1", "SET SESSION x TO 1", "SET ROLE a", "SET search_path TO a"]);
    check(Err(SET), &["SET TIME ZONE 'UTC'", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"]);
    check(
        Err(SET_CONFIG),
        &["SELECT set_config('a.b', 'c', false)", "SELECT pg_catalog.set_config($1, $2, $3)"],
    );
    check(Err(SET_CONFIG), &["SELECT \"set_config\"('a', 'b', not true)"]);
    check(Err(RESET), &["RESET ALL", "RESET ROLE"]);
    check(Err(DISCARD), &["DISCARD ALL"]);
    check(Err(LOAD), &["LOAD 'auto_explain'"]);
}

#[test]
fn what_lasts_in_the_session_is_refused() {
    check(Err(LISTEN), &["LISTEN a", "UNLISTEN *"]);
    check(Err(PREPARED), &["PREPARE a AS SELECT 1", "EXECUTE a", "DEALLOCATE ALL"]);
    check(Err(CURSOR), &["DECLARE c CURSOR WITH HOLD FOR SELECT 1"]);
    check(Err(TEMPORARY), &["CREATE TEMP TABLE a (id int)", "CREATE LOCAL TEMPORARY TABLE a (id int)"]);
    check(Err(TEMPORARY), &["CREATE OR REPLACE TEMP VIEW a AS SELECT 1", "CREATE TEMP SEQUENCE a"]);
    check(Err(TEMPORARY), &["SELECT 1 AS a INTO TEMP b", "SELECT 1 AS a INTO LOCAL TEMPORARY TABLE b"]);
    check(Err(LOCK), &["SELECT pg_advisory_lock(1)", "SELECT pg_try_advisory_lock_shared(1, 2)"]);
    check(
        Err(LOCK),
        &["(SELECT 1) UNION (SELECT \"pg_advisory_lock\"(1))", "EXPLAIN SELECT pg_advisory_lock(1)"],
    );
    check(Err(ORIGIN), &["SELECT pg_replication_origin_session_setup('a')"]);
    check(Err(DBLINK), &["SELECT dblink_connect('a', 'b')"]);
}

#[test]
fn what_cannot_run_in_a_transaction_is_refused() {
    check(Err(OUTSIDE), &["VACUUM", "vacuum analyze note", "CREATE INDEX CONCURRENTLY ON note (id)"]);
    check(Err(OUTSIDE), &["CREATE UNIQUE INDEX CONCURRENTLY a ON note (id)", "DROP INDEX CONCURRENTLY a"]);
    check(
        Err(OUTSIDE),
        &["REINDEX TABLE CONCURRENTLY note", "ALTER TABLE a DETACH PARTITION b CONCURRENTLY"],
    );
}

#[test]
fn copy_is_refused_in_both_directions() {
    check(
        Err(COPY),
        &["COPY note FROM STDIN", "COPY (SELECT 1) TO STDOUT", "INSERT INTO a VALUES (1); COPY a TO STDOUT"],
    );
}
