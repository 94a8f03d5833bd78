#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sqlx::{AssertSqlSafe, SqlSafeStr, migrate::MigrationType};

use super::*;

/// A script named `1_a.sql`, read as sqlx would.
pub(crate) fn script(sql: &str) -> Result<Script, MigrationError> {
    script_of(1, MigrationType::Simple, sql)
}

pub(crate) fn script_of(version: i64, kind: MigrationType, sql: &str) -> Result<Script, MigrationError> {
    let script = any_script(version, kind, sql);
    script.refusals().first().cloned().map_or(Ok(script), Err)
}

/// The same, accepted or not.
pub(crate) fn any_script(version: i64, kind: MigrationType, sql: &str) -> Script {
    let no_transaction = sql.starts_with("-- no-transaction");
    let text = AssertSqlSafe(sql).into_sql_str();
    let source = sqlx::migrate::Migration::new(version, "a".into(), kind, text, no_transaction);
    Script::parse(format!("{version}_a{}", kind.suffix()), source)
}

#[track_caller]
fn check(sql: &str, expect: &str) {
    let error = script(sql).expect_err(sql);
    assert_eq!(error.to_string(), expect);
    assert!(error.hint().is_some(), "{sql}");
}

#[test]
fn an_accepted_file_knows_its_statements() {
    let sql = "-- notes\nCREATE TABLE note (id int);\r\n\r\nCREATE INDEX ON note (id)";
    let script = script(sql).unwrap();
    let lines: Vec<_> = script.statements().iter().map(|statement| statement.line).collect();
    assert_eq!(lines, [2, 4]);
    assert_eq!(script.sql(), sql);
    assert!(script.is_transactional());
}

#[test]
fn a_refused_statement_is_named_with_its_line() {
    check("CREATE TABLE a ();\n\nCOMMIT;", "1_a.sql:3: `COMMIT` is not allowed in a migration");
    check("/* a\n */ SET\nROLE x", "1_a.sql:2: `SET ROLE` is not allowed in a migration");
    check("\\connect a\nSELECT 1;", "1_a.sql:1: `\\connect` is a command of psql, not SQL");
}

#[test]
fn every_refused_line_is_named() {
    let text = "BEGIN;\nSELECT 1;\nSET ROLE a;\nCOPY a FROM stdin;\nVACUUM;\n'";
    let source = sqlx::migrate::Migration::new(
        1,
        "a".into(),
        MigrationType::Simple,
        AssertSqlSafe(text).into_sql_str(),
        false,
    );
    let script = Script::parse("1_a.sql".into(), source);
    let lines: Vec<_> = script.refusals().iter().map(MigrationError::line).collect();
    assert_eq!(lines, [Some(1), Some(3), Some(4)]);
    assert!(script.refusals().iter().all(|refusal| refusal.version() == Some(1)));
}

/// The lines that are refused, and what is said of each.
fn refusals(sql: &str) -> Vec<(usize, String)> {
    let script = any_script(1, MigrationType::Simple, sql);
    let told = |refusal: &MigrationError| (refusal.line().unwrap(), refusal.to_string());
    script.refusals().iter().map(told).collect()
}

#[test]
fn all_that_is_for_psql_is_named_and_hides_nothing() {
    let found =
        refusals("\\set v 1\n\\ir other.sql\nSELECT :'v', :\"w\";\nSELECT 1 \\gset\nCOMMIT;\n\\echo\n");
    let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 3, 3, 4, 5, 6], "{found:?}");
    assert_eq!(found[2].1, "1_a.sql:3: `:'v'` is a variable of psql, not SQL");
    assert_eq!(found[5].1, "1_a.sql:5: `COMMIT` is not allowed in a migration");
    for refusal in any_script(1, MigrationType::Simple, "\\d\nSELECT :a").refusals() {
        assert!(refusal.hint().unwrap().contains("`tenantry psql --tenant SLUG -- -f FILE`"), "{refusal}");
    }
}

#[test]
fn a_dump_is_told_once_and_by_what_is_wrong_only() {
    let dump = "--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n\n\
                SELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE public.note (id int);\n\
                COPY public.note (id) FROM stdin;\n1\n\\.\n\n\\unrestrict x\n";
    let found = refusals(dump);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, 2);
    assert!(
        found[0].1.ends_with("is the output of `pg_dump`, and 4 of its statements can be in no migration")
    );
    let script = any_script(1, MigrationType::Simple, dump);
    let hint = script.refusals()[0].hint().unwrap();
    for part in ["`tenantry import-migrations dump FILE`", "--schema-only --no-owner", "`public.`"] {
        assert!(hint.contains(part), "{hint}");
    }
    // One that holds nothing else is a migration like any other, and what is cut off is told as well.
    assert!(
        script_of(1, MigrationType::Simple, "-- PostgreSQL database dump\nCREATE TABLE note ();").is_ok()
    );
    let found = refusals(&format!("{dump}SELECT 'a"));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_file_that_another_tool_divides_is_refused() {
    let comment = "SELECT 1;\n-- +goose Down\nSELECT 2;";
    check(comment, "1_a.sql:2: `-- +goose Down` divides the file for goose, and here both halves would run");
    for (sql, hint) in [
        (comment, "`tenantry import-migrations goose DIR`"),
        ("-- migrate:down", "`tenantry import-migrations dbmate DIR`"),
        ("-- +migrate Down", "`.down.sql`"),
    ] {
        let error = script(sql).unwrap_err();
        assert!(error.hint().unwrap().contains(hint), "{error}");
    }
}

#[test]
fn the_data_behind_a_copy_does_not_hide_the_copy() {
    check(
        "CREATE TABLE a ();\nCOPY a FROM stdin;\n1\tdon't\n\\.\n",
        "1_a.sql:2: `COPY` from or to the client is not allowed in a migration",
    );
}

#[test]
fn what_stands_below_the_data_of_a_copy_is_judged() {
    let text = "COPY a FROM stdin;\n1\tdon't\n\\.\n\nCOMMIT;\nCOPY b TO stdout;\nSET ROLE a;";
    let source = sqlx::migrate::Migration::new(
        1,
        "a".into(),
        MigrationType::Simple,
        AssertSqlSafe(text).into_sql_str(),
        false,
    );
    let script = Script::parse("1_a.sql".into(), source);
    let lines: Vec<_> = script.refusals().iter().map(MigrationError::line).collect();
    assert_eq!(lines, [Some(1), Some(5), Some(6), Some(7)]);
}

#[test]
fn incomplete_sql_is_refused_where_it_begins() {
    check("SELECT 1;\nSELECT 'a;\n", "1_a.sql:2: unterminated string");
    check("SELECT 1;\n\n/* a", "1_a.sql:3: unterminated comment");
    check("DO $$\nBEGIN\nEND", "1_a.sql:1: unterminated dollar-quoted string");
}

#[test]
fn a_byte_order_mark_and_nul_are_refused() {
    check("\u{feff}SELECT 1", "1_a.sql:1: the file begins with a byte order mark");
    check("SELECT 1;\n-- \0", "1_a.sql:2: the file contains a NUL character");
}

#[test]
fn a_file_without_transaction_holds_one_statement() {
    let script = script("-- no-transaction\nCREATE INDEX CONCURRENTLY ON a (b);\n").unwrap();
    assert!(!script.is_transactional());

    let message = "a `-- no-transaction` file holds exactly one statement, or only named indexes that are built or \
                   dropped concurrently, and this one holds";
    check("-- no-transaction\nVACUUM;\nVACUUM;\nVACUUM", &format!("1_a.sql:3: {message} 3"));
    check("-- no-transaction\n", &format!("1_a.sql:1: {message} 0"));
    check("-- no-transaction\nBEGIN", "1_a.sql:2: `BEGIN` is not allowed in a migration");
}

#[test]
fn settings_may_stand_in_front_of_the_statement() {
    let accepted = |sql: &str| script(&format!("-- no-transaction\n{sql}"));
    let both = "SET lock_timeout = '2s';\nSET SESSION statement_timeout TO 0;\nVACUUM;";
    assert_eq!(accepted(both).unwrap().statements().len(), 3);
    assert_eq!(accepted(both).unwrap().index_steps(), None);
    assert_eq!(accepted("SET lock_timeout = 1").unwrap().index_steps(), None);
    for sql in ["VACUUM; SET lock_timeout = 1", "SET LOCAL lock_timeout = 1; VACUUM"] {
        let message = accepted(sql).unwrap_err().to_string();
        assert!(message.contains("holds exactly one statement"), "{sql}: {message}");
    }
    let message = accepted("SET search_path = x; VACUUM").unwrap_err().to_string();
    assert!(message.contains("`SET search_path` is not allowed"), "{message}");
}

#[test]
fn several_statements_that_tell_how_far_they_came_may_share_a_file() {
    let script = script(
        "-- no-transaction\nSET lock_timeout = 0;\nCREATE INDEX CONCURRENTLY a ON t (x);\n\
         CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS b ON t (y);\nDROP INDEX CONCURRENTLY c",
    )
    .unwrap();
    let steps = script.index_steps().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(str::to_owned);
    assert_eq!(steps, [IndexStep::Build(a), IndexStep::Build(b), IndexStep::Drop(c)]);
    let only = script.text().only(2);
    assert_eq!(only.sql().trim(), "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS b ON t (y)");
    assert_eq!((only.sql().len(), only.statements()[0].line), (script.sql().len(), 4));
    for other in ["VACUUM", "CREATE INDEX CONCURRENTLY ON t (x)", "REINDEX INDEX CONCURRENTLY a"] {
        let sql = format!("-- no-transaction\nCREATE INDEX CONCURRENTLY a ON t (x);\n{other}");
        check(
            &sql,
            "1_a.sql:3: a `-- no-transaction` file holds exactly one statement, or only named indexes that are \
                     built or dropped concurrently, and this one holds 2",
        );
    }
}

#[test]
fn a_transaction_around_the_whole_file_is_left_out() {
    for (begin, commit) in [
        ("BEGIN", "COMMIT"),
        ("begin work", "commit transaction"),
        ("/* ä */ START TRANSACTION", "END"),
        ("-- notes\nBEGIN TRANSACTION", "COMMIT WORK -- done"),
    ] {
        let sql = format!("{begin};\r\nSELECT 'ä';\nSELECT 2;\n{commit}\n;\n");
        let script = script(&sql).unwrap();
        assert_eq!(script.sql(), sql, "the checksum is that of the file");
        let text = script.text();
        assert_eq!(text.sql().len(), sql.len());
        let kept: Vec<_> = text.statements().iter().map(|it| &text.sql()[it.range.clone()]).collect();
        assert_eq!(kept, ["SELECT 'ä'", "SELECT 2"], "{sql}");
        let sent: Vec<_> = Statements::of(text.sql()).map(|it| it.unwrap().span).collect();
        assert_eq!(sent, text.statements(), "{sql}");
    }
    assert!(script("BEGIN; COMMIT;").unwrap().statements().is_empty());
}

#[test]
fn any_other_transaction_control_is_refused() {
    for (sql, line, command) in [
        ("BEGIN;\nSELECT 1;", 1, "BEGIN"),
        ("SELECT 1;\nCOMMIT;", 2, "COMMIT"),
        ("SELECT 1;\nBEGIN;\nSELECT 2;\nCOMMIT;", 2, "BEGIN"),
        ("BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2", 1, "BEGIN"),
        ("BEGIN;\nCOMMIT;\nBEGIN;\nCOMMIT;", 1, "BEGIN"),
        ("BEGIN;\nSELECT 1;\nROLLBACK;", 1, "BEGIN"),
        ("BEGIN;\nSELECT 1;\nCOMMIT AND CHAIN;", 1, "BEGIN"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT 1;\nCOMMIT;", 1, "BEGIN"),
        ("BEGIN;\nBEGIN;\nCOMMIT;", 2, "BEGIN"),
        ("-- no-transaction\nBEGIN;\nVACUUM;\nCOMMIT;", 2, "BEGIN"),
    ] {
        check(sql, &format!("1_a.sql:{line}: `{command}` is not allowed in a migration"));
    }
}

#[test]
fn the_mark_counts_only_as_the_beginning_of_the_file() {
    check("\n-- no-transaction\nVACUUM", "1_a.sql:3: `VACUUM` cannot run in a transaction");
    check("--no-transaction\nVACUUM", "1_a.sql:2: `VACUUM` cannot run in a transaction");
}

#[test]
fn a_file_of_comments_is_accepted() {
    assert!(script("-- Add migration script here\n").unwrap().statements().is_empty());
    assert!(script("").unwrap().statements().is_empty());
}

proptest! {
    #[test]
    fn any_text_is_judged(
        any: String,
        words in prop::collection::vec("(SET|COPY|a|\\(|FROM|;|'|REINDEX|[a-z\"$])", 0..20),
    ) {
        let _ = script(&any);
        let _ = script(&words.join(" "));
    }
}
