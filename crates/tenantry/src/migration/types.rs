//! Which statements leave a schema the types that it owns.

use crate::sql::lexer::{Lexer, Token};

/// How statements begin that neither make nor drop a type: what is done to tables and indexes. The row type
/// of a table is the table's.
const HARMLESS: [&[&str]; 9] = [
    &["alter", "table"],
    &["alter", "index"],
    &["create", "table"],
    &["create", "index"],
    &["create", "unique", "index"],
    &["drop", "table"],
    &["drop", "index"],
    &["comment", "on"],
    &["delete", "from"],
];

/// Whether a statement may make or drop an enum, a domain or a composite type; `true` in case of doubt.
pub(super) fn may_change(statement: &str) -> bool {
    let tokens = Lexer::new(statement).flatten().filter(|token| !token.is_comment()).take(3);
    let tokens: Vec<Token<'_>> = tokens.collect();
    let begins_with = |words: &&[&str]| {
        words.len() <= tokens.len() && words.iter().zip(&tokens).all(|(word, token)| token.is_keyword(word))
    };
    !HARMLESS.iter().any(begins_with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_to_tables_changes_no_types() {
        for statement in [
            "ALTER TABLE note ADD done bool",
            "-- a comment\nCREATE TABLE note (id int)",
            "create /* it */ unique index on note (id)",
            "DROP TABLE note",
        ] {
            assert!(!may_change(statement), "{statement}");
        }
    }

    #[test]
    fn anything_else_may() {
        for statement in [
            "CREATE TYPE mood AS ENUM ()",
            "DROP DOMAIN email",
            "DROP OWNED BY somebody",
            "ALTER TYPE mood RENAME TO state",
            "CREATE TEMP TABLE note ()",
            "DO $$ BEGIN END $$",
            "SELECT make_types()",
            "\"alter\" table",
            "",
        ] {
            assert!(may_change(statement), "{statement}");
        }
    }
}
