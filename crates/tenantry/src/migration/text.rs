use std::ops::Range;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::error::{MigrationError, Problem};
use crate::sql::lexer::{StatementSpan, line_and_column};

/// The text of a file, its name, and where its statements are. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FileText {
    file: Arc<str>,
    sql: SqlStr,
    statements: Arc<[StatementSpan]>,
}

impl FileText {
    /// The statements must be those of the text.
    pub(super) fn new(file: &str, sql: SqlStr, statements: Vec<StatementSpan>) -> Self {
        Self { file: file.into(), sql, statements: statements.into() }
    }

    /// The same text with nothing in it but one statement, in its place.
    pub(crate) fn only(&self, index: usize) -> Self {
        let statement = self.statements[index].clone();
        let others = [0..statement.range.start, statement.range.end..self.sql().len()];
        Self::new(self.file(), blanked(self.sql(), &others), vec![statement])
    }

    /// The file's path, or its name where it was compiled in.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn sql(&self) -> &str {
        self.sql.as_str()
    }

    pub(crate) fn statements(&self) -> &[StatementSpan] {
        &self.statements
    }
}

/// A text with spaces in place of some parts, so that every other part keeps its place and its line.
pub(super) fn blanked(sql: &str, parts: &[Range<usize>]) -> SqlStr {
    let mut text = String::with_capacity(sql.len());
    for (at, character) in sql.char_indices() {
        if character == '\n' || character == '\r' || !parts.iter().any(|part| part.contains(&at)) {
            text.push(character);
        } else {
            text.extend(std::iter::repeat_n(' ', character.len_utf8()));
        }
    }
    AssertSqlSafe(text).into_sql_str()
}

/// Turns the bytes of a file into text that can be sent to the server.
///
/// ```
/// use tenantry::migrate::sql_text;
///
/// let error = sql_text("seed.sql", b"\xef\xbb\xbfSELECT 1".to_vec()).unwrap_err();
/// assert_eq!(error.to_string(), "seed.sql:1: the file begins with a byte order mark");
/// ```
///
/// # Errors
/// Names the file and what is wrong with it: a byte order mark, UTF-16, or the line that is not UTF-8 or holds a NUL.
pub fn sql_text(file: &str, bytes: Vec<u8>) -> Result<String, MigrationError> {
    // Without its mark, UTF-16 shows in the halves of its first character.
    if bytes.starts_with(b"\xff\xfe")
        || bytes.starts_with(b"\xfe\xff")
        || matches!(*bytes, [0, _, ..] | [_, 0, ..])
    {
        return Err(MigrationError::at_line(file, 1, Problem::Utf16));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        MigrationError::at_line(file, line_and_column(&valid, valid.len()).0, Problem::NotUtf8)
    })?;
    if text.starts_with('\u{feff}') {
        return Err(MigrationError::at_line(file, 1, Problem::ByteOrderMark));
    }
    match text.find('\0') {
        Some(offset) => Err(MigrationError::at_line(file, line_and_column(&text, offset).0, Problem::Nul)),
        None => Ok(text),
    }
}
