use std::sync::Arc;

use super::{
    code,
    error::{MigrationError, Problem},
    refusal::Refusal,
    text::FileText,
    types,
};
use crate::sql::lexer::{StatementSpan, StatementTokens, Statements, Token, TokenSpan};

/// One migration file whose text was read and accepted.
///
/// Holding one is the proof that it is complete SQL, split into statements, and that none of them
/// would end the transaction or leave the schema it is run in.
#[derive(Clone, Debug)]
pub struct Script(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: FileText,
    may_change_types: bool,
    // sqlx's own type, so that its rules for checksum and `-- no-transaction` stay its own.
    source: sqlx::migrate::Migration,
    /// The tokens of all statements, in their order.
    tokens: Vec<TokenSpan>,
    comments: Vec<TokenSpan>,
}

impl Script {
    /// Reads the text, once: the script keeps its tokens, and nobody reads it again.
    ///
    /// # Errors
    /// Names every line that a migration must not hold.
    pub(super) fn parse(file: String, source: sqlx::migrate::Migration) -> Result<Self, Vec<MigrationError>> {
        let Reading { statements, tokens, comments, may_change_types, mut problems } = read(&source);
        if is_code(source.sql.as_str())
            && let Some(statement) = statements.first()
        {
            problems.push((statement.line, Problem::CodeWithStatements));
        }
        if problems.is_empty() {
            let text = FileText::new(&file, source.sql.clone(), statements);
            return Ok(Self(Arc::new(Inner { text, may_change_types, source, tokens, comments })));
        }
        let error = |(line, problem)| MigrationError::at_line(file.as_str(), line, problem);
        Err(problems.into_iter().map(error).collect())
    }

    /// The file's path, or its name where it was compiled in.
    pub fn file(&self) -> &str {
        self.0.text.file()
    }

    /// The text, exactly as it is in the file.
    pub fn sql(&self) -> &str {
        self.0.text.sql()
    }

    /// Returns true if it runs in a transaction; its first line would be `-- no-transaction` otherwise.
    pub fn is_transactional(&self) -> bool {
        !self.0.source.no_tx
    }

    /// Returns true if it stands for a function of the application; its first line would be `-- code`.
    pub fn is_code(&self) -> bool {
        is_code(self.sql())
    }

    /// Returns true if it is SQL that can share a transaction with other files.
    pub fn is_plain(&self) -> bool {
        self.is_transactional() && !self.is_code()
    }

    /// Returns true if the schema may own other types afterwards.
    pub(crate) fn may_change_types(&self) -> bool {
        self.0.may_change_types
    }

    pub(crate) fn text(&self) -> &FileText {
        &self.0.text
    }

    pub(crate) fn statements(&self) -> &[StatementSpan] {
        self.0.text.statements()
    }

    /// The tokens of one of its statements, comments left out; their `start` counts from the beginning of the file.
    pub(crate) fn tokens_of(&self, statement: &StatementSpan) -> Vec<Token<'_>> {
        let index_at = |offset| self.0.tokens.partition_point(|token| token.range.start < offset);
        let tokens = &self.0.tokens[index_at(statement.range.start)..index_at(statement.range.end)];
        tokens.iter().map(|token| token.in_text(self.sql())).collect()
    }

    /// The comments of the file, but for those inside of strings.
    pub(super) fn comments(&self) -> impl Iterator<Item = Token<'_>> {
        self.0.comments.iter().map(|comment| comment.in_text(self.sql()))
    }

    pub(super) fn source(&self) -> &sqlx::migrate::Migration {
        &self.0.source
    }
}

fn is_code(sql: &str) -> bool {
    sql.lines().next().is_some_and(|line| line.trim_end() == code::MARK)
}

/// The statements of a file, and what is wrong on which line.
#[derive(Default)]
struct Reading {
    statements: Vec<StatementSpan>,
    tokens: Vec<TokenSpan>,
    comments: Vec<TokenSpan>,
    may_change_types: bool,
    problems: Vec<(usize, Problem)>,
}

fn read(source: &sqlx::migrate::Migration) -> Reading {
    let (sql, transactional) = (source.sql.as_str(), !source.no_tx);
    let mut reading = Reading { problems: unreadable(sql), ..Reading::default() };
    let mut statements = Statements::of(sql);
    for statement in &mut statements {
        let StatementTokens { span, tokens } = match statement {
            Ok(statement) => statement,
            Err(error) => {
                reading.problems.push((line_of(sql, error.offset), error.into()));
                return reading;
            }
        };
        if let Some(refusal) = refusal(&tokens, transactional) {
            let is_followed_by_data = refusal == Refusal::CopyWithClient;
            reading.problems.push((span.line, refusal.into()));
            if is_followed_by_data {
                // What follows `COPY … FROM STDIN` is no SQL and cannot be read.
                return reading;
            }
        }
        reading.may_change_types |= types::may_change(&tokens);
        reading.tokens.extend(tokens.iter().map(Token::span));
        reading.statements.push(span);
    }
    reading.comments = statements.comments().iter().map(Token::span).collect();
    let count = reading.statements.len();
    if !transactional && count != 1 && reading.problems.is_empty() {
        let line = reading.statements.get(1).map_or(1, |second| second.line);
        reading.problems.push((line, Problem::NotOneStatement { statements: count }));
    }
    reading
}

/// The characters that no file may hold anywhere.
fn unreadable(sql: &str) -> Vec<(usize, Problem)> {
    let mark = sql.starts_with('\u{feff}').then_some((1, Problem::ByteOrderMark));
    let nul = sql.find('\0').map(|offset| (line_of(sql, offset), Problem::Nul));
    mark.into_iter().chain(nul).collect()
}

fn refusal(tokens: &[Token<'_>], transactional: bool) -> Option<Refusal> {
    Refusal::of(tokens).or_else(|| if transactional { Refusal::in_transaction(tokens) } else { None })
}

fn line_of(sql: &str, offset: usize) -> usize {
    crate::sql::lexer::line_and_column(sql, offset).0
}

#[cfg(test)]
pub(crate) mod tests;
