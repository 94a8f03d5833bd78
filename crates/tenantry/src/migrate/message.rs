use std::fmt;

use crate::migration::Script;
use crate::sql::lexer::{self, StatementSpan, Statements};

/// Several pieces of SQL as one message, and the way back from a server's error to the file.
///
/// The simple protocol takes any number of statements at once, so that a migration with the
/// transaction and the ledger row around it costs one round trip.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    text: String,
    pieces: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    start: usize,
    statements: usize,
    /// `None` for SQL of our own.
    script: Option<Script>,
}

/// Where in a message an error is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In a statement that did not come from a file.
    Own,
    /// In a migration.
    File {
        file: String,
        line: usize,
        /// Known only when the server pointed at a character.
        column: Option<usize>,
        /// The beginning of the statement.
        statement: String,
    },
}

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds statements of our own.
    pub(crate) fn push_own(&mut self, sql: &str) {
        self.push(sql, Statements::of(sql).count(), None);
    }

    /// Adds conditions, of which one that does not hold divides by zero: that ends the transaction.
    pub(super) fn push_condition(&mut self, conditions: &[String]) {
        if !conditions.is_empty() {
            self.push_own(&format!("SELECT 1 / ({})::int", conditions.join(" AND ")));
        }
    }

    /// Adds a whole file.
    pub(crate) fn push_file(&mut self, script: &Script) {
        self.push(script.sql(), script.statements().len(), Some(script.clone()));
    }

    /// The message to send.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The place of a position that the server reported: in characters, from 1.
    pub(crate) fn locate_position(&self, position: usize) -> Option<Origin> {
        let offset = lexer::byte_offset(&self.text, position)?;
        let piece = self.pieces.iter().rfind(|piece| piece.start <= offset)?;
        Some(piece.place_at(offset - piece.start))
    }

    /// The place of the statement that failed after so many had completed.
    ///
    /// `None` when all of them had: then it was the commit of the message itself that failed.
    pub(crate) fn locate_statement(&self, completed: usize) -> Option<Origin> {
        let mut remaining = completed;
        for piece in &self.pieces {
            match remaining.checked_sub(piece.statements) {
                Some(rest) => remaining = rest,
                None => return Some(piece.place_of(remaining)),
            }
        }
        None
    }

    fn push(&mut self, sql: &str, statements: usize, script: Option<Script>) {
        self.pieces.push(Part { start: self.text.len(), statements, script });
        self.text.push_str(sql);
        // The line break ends a `--` comment and the semicolon a last statement without one. Where
        // neither is needed the server sees an empty statement, which it skips without an answer.
        self.text.push_str("\n;\n");
    }
}

impl Part {
    /// An offset past the text means its end: there the server reports that something is missing.
    fn place_at(&self, offset: usize) -> Origin {
        let Some(script) = &self.script else { return Origin::Own };
        let (line, column) = lexer::line_and_column(script.sql(), offset);
        let statements = script.statements();
        let statement = statements.iter().rfind(|it| it.range.start <= offset).or(statements.first());
        let statement = statement.map(|it| beginning(script, it)).unwrap_or_default();
        Origin::File { file: script.file().to_owned(), line, column: Some(column), statement }
    }

    fn place_of(&self, index: usize) -> Origin {
        match self.script.as_ref().map(|script| (script, &script.statements()[index])) {
            Some((script, statement)) => Origin::File {
                file: script.file().to_owned(),
                line: statement.line,
                column: None,
                statement: beginning(script, statement),
            },
            None => Origin::Own,
        }
    }
}

/// `migrations/tenant/0003_notes.sql:12:5`
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("a statement of tenantry's own"),
            Self::File { file, line, column: Some(column), .. } => write!(f, "{file}:{line}:{column}"),
            Self::File { file, line, column: None, .. } => write!(f, "{file}:{line}"),
        }
    }
}

/// The first 60 characters on one line.
fn beginning(script: &Script, statement: &StatementSpan) -> String {
    const LENGTH: usize = 60;
    let mut text = String::new();
    for word in script.sql()[statement.range.clone()].split_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
        if let Some((cut, _)) = text.char_indices().nth(LENGTH) {
            text.truncate(cut);
            text.push('…');
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests;
