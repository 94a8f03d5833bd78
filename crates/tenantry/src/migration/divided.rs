//! Comments by which other tools divide a file into the way there and the way back.

use crate::sql::lexer::{Token, TokenKind};

/// The words of each tool in front of the way back.
const MARKS: [(&str, &[&str]); 3] =
    [("goose", &["+goose", "down"]), ("dbmate", &["migrate:down"]), ("sql-migrate", &["+migrate", "down"])];

/// The comment that divides a file, and the tool whose it is. Here both halves would run.
pub(super) fn divides<'a>(comments: &[Token<'a>]) -> Option<(Token<'a>, &'static str)> {
    comments.iter().find_map(|comment| Some((*comment, tool_of(comment)?)))
}

fn tool_of(comment: &Token<'_>) -> Option<&'static str> {
    let text = comment.text.strip_prefix("--").filter(|_| comment.kind == TokenKind::LineComment)?;
    let mut words = text.split_ascii_whitespace().map(str::to_lowercase);
    let words: Vec<_> = words.by_ref().take(2).collect();
    let is_mark =
        |mark: &[&str]| mark.iter().zip(&words).filter(|(mark, word)| *mark == word).count() == mark.len();
    MARKS.into_iter().find(|(_, mark)| is_mark(mark)).map(|(tool, _)| tool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::lexer::Lexer;

    #[test]
    fn the_way_back_of_another_tool_is_recognised() {
        for (sql, tool) in [
            ("SELECT 1;\n-- +goose Down\nSELECT 2;", Some("goose")),
            ("--+GOOSE  down", Some("goose")),
            ("-- migrate:down transaction:false", Some("dbmate")),
            ("-- +migrate Down", Some("sql-migrate")),
            ("-- +goose Up\nSELECT 1;", None),
            ("-- go down\nSELECT '-- +goose Down'; /* -- +goose Down */", None),
            ("--", None),
        ] {
            let comments: Vec<_> = Lexer::new(sql).flatten().filter(Token::is_comment).collect();
            assert_eq!(divides(&comments).map(|(_, tool)| tool), tool, "{sql}");
        }
    }
}
