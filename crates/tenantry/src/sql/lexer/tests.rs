#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::TokenKind::{
    BitString, BlockComment, DollarString, EscapeString, LineComment, MetaCommand, Number, Operator, Other,
    Parameter, Punctuation, QuotedName, Semicolon, String as Text, UnicodeName, UnicodeString, Word,
};
use super::*;

#[track_caller]
fn check(sql: &str, expect: &[(TokenKind, &str)]) {
    let tokens: Vec<_> = Lexer::new(sql).map(|token| token.map(|token| (token.kind, token.text))).collect();
    let tokens: Result<Vec<_>, _> = tokens.into_iter().collect();
    assert_eq!(tokens.as_deref(), Ok(expect), "{sql}");
}

#[track_caller]
fn check_unterminated(sql: &str, construct: &'static str, offset: usize) {
    let error = Lexer::new(sql).find_map(Result::err);
    assert_eq!(error, Some(Unterminated { construct, offset }), "{sql}");
    assert!(Lexer::new(sql).last().unwrap().is_err(), "nothing follows the error: {sql}");
}

#[test]
fn words_numbers_and_operators_end_where_the_server_ends_them() {
    check("", &[]);
    check(" \t\r\n\x0b\x0c", &[]);
    check("Select x1,_y", &[(Word, "Select"), (Word, "x1"), (Punctuation, ","), (Word, "_y")]);
    check("größe\u{a0}名", &[(Word, "größe\u{a0}名")]);
    check(
        "1 1.5 .5 1. 1e10 1.5E-3 0x1F 1_000",
        &["1", "1.5", ".5", "1.", "1e10", "1.5E-3", "0x1F", "1_000"].map(|text| (Number, text)),
    );
    check("1..10", &[(Number, "1"), (Punctuation, "."), (Number, ".10")]);
    check("1e'x'", &[(Number, "1"), (EscapeString, "e'x'")]);
    check("1from", &[(Number, "1"), (Word, "from")]);
    check("$1::int", &[(Parameter, "$1"), (Punctuation, ":"), (Punctuation, ":"), (Word, "int")]);
    check("a@>b", &[(Word, "a"), (Operator, "@>"), (Word, "b")]);
    check("t[1];", &[(Word, "t"), (Punctuation, "["), (Number, "1"), (Punctuation, "]"), (Semicolon, ";")]);
    check("{\0", &[(Other, "{"), (Other, "\0")]);
}

#[test]
fn comments_start_inside_a_run_of_operators() {
    check("a+--b\nc", &[(Word, "a"), (Operator, "+"), (LineComment, "--b"), (Word, "c")]);
    check("a*/**/b", &[(Word, "a"), (Operator, "*"), (BlockComment, "/**/"), (Word, "b")]);
    check("a@-/*;*/1", &[(Word, "a"), (Operator, "@-"), (BlockComment, "/*;*/"), (Number, "1")]);
    check("--a\rb", &[(LineComment, "--a"), (Word, "b")]);
}

#[test]
fn block_comments_nest() {
    check("/* /* a */ ; */ b", &[(BlockComment, "/* /* a */ ; */"), (Word, "b")]);
    check("/* 'a */b", &[(BlockComment, "/* 'a */"), (Word, "b")]);
    check("/***/ x", &[(BlockComment, "/***/"), (Word, "x")]);
    check("/* -- */x", &[(BlockComment, "/* -- */"), (Word, "x")]);
}

#[test]
fn strings_know_their_escapes() {
    check(r"'a''b\' c", &[(Text, r"'a''b\'"), (Word, "c")]);
    check(r"E'a\'b' c", &[(EscapeString, r"E'a\'b'"), (Word, "c")]);
    check(r"e'\\' c", &[(EscapeString, r"e'\\'"), (Word, "c")]);
    check("b'1' X'f' n'a'", &[(BitString, "b'1'"), (BitString, "X'f'"), (Text, "n'a'")]);
    check(r"U&'\0061\' x", &[(UnicodeString, r"U&'\0061\'"), (Word, "x")]);
    check("name'a'", &[(Word, "name"), (Text, "'a'")]);
    check("''", &[(Text, "''")]);
}

#[test]
fn a_string_goes_on_after_a_line_break() {
    check("'a'\n'b'", &[(Text, "'a'\n'b'")]);
    check("'a' -- c\n\t'b'", &[(Text, "'a' -- c\n\t'b'")]);
    check("E'a'\n'b\\'c'", &[(EscapeString, "E'a'\n'b\\'c'")]);
    check("'a' 'b'", &[(Text, "'a'"), (Text, "'b'")]);
    check("'a' /*\n*/ 'b'", &[(Text, "'a'"), (BlockComment, "/*\n*/"), (Text, "'b'")]);
    check("'a'\n, 'b'", &[(Text, "'a'"), (Punctuation, ","), (Text, "'b'")]);
}

#[test]
fn quoted_names_double_their_quotes() {
    check(r#""a""b;" c"#, &[(QuotedName, r#""a""b;""#), (Word, "c")]);
    check(r#"U&"\0061" u&1"#, &[(UnicodeName, r#"U&"\0061""#), (Word, "u"), (Operator, "&"), (Number, "1")]);
}

#[test]
fn dollar_quotes_are_closed_by_their_own_tag() {
    check("$$a;'$$ b", &[(DollarString, "$$a;'$$"), (Word, "b")]);
    check("$a$ $b$ $$ $a$ b", &[(DollarString, "$a$ $b$ $$ $a$"), (Word, "b")]);
    check("$é1$;$é1$", &[(DollarString, "$é1$;$é1$")]);
    check("$$a$b$$", &[(DollarString, "$$a$b$$")]);
    check("a$b$c; $b", &[(Word, "a$b$c"), (Semicolon, ";"), (Other, "$"), (Word, "b")]);
    check("$ a", &[(Other, "$"), (Word, "a")]);
    check("$a-", &[(Other, "$"), (Word, "a"), (Operator, "-")]);
    check("1$$a$$", &[(Number, "1"), (DollarString, "$$a$$")]);
}

#[test]
fn a_backslash_outside_quotes_takes_the_rest_of_its_line() {
    check("\\echo don't\nSELECT", &[(MetaCommand, "\\echo don't"), (Word, "SELECT")]);
    check("SELECT 1 \\gset", &[(Word, "SELECT"), (Number, "1"), (MetaCommand, "\\gset")]);
}

#[test]
fn what_never_ends_is_an_error_at_its_beginning() {
    check_unterminated("a 'b''", "string", 2);
    check_unterminated("'a\nb", "string", 0);
    check_unterminated(r"E'a\'", "string", 0);
    check_unterminated(r"é E'a\", "string", 3);
    check_unterminated("'a'\n'b", "string", 0);
    check_unterminated("x U&'", "string", 2);
    check_unterminated("\"a\"\"", "quoted identifier", 0);
    check_unterminated("/* /* */", "comment", 0);
    check_unterminated("/*/", "comment", 0);
    check_unterminated("$$ $", "dollar-quoted string", 0);
    check_unterminated("x = $a$ $A$", "dollar-quoted string", 4);
}

#[test]
fn a_literal_is_what_its_quotes_hold() {
    let literal = |sql| Lexer::new(sql).next().unwrap().unwrap().literal();
    assert_eq!(literal("'a'"), Some("a"));
    assert_eq!(literal("N'a'"), Some("a"));
    assert_eq!(literal("e'a'"), Some("a"));
    assert_eq!(literal("$$a'b$$"), Some("a'b"));
    assert_eq!(literal("$x$a$x$"), Some("a"));
    assert_eq!(literal("'a''b'"), None);
    assert_eq!(literal(r"E'\x61'"), None);
    assert_eq!(literal("a"), None);
}

#[track_caller]
fn check_statements(sql: &str, expect: &[(usize, &str)]) {
    let statements: Result<Vec<_>, _> = Statements::of(sql).collect();
    let statements = statements.unwrap();
    let found: Vec<_> =
        statements.iter().map(|found| (found.span.line, &sql[found.span.range.clone()])).collect();
    assert_eq!(found, expect, "{sql}");
}

#[test]
fn statements_end_at_semicolons_and_carry_their_line() {
    check_statements("", &[]);
    check_statements(" ; ;; -- a;\n", &[]);
    check_statements("a", &[(1, "a")]);
    check_statements("-- x\n\na\nb ; /* c */\r\n d;", &[(3, "a\nb"), (5, "d")]);
    check_statements("a -- b;\n;c;", &[(1, "a"), (2, "c")]);
    check_statements("a ';' \";\" $$;$$ /*;*/; b", &[(1, "a ';' \";\" $$;$$"), (1, "b")]);
}

#[test]
fn semicolons_in_parentheses_end_nothing() {
    check_statements(
        "CREATE RULE r AS ON x DO (a; b); c",
        &[(1, "CREATE RULE r AS ON x DO (a; b)"), (1, "c")],
    );
    check_statements("a ) ; b", &[(1, "a )"), (1, "b")]);
}

#[test]
fn a_body_of_begin_atomic_belongs_to_its_function() {
    let function = "CREATE FUNCTION f() RETURNS int LANGUAGE sql\nBEGIN ATOMIC\n INSERT INTO t VALUES (1);\n \
                    SELECT CASE WHEN a THEN CASE b WHEN 1 THEN 2 END ELSE (CASE WHEN c THEN 1 END) END;\nEND";
    check_statements(&format!("{function};\nSELECT 1;"), &[(1, function), (6, "SELECT 1")]);

    let names =
        "create or replace procedure p() begin /* x */ atomic select 1 as end, t.case, t.end from t; end";
    check_statements(&format!("{names}; b"), &[(1, names), (1, "b")]);

    check_statements("BEGIN; SELECT 1; END; c", &[(1, "BEGIN"), (1, "SELECT 1"), (1, "END"), (1, "c")]);
    check_statements(
        "CREATE TABLE begin (atomic int); b",
        &[(1, "CREATE TABLE begin (atomic int)"), (1, "b")],
    );
    check_statements(
        "CREATE VIEW v AS SELECT begin atomic FROM slot; COMMIT",
        &[(1, "CREATE VIEW v AS SELECT begin atomic FROM slot"), (1, "COMMIT")],
    );
    check_statements(
        "CREATE TABLE t AS SELECT begin atomic FROM function; b",
        &[(1, "CREATE TABLE t AS SELECT begin atomic FROM function"), (1, "b")],
    );
    check_statements(
        "CREATE FUNCTION f(begin atomic); b",
        &[(1, "CREATE FUNCTION f(begin atomic)"), (1, "b")],
    );
    check_statements(
        "CREATE VIEW v AS SELECT CASE WHEN a THEN b END; c",
        &[(1, "CREATE VIEW v AS SELECT CASE WHEN a THEN b END"), (1, "c")],
    );
}

#[test]
fn an_error_comes_after_the_statements_before_it() {
    let mut statements = Statements::of("a;\nb 'c");
    assert_eq!(statements.next().unwrap().unwrap().span, StatementSpan { range: 0..1, line: 1 });
    assert_eq!(statements.next(), Some(Err(Unterminated { construct: "string", offset: 5 })));
    assert_eq!(statements.next(), None);
}

#[test]
fn lines_and_columns_count_from_one_and_in_characters() {
    let text = "é\r\nab\n";
    assert_eq!(line_and_column(text, 0), (1, 1));
    assert_eq!(line_and_column(text, 1), (1, 1), "inside a character");
    assert_eq!(line_and_column(text, 2), (1, 2));
    assert_eq!(line_and_column(text, 5), (2, 2));
    assert_eq!(line_and_column(text, 7), (3, 1));
    assert_eq!(line_and_column(text, 99), (3, 1));
}

#[test]
fn lines_end_as_an_editor_has_it() {
    for (text, line) in
        [("a\rb", 2), ("a\r\nb", 2), ("a\n\rb", 3), ("a\r\rb", 3), ("a\r\n\r\nb", 3), ("\rb", 2)]
    {
        let end = text.len() - 1;
        assert_eq!(line_and_column(text, end), (line, 1), "{text:?}");
    }
    assert_eq!(line_and_column("a\r\nb", 2), (1, 3), "between the two halves of a line break");
    let lines: Vec<_> = Statements::of("-- a\rSELECT 1;\r\rSELECT '\r';\r\nSELECT 2")
        .map(|found| found.unwrap().span.line)
        .collect();
    assert_eq!(lines, [2, 4, 6]);
}

#[test]
fn a_server_position_counts_characters() {
    let offsets: Vec<_> = (0..6).map(|position| byte_offset("aé€b", position)).collect();
    assert_eq!(offsets, [None, Some(0), Some(1), Some(3), Some(6), Some(7)]);
}

/// Texts made of the pieces that change a lexer's state.
fn sql_like() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "'", "''", "\"", "\"\"", "$$", "$a$", "$", "$1", "--", "/*", "*/", "\\", "\\'", "E'", "N'", "U&'",
        "U&\"", "x'", "\n", "\r", " ", "a", "é", "名", "1", ".", "1e", "0x", "_", ";", "(", ")", "+", "@",
        "&", "\0", " CREATE ", " BEGIN ", " ATOMIC ", " CASE ", " END ", " AS ",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

fn assert_tokens_tile(sql: &str) {
    let mut end = 0;
    for token in Lexer::new(sql) {
        let Ok(token) = token else { return };
        assert!(sql[end..token.start].bytes().all(is_space), "{sql:?}");
        assert!(!token.text.is_empty() && token.text == &sql[token.start..token.end()], "{sql:?}");
        end = token.end();
    }
    assert!(sql[end..].bytes().all(is_space), "{sql:?}");
}

fn assert_statements_are_whole(sql: &str) {
    let mut end = 0;
    for statement in Statements::of(sql) {
        let Ok(StatementTokens { span: statement, tokens }) = statement else { return };
        let again: Vec<_> =
            Lexer::new(&sql[statement.range.clone()]).flatten().filter(|it| !it.is_comment()).collect();
        let kept: Vec<_> = tokens.iter().map(|token| (token.kind, token.text)).collect();
        assert_eq!(kept, again.iter().map(|token| (token.kind, token.text)).collect::<Vec<_>>(), "{sql:?}");
        assert!(tokens.iter().all(|token| token.span().in_text(sql) == *token), "{sql:?}");
        assert!(statement.range.start >= end && !statement.range.is_empty(), "{sql:?}");
        assert_eq!(statement.line, line_and_column(sql, statement.range.start).0, "{sql:?}");
        let text = &sql[statement.range.clone()];
        let again: Vec<_> = Statements::of(text).map(|found| found.unwrap().span.range).collect();
        assert_eq!(again, vec![0..text.len()], "{text:?} stands for itself");
        end = statement.range.end;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn tokens_and_gaps_tile_any_text(any: String, sql in sql_like()) {
        assert_tokens_tile(&any);
        assert_tokens_tile(&sql);
    }

    #[test]
    fn statements_stand_for_themselves(any: String, sql in sql_like()) {
        assert_statements_are_whole(&any);
        assert_statements_are_whole(&sql);
    }

    #[test]
    fn positions_of_any_text_are_in_it(text: String, at in 0usize..300) {
        let offset = byte_offset(&text, at);
        prop_assert_eq!(offset.is_some(), at >= 1 && at <= text.chars().count() + 1);
        line_and_column(&text, at);
        prop_assert!(offset.is_none_or(|offset| text.is_char_boundary(offset)));
    }
}

#[test]
fn what_follows_the_data_of_a_copy_is_read() {
    for (sql, expect) in [
        ("COPY a FROM stdin;\nit's\n\\.\nCOMMIT;", Some((4, "COMMIT"))),
        ("COPY a FROM stdin;\r\n1\r\n\\.\r\n\r\nSELECT 1", Some((5, "SELECT 1"))),
        ("COPY a FROM stdin;\n\\.\n", None),
        ("COPY a FROM stdin;\n\\.x\nCOMMIT;\n", None),
        ("COPY a FROM stdin", None),
    ] {
        let mut statements = Statements::of(sql);
        assert_eq!(statements.next().unwrap().unwrap().span.line, 1);
        statements.skip_copy_data();
        let next = statements.next().map(|statement| statement.unwrap().span);
        assert_eq!(next.map(|span| (span.line, &sql[span.range])), expect, "{sql:?}");
    }
}
