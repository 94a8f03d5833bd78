use proptest::prelude::*;

use super::Effect::{Neutral, Touched};
use super::*;

#[track_caller]
fn check(expect: Effect, texts: &[&str]) {
    for sql in texts {
        assert_eq!(classify(sql), expect, "{sql}");
    }
}

#[test]
fn one_statement_that_reads_or_writes_rows_is_neutral() {
    check(
        Neutral,
        &[
            "SELECT 1",
            "select * from note where id = $1",
            "INSERT INTO note (title) VALUES ($1) RETURNING id",
            "insert into note values (1) on conflict (id) do update set title = excluded.title",
            "UPDATE note SET title = 'x' WHERE id = 1",
            "DELETE FROM note",
            "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DO NOTHING",
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM x",
            "VALUES (1), (2)",
            "TABLE note",
            "SHOW search_path",
            "(SELECT 1) UNION (SELECT 2)",
            "((VALUES (1)))",
            "SELECT * FROM note FOR UPDATE SKIP LOCKED",
            "SELECT 1 INTO copied",
            "SELECT 1 INTO UNLOGGED copied",
            "SELECT currval('s'), nextval('s')",
            "SELECT nextval('note_id_seq')",
        ],
    );
}

#[test]
fn semicolons_and_comments_around_it_do_not_matter() {
    check(
        Neutral,
        &[
            "SELECT 1;",
            "SELECT 1 ; ; \n",
            "; SELECT 1",
            "SELECT /* ; SET x = 1 */ 1",
            "SELECT 1 -- ; SET x = 1",
            "-- SET x\nSELECT 1",
            "/* tenant 7 */ SELECT 1 /* done */",
            "/* /* nested */ SET x */ SELECT 1;/* end */",
            "SELECT 1; -- behind",
            "\r\n\tSELECT\r\n1\r\n",
        ],
    );
}

#[test]
fn a_text_without_a_statement_is_neutral() {
    check(Neutral, &["", " \n", ";", ";;", "-- nothing", "/* nothing */;"]);
}

#[test]
fn names_inside_strings_do_not_matter() {
    check(
        Neutral,
        &[
            "SELECT 'set_config(''a'', ''b'', false)'",
            "SELECT 'SELECT 1; SET x = 1'",
            "SELECT $$; set_config('a', 'b', false)$$",
            "SELECT $a$ pg_advisory_lock $$ $a$",
            r"SELECT E'\'; SET x = 1; --'",
            r"SELECT '\', 'set_config'",
            "SELECT U&'\\0061 set_config'",
            "SELECT 'a'\n'; set_config'",
            "INSERT INTO t VALUES ('it''s; RESET ALL')",
            "SELECT 'pg_temp.t'::regclass",
        ],
    );
}

#[test]
fn similar_names_are_neutral() {
    check(
        Neutral,
        &[
            "SELECT current_setting('app.user')",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT pg_try_advisory_xact_lock(1), pg_advisory_xact_lock_shared(2)",
            "SELECT pg_advisory_unlock(1)",
            "SELECT pg_notify('a', 'b')",
            "SELECT temp FROM weather ORDER BY temp",
            "SELECT temp, temporary AS temporary FROM weather w WHERE w.temp > 1",
            "INSERT INTO weather (temp) VALUES (1)",
            "SELECT my_set_config(1), config, \"set\"",
            "SELECT my_dblink(1), settings FROM my_pg_settings",
            "SELECT lo_open(1, 2)",
            "SELECT pg_typeof(1), pg_column_size(a), pg_total_relation_size('t') FROM t",
            "SELECT pg_sleep(0), pg_backend_pid(), pg_current_xact_id(), pg_size_pretty(1)",
            "SELECT relname FROM pg_class WHERE (pg_table_is_visible(oid))",
            "SELECT count(*) FROM pg_locks WHERE (granted)",
            "SELECT random(), now(), clock_timestamp(), gen_random_uuid(), uuidv7()",
            "SELECT xmlparse(document '<a/>'), xpath('/a', '<a/>'), ts_headline('a', 'b')",
            "SELECT a$set_config$b FROM t",
            "SELECT é_set_config FROM t",
        ],
    );
}

#[test]
fn other_statements_touch_the_session() {
    check(
        Touched,
        &[
            "SET search_path = x",
            "set local x.y = 1",
            "RESET ALL",
            "LISTEN a",
            "UNLISTEN *",
            "NOTIFY a",
            "PREPARE a AS SELECT 1",
            "EXECUTE a",
            "DEALLOCATE ALL",
            "DECLARE c CURSOR FOR SELECT 1",
            "FETCH ALL FROM c",
            "MOVE c",
            "CLOSE c",
            "BEGIN",
            "START TRANSACTION",
            "COMMIT",
            "END",
            "ROLLBACK",
            "ABORT",
            "SAVEPOINT a",
            "RELEASE a",
            "DO $$BEGIN END$$",
            "CALL p()",
            "CREATE TABLE a ()",
            "CREATE TEMP TABLE a ()",
            "ALTER TABLE a ADD b int",
            "DROP TABLE a",
            "TRUNCATE a",
            "COPY a TO STDOUT",
            "LOCK TABLE a",
            "DISCARD ALL",
            "EXPLAIN ANALYZE SELECT set_config('a', 'b', false)",
            "EXPLAIN SELECT 1",
            "LOAD 'x'",
            "VACUUM",
            "ANALYZE",
            "/* SELECT */ SET x = 1",
            "-- SELECT\rSET x = 1",
            "(SET x = 1)",
            "\"select\" 1",
            "selects 1",
            "1",
            "$$SELECT 1$$",
        ],
    );
}

#[test]
fn more_than_one_statement_touches_the_session() {
    check(
        Touched,
        &[
            "SELECT 1; SET x = 1",
            "SELECT 1; SELECT 2",
            "SELECT 1;;SELECT 2;",
            "SELECT 1 /* */;/* */ COMMIT",
            "SELECT '\\'; SET x = 1 --'",
            "SELECT 1+--\n1; SET x = 1",
            "SELECT $a$ $b$ $a$; SET x = $b$ $b$",
            "SELECT a$$; SET x = 1; SELECT $$a",
        ],
    );
}

#[test]
fn names_that_change_the_session_touch_it() {
    check(
        Touched,
        &[
            "SELECT set_config('a', 'b', false)",
            "SELECT SET_CONFIG('a', 'b', true)",
            "SELECT pg_catalog . set_config('a', 'b', false)",
            "SELECT pg_catalog/**/./**/\"set_config\"/**/('a', 'b', false)",
            "select \"set_config\"('a','b',false)",
            "SELECT U&\"set\\005fconfig\"('a', 'b', false)",
            "SELECT u&\"x\" FROM t",
            "WITH x AS (SELECT set_config('a', 'b', false)) SELECT 1",
            "INSERT INTO t SELECT set_config('a', 'b', false)",
            "VALUES (set_config('a', 'b', false))",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_advisory_lock_shared(1)",
            "SELECT Pg_Try_Advisory_Lock(1)",
            "SELECT pg_try_advisory_lock_shared(1)",
            "SELECT dblink_connect('a')",
            "SELECT dblink_connect_u('a')",
            "SELECT setseed(0.5)",
            "SELECT set_limit(0.5)",
            "SELECT isn_weak(true)",
            "SELECT * FROM pg_temp.t",
            "SELECT 1 INTO pg_temp.t",
            "DELETE FROM PG_TEMP_3.t",
            "SELECT * FROM \"pg_temp_12\".t",
        ],
    );
}

#[test]
fn what_writes_to_the_settings_touches_the_session() {
    check(
        Touched,
        &[
            "UPDATE pg_settings SET setting = 'x' WHERE name = 'search_path'",
            "update only pg_catalog.pg_settings as s set setting = 'x'",
            "UPDATE \"pg_catalog\".\"pg_settings\" SET setting = 'x'",
            "UPDATE/**/pg_catalog -- the view\n . /**/ PG_SETTINGS SET setting = 'x'",
            "UPDATE U&\"pg\\005fsettings\" SET setting = 'x'",
            "UPDATE U&\"pg!005fsettings\" UESCAPE '!' SET setting = 'x'",
            "WITH x AS (UPDATE pg_settings SET setting = 'x' RETURNING 1) SELECT 1",
            "INSERT INTO t WITH x AS (UPDATE pg_settings SET setting = 'x' RETURNING 1) SELECT 1",
            "(WITH x AS (UPDATE pg_settings SET setting = 'x' RETURNING 1) TABLE x)",
            "MERGE INTO pg_settings s USING t ON s.name = t.name WHEN MATCHED THEN UPDATE SET setting = 'x'",
        ],
    );
}

#[test]
fn what_runs_a_text_touches_the_session() {
    check(
        Touched,
        &[
            "SELECT query_to_xml('select set_' || 'config(1,2,3)', true, false, '')",
            "SELECT query_to_xml_and_xmlschema($1, true, false, '')",
            "SELECT cursor_to_xml('c', 1, true, false, '')",
            "SELECT table_to_xml('v', true, false, '')",
            "SELECT schema_to_xmlschema('s', true, false, '')",
            "SELECT database_to_xml(true, false, '')",
            "SELECT ts_rewrite('a', 'SELECT set_' || 'config(1,2,3)')",
            "SELECT * FROM ts_stat($1)",
            "SELECT * FROM extensions.crosstab($1) AS (a text)",
            "SELECT * FROM \"crosstab3\"($1)",
            "SELECT * FROM connectby('t', 'id', 'parent', 'root', 0) AS (a text)",
            "SELECT * FROM xpath_table('id', 'doc', 't', '/a', 'true') AS (a text)",
            "SELECT * FROM dblink('dbname=x', 'SELECT 1') AS (a int)",
            "SELECT dblink_exec('UPDATE t SET a = 1')",
        ],
    );
}

#[test]
fn functions_of_the_server_that_are_not_known_touch_the_session() {
    check(
        Touched,
        &[
            "SELECT pg_replication_origin_session_setup('a')",
            "SELECT pg_create_physical_replication_slot('a', false, true)",
            "SELECT pg_catalog . \"pg_create_logical_replication_slot\" /**/ ('a', 'b', true)",
            "SELECT pg_backup_start('a')",
            "SELECT PG_Export_Snapshot()",
            "SELECT pg_of_a_later_version(1)",
            "SELECT postgres_fdw_disconnect_all()",
            "SELECT binary_upgrade_set_record_init_privs(true)",
        ],
    );
}

#[test]
fn temporary_tables_touch_the_session() {
    check(
        Touched,
        &[
            "SELECT 1 INTO TEMP t",
            "SELECT 1 INTO TEMPORARY TABLE t",
            "SELECT 1 INTO /* */ temp t",
            "SELECT 1 INTO LOCAL TEMP t",
            "SELECT 1 INTO GLOBAL\nTEMPORARY t",
            "WITH x AS (SELECT 1) SELECT * INTO TEMP t FROM x",
            "(SELECT 1 INTO temp t)",
        ],
    );
}

#[test]
fn a_text_that_cannot_be_read_touches_the_session() {
    check(
        Touched,
        &[
            "SELECT 'a",
            "SELECT \"a",
            "SELECT $$a",
            "SELECT /* a",
            "SELECT E'\\'",
            "SELECT 1 \\gset",
            "SELECT {",
            "SELECT 1\0",
        ],
    );
}

#[test]
fn the_memory_answers_as_the_judge_does() {
    let classifier = Classifier::default();
    for _ in 0..2 {
        assert_eq!(classifier.effect("SELECT 1"), Neutral);
        assert_eq!(classifier.effect("SET x = 1"), Touched);
    }
    assert_eq!(classifier.known.read().map(|known| known.effects.len()).ok(), Some(2));
}

#[test]
fn the_memory_is_bounded_in_texts_and_in_bytes() {
    let classifier = Classifier::default();
    let size =
        || classifier.known.read().map(|known| (known.effects.len(), known.size_bytes)).unwrap_or_default();

    let long = format!("SELECT '{}'", "x".repeat(LONGEST_TEXT_BYTES));
    assert_eq!(classifier.effect(&long), Neutral);
    assert_eq!(size(), (0, 0));

    for number in 0..MOST_TEXTS {
        classifier.effect(&format!("SELECT {number}"));
    }
    assert_eq!(size().0, MOST_TEXTS);
    classifier.effect("SELECT 'one more'");
    assert_eq!(size(), (1, 17));

    for number in 0..2 * MOST_BYTES / LONGEST_TEXT_BYTES {
        classifier.effect(&format!("SELECT {number:0>16000}"));
        assert!(size().1 <= MOST_BYTES);
    }
}

proptest! {
    #[test]
    fn any_text_is_judged(any: String, words in prop::collection::vec("[a-z_'\"$;\\\\(/*-]{1,12}", 0..12)) {
        classify(&any);
        classify(&format!("SELECT {}", words.join(" ")));
    }

    #[test]
    fn a_second_statement_is_never_neutral(any in "[^\0]{0,40}") {
        // Whatever the text does to the lexer, it does not swallow a SET that the server would run.
        let sql = format!("SELECT 1 {any}; SET x = 1");
        let swallowed = any.contains(['\'', '"', '$', '-', '*', '\\']);
        prop_assert!(swallowed || classify(&sql) == Touched, "{}", sql);
    }
}
