use std::sync::Arc;

use super::{
    error::{MigrationError, Problem},
    refusal::Refusal,
};
use crate::sql::lexer::{Lexer, Statement, Statements, Token};

/// One migration file whose text was read and accepted.
///
/// Holding one is the proof that it is complete SQL, split into statements, and that none of them
/// would end the transaction or leave the schema it is run in.
#[derive(Clone, Debug)]
pub struct Script(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: String,
    // sqlx's own type, so that its rules for checksum and `-- no-transaction` stay its own.
    source: sqlx::migrate::Migration,
    statements: Vec<Statement>,
}

impl Script {
    /// # Errors
    /// Names the first line that a migration must not hold.
    pub(super) fn parse(file: String, source: sqlx::migrate::Migration) -> Result<Self, MigrationError> {
        match accepted_statements(source.sql.as_str(), !source.no_tx) {
            Ok(statements) => Ok(Self(Arc::new(Inner { file, source, statements }))),
            Err((line, problem)) => Err(MigrationError::at_line(file, line, problem)),
        }
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

    pub(crate) fn statements(&self) -> &[Statement] {
        &self.0.statements
    }

    pub(super) fn source(&self) -> &sqlx::migrate::Migration {
        &self.0.source
    }
}

type Located<T> = Result<T, (usize, Problem)>;

fn accepted_statements(sql: &str, transactional: bool) -> Located<Vec<Statement>> {
    if sql.starts_with('\u{feff}') {
        return Err((1, Problem::ByteOrderMark));
    }
    if let Some(offset) = sql.find('\0') {
        return Err((line_of(sql, offset), Problem::Nul));
    }
    // Statement by statement, because what follows `COPY … FROM STDIN` is no SQL and cannot be read.
    let mut statements = Vec::new();
    for statement in Statements::of(sql) {
        let statement = statement.map_err(|error| (line_of(sql, error.offset), error.into()))?;
        accept(&sql[statement.range.clone()], transactional)
            .map_err(|refusal| (statement.line, refusal.into()))?;
        statements.push(statement);
    }
    if !transactional && statements.len() != 1 {
        let line = statements.get(1).map_or(1, |second| second.line);
        return Err((line, Problem::NotOneStatement { statements: statements.len() }));
    }
    Ok(statements)
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
pub(super) mod tests;
