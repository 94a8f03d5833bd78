//! Tells statements that leave a schema the types it owns from those that may not.

use crate::sql::lexer::{Token, begins_with};

/// Beginnings of statements that neither make nor drop a type: those about tables and indexes. The row type
/// of a table is the table's.
const HARMLESS: [&str; 9] = [
    "alter table",
    "alter index",
    "create table",
    "create index",
    "create unique index",
    "drop table",
    "drop index",
    "comment on",
    "delete from",
];

/// Returns true if a statement may make or drop an enum, a domain or a composite type; also in case of doubt.
pub(super) fn may_change(tokens: &[Token<'_>]) -> bool {
    !HARMLESS.iter().any(|words| begins_with(tokens, words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::lexer::Lexer;

    fn may_change_of(statement: &str) -> bool {
        may_change(&Lexer::new(statement).flatten().filter(|token| !token.is_comment()).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_done_to_tables_changes_no_types() {
        for statement in [
            "ALTER TABLE note ADD done bool",
            "-- a comment\nCREATE TABLE note (id int)",
            "create /* it */ unique index on note (id)",
            "DROP TABLE note",
        ] {
            assert!(!may_change_of(statement), "{statement}");
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
            assert!(may_change_of(statement), "{statement}");
        }
    }
}
