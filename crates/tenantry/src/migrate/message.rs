use std::fmt;
use std::ops::Range;

use crate::migration::FileText;
use crate::sql::lexer::{self, StatementSpan, Statements};

/// Several parts of SQL as one message, and the way back from a server's error to the file.
///
/// The simple protocol takes any number of statements at once, so that a migration with the
/// transaction and the ledger row around it costs one round trip.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    start: usize,
    statements: usize,
    /// `None` for SQL of our own.
    file: Option<FileText>,
    /// The file that a question of our own is about.
    about: Option<FileText>,
}

/// The part of a message that an error comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In a statement that did not come from a file.
    Own,
    /// In a question about what a migration did.
    About { file: String },
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

    /// Adds one statement of our own.
    pub(crate) fn push_own(&mut self, statement: &str) {
        self.push(statement, 1, None, None);
    }

    /// Adds a question about what a file did.
    pub(super) fn push_question(&mut self, statement: &str, file: &FileText) {
        self.push(statement, 1, None, Some(file.clone()));
    }

    /// Adds several statements of our own.
    pub(crate) fn push_each(&mut self, statements: &[String]) {
        self.push(&statements.join(";\n"), statements.len(), None, None);
    }

    /// Adds conditions, of which one that does not hold divides by zero: that ends the transaction.
    pub(super) fn push_condition(&mut self, conditions: &[String]) {
        if !conditions.is_empty() {
            self.push_own(&format!("SELECT 1 / ({})::int", conditions.join(" AND ")));
        }
    }

    /// Adds a whole file.
    pub(crate) fn push_file(&mut self, file: &FileText) {
        self.push(file.sql(), file.statements().len(), Some(file.clone()), None);
    }

    /// The message to send.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The statements of the message, each by its place in the text.
    pub(super) fn statements(&self) -> impl Iterator<Item = Range<usize>> {
        // What cannot be read was refused with its file.
        Statements::of(&self.text).flatten().map(|statement| statement.span.range)
    }

    /// The origin of a position that the server reported for a part of the message that begins at `start`.
    pub(super) fn locate_position_after(&self, start: usize, position: usize) -> Option<Origin> {
        self.locate_position(self.text[..start].chars().count() + position)
    }

    /// The origin of a position that the server reported: in characters, from 1.
    pub(crate) fn locate_position(&self, position: usize) -> Option<Origin> {
        let offset = lexer::byte_offset(&self.text, position)?;
        let part = self.parts.iter().rfind(|part| part.start <= offset)?;
        Some(part.origin_at(offset - part.start))
    }

    /// The origin of the statement that failed after this many had completed.
    ///
    /// `None` when all of them had: then it was the commit of the message itself that failed.
    pub(crate) fn locate_statement(&self, completed: usize) -> Option<Origin> {
        let mut remaining = completed;
        for part in &self.parts {
            match remaining.checked_sub(part.statements) {
                Some(rest) => remaining = rest,
                None => return Some(part.origin_of(remaining)),
            }
        }
        None
    }

    /// The number of statements is known: nothing is read here, which would be once for each tenant.
    fn push(&mut self, sql: &str, statements: usize, file: Option<FileText>, about: Option<FileText>) {
        debug_assert_eq!(Statements::of(sql).count(), statements, "{sql}");
        self.parts.push(Part { start: self.text.len(), statements, file, about });
        self.text.push_str(sql);
        // The line break ends a `--` comment and the semicolon a last statement without one. Where
        // neither is needed the server sees an empty statement, which it skips without an answer.
        self.text.push_str("\n;\n");
    }
}

impl Part {
    /// An offset past the text means its end: there the server reports that something is missing.
    fn origin_at(&self, offset: usize) -> Origin {
        let Some(file) = &self.file else { return self.own() };
        let (line, column) = lexer::line_and_column(file.sql(), offset);
        let statements = file.statements();
        let statement = statements.iter().rfind(|it| it.range.start <= offset).or(statements.first());
        let statement = statement.map(|it| beginning(file, it)).unwrap_or_default();
        Origin::File { file: file.file().to_owned(), line, column: Some(column), statement }
    }

    fn origin_of(&self, index: usize) -> Origin {
        match self.file.as_ref().map(|file| (file, &file.statements()[index])) {
            Some((file, statement)) => Origin::File {
                file: file.file().to_owned(),
                line: statement.line,
                column: None,
                statement: beginning(file, statement),
            },
            None => self.own(),
        }
    }

    fn own(&self) -> Origin {
        self.about.as_ref().map_or(Origin::Own, |file| Origin::About { file: file.file().to_owned() })
    }
}

/// `migrations/tenant/0003_notes.sql:12:5`
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("a statement of tenantry's own"),
            Self::About { file } => f.write_str(file),
            Self::File { file, line, column: Some(column), .. } => write!(f, "{file}:{line}:{column}"),
            Self::File { file, line, column: None, .. } => write!(f, "{file}:{line}"),
        }
    }
}

/// The first 60 characters on one line.
fn beginning(file: &FileText, statement: &StatementSpan) -> String {
    const LENGTH: usize = 60;
    let mut text = String::new();
    for word in file.sql()[statement.range.clone()].split_whitespace() {
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
