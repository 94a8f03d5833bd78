use std::sync::Arc;

use super::{
    code,
    error::{MigrationError, Problem},
    refusal::Refusal,
    types,
};
use crate::sql::lexer::{Lexer, StatementSpan, Statements, Token};

/// One migration file whose text was read and accepted.
///
/// Holding one is the proof that it is complete SQL, split into statements, and that none of them
/// would end the transaction or leave the schema it is run in.
#[derive(Clone, Debug)]
pub struct Script(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: String,
    may_change_types: bool,
    // sqlx's own type, so that its rules for checksum and `-- no-transaction` stay its own.
    source: sqlx::migrate::Migration,
    statements: Vec<StatementSpan>,
}

impl Script {
    /// # Errors
    /// Names every line that a migration must not hold.
    pub(super) fn parse(file: String, source: sqlx::migrate::Migration) -> Result<Self, Vec<MigrationError>> {
        let (statements, mut problems) = read(source.sql.as_str(), !source.no_tx);
        if is_code(source.sql.as_str())
            && let Some(statement) = statements.first()
        {
            problems.push((statement.line, Problem::CodeWithStatements));
        }
        if problems.is_empty() {
            let may_change_types =
                statements.iter().any(|it| types::may_change(&source.sql.as_str()[it.range.clone()]));
            return Ok(Self(Arc::new(Inner { file, may_change_types, source, statements })));
        }
        let error = |(line, problem)| MigrationError::at_line(file.as_str(), line, problem);
        Err(problems.into_iter().map(error).collect())
    }

    /// The file's path, or its name where it was compiled in.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The text, exactly as it is in the file.
    pub fn sql(&self) -> &str {
        self.0.source.sql.as_str()
    }

    /// Whether it runs in a transaction; its first line would be `-- no-transaction` otherwise.
    pub fn is_transactional(&self) -> bool {
        !self.0.source.no_tx
    }

    /// Whether it stands for a function of the application; its first line would be `-- code`.
    pub fn is_code(&self) -> bool {
        is_code(self.sql())
    }

    /// Whether it is SQL that can share a transaction with other files.
    pub fn is_plain(&self) -> bool {
        self.is_transactional() && !self.is_code()
    }

    /// Whether the schema may own other types afterwards.
    pub(crate) fn may_change_types(&self) -> bool {
        self.0.may_change_types
    }

    pub(crate) fn statements(&self) -> &[StatementSpan] {
        &self.0.statements
    }

    pub(super) fn source(&self) -> &sqlx::migrate::Migration {
        &self.0.source
    }
}

fn is_code(sql: &str) -> bool {
    sql.lines().next().is_some_and(|line| line.trim_end() == code::MARK)
}

/// The statements of a file, and what is wrong on which line.
fn read(sql: &str, transactional: bool) -> (Vec<StatementSpan>, Vec<(usize, Problem)>) {
    let (mut statements, mut problems) = (Vec::new(), Vec::new());
    if sql.starts_with('\u{feff}') {
        problems.push((1, Problem::ByteOrderMark));
    }
    if let Some(offset) = sql.find('\0') {
        problems.push((line_of(sql, offset), Problem::Nul));
    }
    for statement in Statements::of(sql) {
        let statement = match statement {
            Ok(statement) => statement,
            Err(error) => {
                problems.push((line_of(sql, error.offset), error.into()));
                return (statements, problems);
            }
        };
        if let Err(refusal) = accept(&sql[statement.range.clone()], transactional) {
            let is_followed_by_data = refusal == Refusal::CopyWithClient;
            problems.push((statement.line, refusal.into()));
            if is_followed_by_data {
                // What follows `COPY … FROM STDIN` is no SQL and cannot be read.
                return (statements, problems);
            }
        }
        statements.push(statement);
    }
    if !transactional && statements.len() != 1 && problems.is_empty() {
        let line = statements.get(1).map_or(1, |second| second.line);
        problems.push((line, Problem::NotOneStatement { statements: statements.len() }));
    }
    (statements, problems)
}

fn accept(statement: &str, transactional: bool) -> Result<(), Refusal> {
    // A statement was read once to find its end, so reading it again cannot fail.
    let tokens: Vec<Token<'_>> =
        Lexer::new(statement).flatten().filter(|token| !token.is_comment()).collect();
    let refusal =
        Refusal::of(&tokens).or_else(|| if transactional { Refusal::in_transaction(&tokens) } else { None });
    refusal.map_or(Ok(()), Err)
}

fn line_of(sql: &str, offset: usize) -> usize {
    crate::sql::lexer::line_and_column(sql, offset).0
}

#[cfg(test)]
pub(crate) mod tests;
