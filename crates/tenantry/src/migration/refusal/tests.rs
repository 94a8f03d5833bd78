#![allow(clippy::unwrap_used)]

use super::*;
use crate::sql::lexer::Lexer;

fn judge(sql: &str) -> Option<Refusal> {
    let tokens: Vec<_> = Lexer::new(sql).map(Result::unwrap).filter(|token| !token.is_comment()).collect();
    Refusal::of(&tokens).or_else(|| Refusal::in_transaction(&tokens))
}

#[track_caller]
fn check(sql: &str, expect: &str) {
    let message = judge(sql).map(|refusal| refusal.to_string());
    assert_eq!(message.as_deref(), Some(expect), "{sql}");
}

#[track_caller]
fn check_allowed(statements: &[&str]) {
    for sql in statements {
        assert_eq!(judge(sql), None, "{sql}");
    }
}

#[test]
fn transaction_control_is_refused() {
    for (sql, command) in [
        ("begin", "BEGIN"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN"),
        ("Start /* */ Transaction", "START TRANSACTION"),
        ("COMMIT AND CHAIN", "COMMIT"),
        ("COMMIT PREPARED 'x'", "COMMIT PREPARED"),
        ("END", "END"),
        ("ROLLBACK", "ROLLBACK"),
        ("ROLLBACK PREPARED 'x'", "ROLLBACK PREPARED"),
        ("ABORT", "ABORT"),
        ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION"),
    ] {
        check(sql, &format!("`{command}` is not allowed in a migration"));
    }
}

#[test]
fn a_savepoint_is_allowed() {
    check_allowed(&[
        "SAVEPOINT a",
        "RELEASE SAVEPOINT a",
        "ROLLBACK TO SAVEPOINT a",
        "ROLLBACK WORK TO a",
        "PREPARE a AS SELECT 1",
    ]);
}

#[test]
fn a_change_of_schema_or_role_is_refused() {
    for (sql, setting) in [
        ("SET search_path = a", "SET search_path"),
        ("set local Search_Path to a, b", "SET Search_Path"),
        ("SET SESSION search_path TO DEFAULT", "SET search_path"),
        ("SET \"SEARCH_PATH\" = a", "SET \"SEARCH_PATH\""),
        ("SET U&\"search\\005fpath\" = a", "SET U&\"search\\005fpath\""),
        ("SET SCHEMA 'a'", "SET SCHEMA"),
        ("SET LOCAL SCHEMA 'a'", "SET SCHEMA"),
        ("SET ROLE a", "SET ROLE"),
        ("SET SESSION ROLE NONE", "SET ROLE"),
        ("SET role TO a", "SET role"),
        ("SET SESSION AUTHORIZATION a", "SET SESSION AUTHORIZATION"),
        ("SET SESSION SESSION AUTHORIZATION a", "SET SESSION AUTHORIZATION"),
        ("SET LOCAL SESSION AUTHORIZATION DEFAULT", "SET SESSION AUTHORIZATION"),
        ("SET session_authorization = a", "SET session_authorization"),
        ("RESET search_path", "RESET search_path"),
        ("RESET ROLE", "RESET ROLE"),
        ("RESET SESSION AUTHORIZATION", "RESET SESSION AUTHORIZATION"),
        ("RESET ALL", "RESET ALL"),
        ("DISCARD ALL", "DISCARD ALL"),
        ("SELECT set_config('search_path', 'a', true)", "set_config('search_path', …)"),
        ("SELECT pg_catalog.\"set_config\"(E'Role', 'a', true)", "set_config('Role', …)"),
        ("WITH a AS (SELECT set_config($$role$$, 'a', true)) SELECT 1", "set_config('role', …)"),
    ] {
        check(sql, &format!("`{setting}` is not allowed in a migration"));
    }
}

#[test]
fn other_settings_are_allowed() {
    check_allowed(&[
        "SET lock_timeout = '1s'",
        "SET LOCAL statement_timeout = 0",
        "SET CONSTRAINTS ALL DEFERRED",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET TIME ZONE 'UTC'",
        "RESET lock_timeout",
        "DISCARD TEMP",
        "SELECT set_config('app.user', 'search_path', true)",
        "SELECT 'SET search_path = a'",
        "SELECT set_config(name, value, true) FROM setting",
    ]);
}

#[test]
fn a_path_that_belongs_to_an_object_is_allowed() {
    check_allowed(&[
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = a AS 'SELECT 1'",
        "CREATE FUNCTION f() RETURNS text BEGIN ATOMIC SELECT set_config('search_path', 'a', true); END",
        "ALTER FUNCTION f() SET search_path FROM CURRENT",
        "ALTER FUNCTION f() RESET search_path",
        "ALTER ROLE a SET search_path = b",
        "DO $$ BEGIN PERFORM 1; END $$",
        "UPDATE a SET role = 'b'",
        "CREATE TABLE commit (search_path text)",
    ]);
}

#[test]
fn strings_stay_as_the_lexer_reads_them() {
    let message = "`SET standard_conforming_strings` to anything but `on` is not allowed in a migration";
    check("SET standard_conforming_strings = off", message);
    check("SET LOCAL standard_conforming_strings TO 'off'", message);
    check_allowed(&["SET standard_conforming_strings = on", "set standard_conforming_strings to 'on'"]);
}

#[test]
fn copy_from_or_to_the_client_is_refused() {
    let message = "`COPY` from or to the client is not allowed in a migration";
    check("COPY a (b, c) FROM stdin", message);
    check("COPY a FROM STDIN WITH (FORMAT csv)", message);
    check("COPY a TO STDOUT", message);
    check("COPY (SELECT 1) TO STDOUT", message);
    check("COPY a FROM STDOUT", message);
}

#[test]
fn copy_with_what_the_server_has_is_refused() {
    for sql in [
        "COPY a FROM '/tmp/stdin'",
        "COPY (SELECT 1 FROM stdin) TO '/tmp/a'",
        "COPY a FROM PROGRAM 'cat' WITH (FORMAT csv)",
        "copy a (b) to program $$cat$$",
    ] {
        check(sql, "`COPY` with a file or a program of the server is not allowed in a migration");
    }
    check_allowed(&["CREATE TABLE copy (a int)", "DROP TABLE copy"]);
}

#[test]
fn what_cannot_run_in_a_transaction_is_refused_there() {
    for (sql, command) in [
        ("CREATE INDEX CONCURRENTLY ON a (b)", "CREATE INDEX CONCURRENTLY"),
        ("create unique index concurrently if not exists i on a (b)", "CREATE UNIQUE INDEX CONCURRENTLY"),
        ("DROP INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY"),
        ("REINDEX INDEX CONCURRENTLY i", "REINDEX CONCURRENTLY"),
        ("REINDEX (CONCURRENTLY) TABLE a", "REINDEX CONCURRENTLY"),
        ("REINDEX SCHEMA a", "REINDEX SCHEMA"),
        ("REINDEX (VERBOSE) DATABASE a", "REINDEX DATABASE"),
        ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", "DETACH PARTITION CONCURRENTLY"),
        ("VACUUM (ANALYZE) a", "VACUUM"),
        ("CREATE DATABASE a", "CREATE DATABASE"),
        ("DROP DATABASE a", "DROP DATABASE"),
        ("CREATE TABLESPACE a LOCATION '/a'", "CREATE TABLESPACE"),
        ("DROP TABLESPACE a", "DROP TABLESPACE"),
        ("ALTER SYSTEM SET a = 1", "ALTER SYSTEM"),
        ("CLUSTER", "CLUSTER"),
        ("CLUSTER VERBOSE", "CLUSTER"),
        ("CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c", "CREATE SUBSCRIPTION"),
    ] {
        check(sql, &format!("`{command}` cannot run in a transaction"));
    }
    check_allowed(&[
        "CREATE INDEX ON a (b)",
        "DROP INDEX \"concurrently\"",
        "CLUSTER a",
        "CLUSTER (VERBOSE) a USING b",
        "CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c WITH (connect = false)",
        "CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c WITH (slot_name = 'd', create_slot = 'off')",
        "REINDEX TABLE a",
        "CLUSTER a USING b",
        "CREATE SUBSCRIPTION a CONNECTION 'b' PUBLICATION c WITH (create_slot = false)",
        "REINDEX (VERBOSE) TABLE schema",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY a",
        "ALTER TABLE a DETACH PARTITION b FINALIZE",
        "ANALYZE a",
        "ALTER TYPE a ADD VALUE 'b'",
        "ALTER DATABASE a SET lock_timeout = 1",
    ]);
}
