use std::sync::Arc;

use sqlx::SqlStr;

use crate::sql::lexer::StatementSpan;

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
