//! The output of `pg_dump`, which is a script for psql: recognises it, and takes psql's part out of it.

use crate::sql::lexer::{Lexer, TokenKind};

/// The last line that every `pg_dump` writes, when it comes to its end.
const COMPLETE: &str = "-- PostgreSQL database dump complete";

/// The beginnings of lines that every dump has, of whichever version and however it was asked for.
const MARKS: [&str; 5] = [
    "-- PostgreSQL database dump",
    "-- PostgreSQL database cluster dump",
    "\\restrict ",
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "-- Dumped by pg_dump version ",
];

/// The line, counted from 1, that shows that a text is a dump.
pub(super) fn shown_on(text: &str) -> Option<usize> {
    let is_mark = |line: &str| MARKS.iter().any(|mark| line.starts_with(mark));
    text.lines().position(is_mark).map(|index| index + 1)
}

/// Returns true for a dump that was not cut off.
pub(crate) fn is_complete(dump: &str) -> bool {
    dump.lines().any(|line| line == COMPLETE)
}

/// The SQL of a dump. Newer versions of `pg_dump` put `\restrict` around it.
pub(crate) fn without_meta_commands(dump: &str) -> String {
    let mut sql = String::with_capacity(dump.len());
    let mut copied = 0;
    for token in Lexer::new(dump).flatten().filter(|token| token.kind == TokenKind::MetaCommand) {
        sql.push_str(&dump[copied..token.start]);
        copied = token.end();
    }
    sql.push_str(&dump[copied..]);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_known_by_what_no_option_leaves_out() {
        for (text, line) in [
            ("--\n-- PostgreSQL database dump\n--\n", Some(2)),
            ("\\restrict a1b2\r\n", Some(1)),
            ("SET lock_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n", Some(2)),
            ("-- made like a PostgreSQL database dump\nCREATE TABLE note ();\n\\set a\n", None),
            ("SELECT set_config('search_path', 'a', false)", None),
        ] {
            assert_eq!(shown_on(text), line, "{text}");
        }
    }
}
