//! The SQL of a run as people read it: the files in their transactions, without the rows of the ledger.

use std::fmt::Write as _;

use super::limits::Limits;
use super::plan::{Change, Direction, Step, steps};
use super::site::Site;
use crate::sql::lexer::{Lexer, Token, TokenKind};

/// The text that changes one schema.
pub(super) fn sql_of(site: Site<'_>, limits: Limits, changes: &[Change<'_>]) -> String {
    let transactions = steps(changes.to_vec()).into_iter().map(|step| match step {
        Step::Batch(changes) => in_transaction(site, limits, &changes),
        Step::Alone(change) if change.script().is_code() => in_transaction(site, limits, &[change]),
        Step::Alone(change) => without_transaction(site, change),
    });
    transactions.collect::<Vec<_>>().join("\n")
}

fn in_transaction(site: Site<'_>, limits: Limits, changes: &[Change<'_>]) -> String {
    let mut sql = "BEGIN;\n".to_owned();
    for (index, change) in changes.iter().enumerate() {
        // What a file sets is for itself alone.
        let reset = (index > 0).then(|| "RESET ALL".to_owned());
        let path = format!("SET LOCAL search_path TO {}", site.path());
        for setting in reset.into_iter().chain(limits.render()).chain([path]) {
            let _ = writeln!(sql, "{setting};");
        }
        sql.push_str(&file(*change));
    }
    sql + "COMMIT;\n"
}

fn without_transaction(site: Site<'_>, change: Change<'_>) -> String {
    format!("SET search_path TO {};\n{}RESET ALL;\n", site.path(), file(change))
}

/// The text of a file as it is sent, under a line that names it.
fn file(change: Change<'_>) -> String {
    let (version, script) = (change.migration().version(), change.script());
    let verb = match change.direction() {
        Direction::Up => "apply",
        Direction::Down => "undo",
    };
    let text = complete(script.text().sql());
    let head = format!("-- {verb} {version}: {}", script.file().replace(['\n', '\r'], " "));
    if script.is_code() {
        return format!("{head}\n-- a function of the application, which this SQL does not show\n");
    }
    format!("{head}\n{text}\n")
}

/// The text without what a `BEGIN` and a `COMMIT` around it have left, and with the semicolon that its last statement
/// does not need in a file.
fn complete(sql: &str) -> String {
    let is_nothing = |it: char| it.is_whitespace() || it == ';';
    let text = sql.trim_start_matches(is_nothing).trim_end();
    let tokens: Vec<_> = Lexer::new(text).flatten().collect();
    let ends_in_comment = tokens.last().is_some_and(Token::is_comment);
    let last = tokens.iter().rev().find(|token| !token.is_comment()).map(|token| token.kind);
    match (ends_in_comment, last) {
        (_, None) | (true, Some(TokenKind::Semicolon)) => text.to_owned(),
        (true, Some(_)) => format!("{text}\n;"),
        (false, Some(_)) => format!("{};", text.trim_end_matches(is_nothing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ends_where_its_last_statement_does() {
        for (sql, expect) in [
            ("SELECT 1", "SELECT 1;"),
            ("SELECT 1;\n\n", "SELECT 1;"),
            ("     ;\nSELECT 1;\n      ;\n", "SELECT 1;"),
            ("SELECT 1 -- one;", "SELECT 1 -- one;\n;"),
            ("SELECT 1; -- one;", "SELECT 1; -- one;"),
            ("SELECT ';' /* ; */", "SELECT ';' /* ; */\n;"),
            ("-- nothing;\n", "-- nothing;"),
            ("", ""),
        ] {
            assert_eq!(complete(sql), expect, "{sql}");
        }
    }
}
