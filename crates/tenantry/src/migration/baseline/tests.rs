#![allow(clippy::unwrap_used)]

use super::dump::{baseline_of, statements_of};
use super::*;
use crate::migration::scripts;
use crate::migration::source::Migrations;
use crate::sql::lexer::{Lexer, Statements};
use crate::tenant::Digest;

const HEAD: BaselineHead =
    BaselineHead { version: 7, digest: Digest::from_bytes([0xab; 32]), rows: Vec::new() };

fn scratch() -> SchemaName {
    SchemaName::parse("tenantry_baseline_1").unwrap()
}

fn rename(sql: &str, from: &str, to: &str) -> Result<String, usize> {
    let tokens: Vec<_> = Lexer::new(sql).flatten().collect();
    Ok(NamePlaces::of(from, &tokens)?.fill(sql, 0..sql.len(), to).text)
}

#[track_caller]
fn check(dump: &str, expect: &[&str]) {
    assert_eq!(statements_of(dump, &scratch()).unwrap(), expect);
}

#[track_caller]
fn check_refused(dump: &str, says: &str) {
    let error = statements_of(dump, &scratch()).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn only_what_makes_objects_is_kept() {
    check(
        "\\restrict abc\n--\n-- PostgreSQL database dump\n--\nSET statement_timeout = 0;\n\
         SELECT pg_catalog.set_config('search_path', '', false);\n\
         CREATE SCHEMA tenantry_baseline_1;\nSET default_tablespace = '';\n\
         SET default_table_access_method = heap;\n\
         -- Name: note; Type: TABLE; Schema: tenantry_baseline_1; Owner: -\n\
         CREATE TABLE tenantry_baseline_1.note (\n    id integer\n);\n\\unrestrict abc\n",
        &["CREATE TABLE __tenant__.note (\n    id integer\n)"],
    );
}

#[test]
fn the_schema_is_renamed_by_token() {
    for (sql, expect) in [
        ("SELECT old.f(old.a)", "SELECT __tenant__.f(__tenant__.a)"),
        ("SELECT \"old\".\"T\"", "SELECT __tenant__.\"T\""),
        ("nextval('old.seq'::regclass)", "nextval('__tenant__.seq'::regclass)"),
        ("'old.\"Seq\"'::pg_catalog.regclass", "'__tenant__.\"Seq\"'::pg_catalog.regclass"),
        ("SET search_path TO 'old', 'pg_temp'", "SET search_path TO '__tenant__', 'pg_temp'"),
        ("SELECT public.f() -- old", "SELECT public.f() -- old"),
        ("SELECT 'é', old.a", "SELECT 'é', __tenant__.a"),
    ] {
        assert_eq!(rename(sql, "old", PLACEHOLDER).as_deref(), Ok(expect), "{sql}");
    }
    let quoted = rename("nextval('__tenant__.s'::regclass), __tenant__.t", PLACEHOLDER, "it's \"so\"");
    assert_eq!(quoted.as_deref(), Ok("nextval('\"it''s \"\"so\"\"\".s'::regclass), \"it's \"\"so\"\"\".t"));
}

#[test]
fn a_name_that_remains_is_refused() {
    for (sql, at) in [
        ("SELECT $$SELECT old.a$$", 7),
        ("SELECT 'see old'", 7),
        ("SELECT 'old.a'::text", 7),
        ("SELECT E'old\\n'", 7),
        ("SELECT old.index_of_old", 11),
        ("SELECT 'old.old'::regclass", 7),
        ("SELECT U&\"old\"", 7),
    ] {
        assert_eq!(rename(sql, "old", PLACEHOLDER), Err(at), "{sql}");
    }
    check_refused(
        "CREATE FUNCTION tenantry_baseline_1.f() RETURNS int\n AS $$SELECT 1 FROM tenantry_baseline_1.t$$;",
        "`CREATE FUNCTION tenantry_baseline_1.f() RETURNS int …` has the name of its own schema",
    );
}

#[test]
fn what_a_baseline_cannot_hold_is_refused() {
    check_refused("SET default_table_access_method = columnar;", "`default_table_access_method` columnar");
    check_refused("SET default_tablespace = fast;", "`default_tablespace` fast");
    check_refused("SELECT '__tenant__';", "contains `__tenant__`");
    check_refused("SELECT 'open", "not complete SQL");
}

#[test]
fn a_materialized_view_is_filled_where_the_dump_fills_it() {
    check(
        "CREATE MATERIALIZED VIEW tenantry_baseline_1.v AS\n SELECT 1\n  WITH NO DATA;\n\
         REFRESH MATERIALIZED VIEW tenantry_baseline_1.v;",
        &[
            "CREATE MATERIALIZED VIEW __tenant__.v AS\n SELECT 1\n  WITH NO DATA",
            "REFRESH MATERIALIZED VIEW __tenant__.v",
        ],
    );
}

#[test]
fn a_sequence_that_was_used_keeps_its_position() {
    check(
        "SELECT pg_catalog.setval('tenantry_baseline_1.a', 1, false);\n\
         SELECT pg_catalog.setval('tenantry_baseline_1.\"B\"', 1, true);\n\
         SELECT pg_catalog.setval('tenantry_baseline_1.c', 11, false);",
        &[
            "SELECT pg_catalog.setval('__tenant__.\"B\"', 1, true)",
            "SELECT pg_catalog.setval('__tenant__.c', 11, false)",
        ],
    );
}

#[test]
fn the_head_is_read_back() {
    let dump = "-- Dumped by pg_dump version 15.4 (Debian 15.4-1)\nSELECT 1;\n\
                -- PostgreSQL database dump complete\n--\n";
    let text = baseline_of(dump, &scratch(), &HEAD).unwrap();
    assert_eq!(BaselineHead::parse(&text), Some(HEAD));
    assert!(text.contains("-- pg_dump: 15\n\nSELECT 1;\n"), "{text}");
    let with_rows = BaselineHead { rows: vec!["plan".to_owned(), "a \"b\",\nc".to_owned()], ..HEAD };
    let text = baseline_of(dump, &scratch(), &with_rows).unwrap();
    assert_eq!(BaselineHead::parse(&text), Some(with_rows));
    for (part, says) in [("Dumped by", "which `pg_dump`"), ("dump complete", "cut off before its end")] {
        let refused = baseline_of(&dump.replace(part, ""), &scratch(), &HEAD).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    for text in ["", "-- version: 7", "-- version: x\n-- digest: y", "\n-- version: 7\n-- digest: 00"] {
        assert_eq!(BaselineHead::parse(text), None, "{text}");
    }
}

#[test]
fn a_baseline_of_no_or_other_migrations_is_refused() {
    let refused = Migrations::none().with_baseline(&HEAD.render(15)).unwrap_err();
    assert!(refused.to_string().contains("other files than the migrations up to version 7"), "{refused}");
    assert!(refused.hint().is_some());
    let refused = Migrations::none().with_baseline("CREATE TABLE t ();").unwrap_err();
    assert!(refused.to_string().contains("no version and digest"), "{refused}");
}

#[test]
fn a_renamed_baseline_knows_its_statements_without_being_read() {
    let set = MigrationSet::new(vec![scripts::script("SELECT 1").unwrap()], &mut Vec::new());
    let head = BaselineHead { version: 1, digest: set.digest(), rows: Vec::new() }.render(15);
    let text =
        format!("{head}SELECT 'é', __tenant__.a;\n\nSELECT 1;SELECT nextval('__tenant__.s'::regclass)");
    let baseline = Baseline::parse("baseline.sql", &text, &set).unwrap();
    for name in ["a", "t_acme_0123456789", "it's \"so\""] {
        let renamed = baseline.renamed(&SchemaName::parse(name).unwrap());
        let read: Vec<_> = Statements::of(renamed.sql()).map(|statement| statement.unwrap().span).collect();
        assert_eq!(renamed.statements(), read, "{}", renamed.sql());
    }
}
