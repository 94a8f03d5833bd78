//! Tells whether a statement may change rows or objects, judged by its text.
//!
//! Doubt counts as a write: then a change is not taken for a leak.

use std::collections::BTreeSet;

use crate::sql::lexer::{Lexer, Token, TokenKind};

/// The changes that a text may make.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Writing {
    Certain,
    /// Nothing, unless one of these functions does.
    ByCalls(BTreeSet<String>),
}

/// The words that a statement begins with which leaves all rows and objects as they are.
const READS: &str = "select with values table show begin start commit end rollback abort savepoint release set reset \
                     listen unlisten notify discard fetch close deallocate lock";

/// The words that make one of these write, wherever they stand.
const WRITES: &str = "insert update delete merge into";

/// Functions of the server's that change what outlives their statement.
const WRITING_FUNCTIONS: [&str; 3] = ["nextval", "setval", "lo_"];

/// Judges one text of one or more statements.
pub(super) fn judge(sql: &str) -> Writing {
    let mut called = BTreeSet::new();
    let mut previous: Option<Token<'_>> = None;
    for token in Lexer::new(sql) {
        let Ok(token) = token else { return Writing::Certain };
        if token.is_comment() {
            continue;
        }
        let begins = previous.is_none_or(|previous| previous.kind == TokenKind::Semicolon);
        let is_open = token.is_punctuation("(");
        if begins && is_open {
            // Of a `(SELECT …) UNION …`, whose first word is yet to come.
            continue;
        }
        if begins && token.kind != TokenKind::Semicolon && !token.is_one_of(READS) {
            return Writing::Certain;
        }
        if writes(token, previous) {
            return Writing::Certain;
        }
        if is_open && let Some(name) = previous.and_then(|previous| previous.name()) {
            let name = name.to_lowercase();
            if WRITING_FUNCTIONS.iter().any(|writing| name.starts_with(writing)) {
                return Writing::Certain;
            }
            called.insert(name);
        }
        previous = Some(token);
    }
    Writing::ByCalls(called)
}

fn writes(token: Token<'_>, previous: Option<Token<'_>>) -> bool {
    // `FOR UPDATE` and `FOR NO KEY UPDATE` lock rows.
    let locks = token.is_keyword("update") && previous.is_some_and(|previous| previous.is_one_of("for key"));
    token.is_one_of(WRITES) && !locks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(sql: &str, calls: &[&str]) {
        let calls = calls.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(judge(sql), Writing::ByCalls(calls), "{sql}");
    }

    #[track_caller]
    fn writes(sql: &str) {
        assert_eq!(judge(sql), Writing::Certain, "{sql}");
    }

    #[test]
    fn what_only_reads_is_told_by_its_text() {
        reads("SELECT title FROM note", &[]);
        reads("SELECT count(*) FROM note WHERE lower(title) = $1", &["count", "lower"]);
        // A word before a bracket may be a function's: no function that writes goes by a keyword.
        reads("(SELECT 1) UNION ALL (SELECT 2)", &["all"]);
        reads("/* a */ SELECT * FROM note FOR UPDATE; SELECT 1 FOR NO KEY UPDATE;", &[]);
        reads("BEGIN; SET LOCAL a.b TO 'insert'; COMMIT", &[]);
        reads("SELECT \"insert\" FROM note -- update", &[]);
        reads("SELECT app.Add_Note('x')", &["add_note"]);
        reads("", &[]);
    }

    #[test]
    fn what_may_write_is_told_by_its_text() {
        writes("INSERT INTO note VALUES (1)");
        writes("WITH gone AS (DELETE FROM note RETURNING id) SELECT * FROM gone");
        writes("SELECT * INTO copy FROM note");
        writes("SELECT nextval('note_id_seq')");
        writes("SELECT 1; DROP TABLE note");
        writes("EXPLAIN ANALYZE UPDATE note SET id = 1");
        writes("COPY note FROM STDIN");
        writes("CALL tidy()");
        writes("SELECT 'not closed");
    }
}
