#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::migration::scripts::{script, script_of};

/// A message as the runner builds it: own SQL around one file.
fn message(sql: &str) -> Message {
    let mut message = Message::new();
    message.push_own("BEGIN");
    message.push_each(&["SET LOCAL a = 'é'".to_owned(), "INSERT INTO ledger VALUES (1)".to_owned()]);
    message.push_file(script(sql).unwrap().text());
    message.push_own("COMMIT");
    message
}

fn in_file(line: usize, column: Option<usize>, statement: &str) -> Origin {
    Origin::File { file: "1_a.sql".to_owned(), line, column, statement: statement.to_owned() }
}

/// The position of `needle` as the server counts: in characters, from 1.
fn position(message: &Message, needle: &str) -> usize {
    message.text()[..message.text().find(needle).unwrap()].chars().count() + 1
}

#[track_caller]
fn check_position(sql: &str, needle: &str, expect: &Origin) {
    let message = message(sql);
    assert_eq!(message.locate_position(position(&message, needle)).as_ref(), Some(expect), "{sql}");
}

#[test]
fn every_part_ends_before_the_next_begins() {
    let mut message = Message::new();
    message.push_own("BEGIN");
    message.push_file(script("SELECT 1 -- no semicolon, no line break").unwrap().text());
    message.push_file(script("SELECT 2;").unwrap().text());
    message.push_own("COMMIT");
    assert_eq!(
        message.text(),
        "BEGIN\n;\nSELECT 1 -- no semicolon, no line break\n;\nSELECT 2;\n;\nCOMMIT\n;\n"
    );
    let statements: Vec<_> =
        Statements::of(message.text()).map(|it| &message.text()[it.unwrap().span.range]).collect();
    assert_eq!(statements, ["BEGIN", "SELECT 1", "SELECT 2", "COMMIT"]);
}

#[test]
fn a_position_is_found_in_its_file() {
    let select = in_file(1, Some(8), "SELECT wrong");
    check_position("SELECT wrong", "wrong", &select);
    check_position("SELECT wrong;\n", "wrong", &select);
    check_position("-- é名\nSELECT 'é', wrong", "wrong", &in_file(2, Some(13), "SELECT 'é', wrong"));
    check_position("SELECT 1;\r\nSELECT\r\n  wrong;\r\n", "wrong", &in_file(3, Some(3), "SELECT wrong"));
    check_position("SELECT 1;\r\nSELECT\r\n  wrong;\r\n", "SELECT 1", &in_file(1, Some(1), "SELECT 1"));
    check_position("/* first */ SELECT 1", "first", &in_file(1, Some(4), "SELECT 1"));
    check_position("-- nothing else", "else", &in_file(1, Some(12), ""));
}

#[test]
fn a_position_in_our_own_sql_is_ours() {
    check_position("SELECT 1", "BEGIN", &Origin::Own);
    check_position("SELECT 1", "ledger", &Origin::Own);
    check_position("SELECT 1", "COMMIT", &Origin::Own);
}

#[test]
fn a_position_behind_a_file_is_its_end() {
    let message = message("SELECT (\n");
    let semicolon = position(&message, "\n;\nCOMMIT") + 1;
    assert_eq!(message.locate_position(semicolon), Some(in_file(2, Some(1), "SELECT (")));
}

#[test]
fn a_position_outside_of_the_message_is_nowhere() {
    let message = message("SELECT 1");
    let length = message.text().chars().count();
    assert_eq!(message.locate_position(0), None);
    assert_eq!(message.locate_position(length + 1), Some(Origin::Own), "the end of the input");
    assert_eq!(message.locate_position(length + 2), None);
    assert_eq!(Message::new().locate_position(1), None);
}

#[test]
fn a_statement_is_found_by_how_many_completed() {
    let message = message("-- é\nSELECT 1;\n;;\n\nSELECT\n\t2 -- end");
    let places: Vec<_> = (0..7).map(|completed| message.locate_statement(completed)).collect();
    assert_eq!(
        places,
        [
            Some(Origin::Own),
            Some(Origin::Own),
            Some(Origin::Own),
            Some(in_file(2, None, "SELECT 1")),
            Some(in_file(5, None, "SELECT 2")),
            Some(Origin::Own),
            None,
        ]
    );
}

#[test]
fn a_file_without_statements_fails_nowhere() {
    let message = message("-- nothing");
    assert_eq!(message.locate_statement(3), Some(Origin::Own));
    assert_eq!(message.locate_statement(4), None);
}

#[test]
fn two_files_are_told_apart() {
    let mut message = Message::new();
    for version in [1, 2] {
        message.push_own("INSERT INTO ledger VALUES (1)");
        let script = script_of(version, sqlx::migrate::MigrationType::Simple, "SELECT 1").unwrap();
        message.push_file(script.text());
    }
    let file = |place: Option<Origin>| place.unwrap().to_string();
    assert_eq!(file(message.locate_statement(1)), "1_a.sql:1");
    assert_eq!(file(message.locate_statement(3)), "2_a.sql:1");
    let second = message.text().rfind("SELECT").unwrap() + 1;
    assert_eq!(file(message.locate_position(second)), "2_a.sql:1:1");
    assert_eq!(file(message.locate_position(1)), "a statement of tenantry's own");
}

#[test]
fn a_long_statement_is_shortened_between_characters() {
    let place = message(&format!("SELECT '{}'", "é".repeat(80))).locate_statement(3);
    assert_eq!(place, Some(in_file(1, None, &format!("SELECT '{}…", "é".repeat(52)))));
    let sixty = format!("SELECT '{}'", "é".repeat(51));
    assert_eq!(message(&sixty).locate_statement(3), Some(in_file(1, None, &sixty)));
}

proptest! {
    #[test]
    fn every_position_in_a_file_is_found_there(before in "[ é;\n]{0,9}", file in "[ aé;\r\n]{0,30}", at in 0usize..30) {
        let mut message = Message::new();
        message.push_file(script(&before).unwrap().text());
        message.push_file(script(&file).unwrap().text());
        let own = before.chars().count() + "\n;\n".len();
        prop_assume!(at < file.chars().count());
        let offset = lexer::byte_offset(&file, at + 1).unwrap();
        let (expect_line, expect_column) = lexer::line_and_column(&file, offset);
        match message.locate_position(own + at + 1) {
            Some(Origin::File { line, column, .. }) => {
                prop_assert_eq!((line, column), (expect_line, Some(expect_column)));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn as_many_statements_fail_as_there_are(files in prop::collection::vec("[a;\n -]{0,20}", 0..5)) {
        let mut message = Message::new();
        for sql in &files {
            message.push_file(script(sql).unwrap().text());
        }
        let statements = Statements::of(message.text()).count();
        prop_assert!((0..statements).all(|completed| message.locate_statement(completed).is_some()));
        prop_assert_eq!(message.locate_statement(statements), None);
    }
}
