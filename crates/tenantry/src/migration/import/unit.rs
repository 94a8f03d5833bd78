//! The statements of a section, as psql would see them, with the data behind `COPY`.

use std::ops::Range;

use crate::migration::around::{Around, Bracket};
use crate::migration::psql;
use crate::migration::refusal::is_followed_by_data;
use crate::sql::lexer::{Lexer, Statements, Token, TokenKind, Unterminated};

/// One statement, without psql's commands around it.
#[derive(Clone, Debug)]
pub(super) struct Unit<'a> {
    /// Never empty, and without comments.
    pub(super) tokens: Vec<Token<'a>>,
    /// The data of a `COPY`.
    pub(super) data: Option<Range<usize>>,
}

/// A text in its parts.
#[derive(Debug, Default)]
pub(super) struct Units<'a> {
    pub(super) statements: Vec<Unit<'a>>,
    /// psql's commands and variables, with what is said of them.
    pub(super) for_psql: Vec<(usize, String)>,
    /// The places of psql's commands.
    pub(super) commands: Vec<Range<usize>>,
    /// The places of a `BEGIN` and a `COMMIT` around all of it.
    pub(super) around: Vec<Range<usize>>,
    /// The places of the one or the other alone.
    pub(super) brackets: Vec<Bracket>,
    /// The point from which nothing can be read.
    pub(super) unterminated: Option<Unterminated>,
}

impl<'a> Units<'a> {
    pub(super) fn of(text: &'a str, is_transactional: bool) -> Self {
        let mut read = Self::default();
        let mut around = Around::default();
        let mut statements = Statements::of(text);
        while let Some(statement) = statements.next() {
            let statement = match statement {
                Ok(statement) => statement,
                Err(error) => {
                    read.unterminated = Some(error);
                    break;
                }
            };
            if is_transactional {
                let (is_taken, was_not_last) = around.take(&statement.span, &statement.tokens);
                read.brackets.extend(was_not_last);
                if is_taken {
                    continue;
                }
            }
            let parts: Vec<_> = psql::without_commands(&statement.tokens).map(<[_]>::to_vec).collect();
            let remnants = psql::remnants(&statement.tokens).into_iter();
            read.for_psql.extend(remnants.map(|(at, refusal)| (at, refusal.to_string())));
            let commands = statement.tokens.iter().filter(|token| token.kind == TokenKind::MetaCommand);
            read.commands.extend(commands.map(|token| token.start..token.end()));
            let has_data = parts.last().is_some_and(|part| is_followed_by_data(part));
            read.statements.extend(parts.into_iter().map(|tokens| Unit { tokens, data: None }));
            if has_data && let Some(copy) = read.statements.last_mut() {
                copy.data = Some(statements.skip_copy_data());
            }
        }
        match around.close() {
            Ok(both) => read.around = both.map(Vec::from).unwrap_or_default(),
            Err(alone) => read.brackets.extend(alone),
        }
        read
    }
}

impl Unit<'_> {
    pub(super) fn range(&self) -> Range<usize> {
        let [first, .., last] = self.tokens.as_slice() else {
            return self.tokens.first().map_or(0..0, |only| only.start..only.end());
        };
        first.start..last.end()
    }
}

/// The place of a statement with its semicolon, and with its lines where nothing else stands on them.
pub(super) fn with_its_lines(text: &str, statement: Range<usize>) -> Range<usize> {
    let mut behind = Lexer::new(&text[statement.end..]).flatten().filter(|token| !token.is_comment());
    let semicolon = behind.next().filter(|token| token.kind == TokenKind::Semicolon);
    let end = statement.end + semicolon.map_or(0, |semicolon| semicolon.end());
    whole_lines(text, statement.start..end)
}

/// The lines of a part of a text, where nothing else stands on them.
pub(super) fn whole_lines(text: &str, part: Range<usize>) -> Range<usize> {
    let start = text[..part.start].rfind('\n').map_or(0, |end| end + 1);
    let end = text[part.end..].find('\n').map_or(text.len(), |end| part.end + end + 1);
    let is_alone = text[start..part.start].trim().is_empty() && text[part.end..end].trim().is_empty();
    if is_alone { start..end } else { part }
}
