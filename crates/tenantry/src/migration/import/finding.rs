use std::fmt;

use serde::Serialize;

use super::source_file::SourceFile;
use crate::sql::lexer::line_and_column;

/// A remark on an import: which line, and what became of it.
///
/// Displays as `db/0003_notes.sql:12: changed: the reason`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportFinding {
    /// The path of the file that was read.
    pub file: String,
    /// The line, counted from 1; `None` when the whole file is meant.
    pub line: Option<usize>,
    /// The kind of remark.
    pub remark: ImportRemark,
    /// The reason, and what became of it.
    pub message: String,
}

/// The kind of a remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportRemark {
    /// Something was changed or left out, so that the migration is one of a tenant.
    Changed,
    /// Something could not be converted, and needs a hand.
    NotConverted,
}

impl ImportFinding {
    pub(super) fn of_file(file: &SourceFile, remark: ImportRemark, message: impl Into<String>) -> Self {
        Self { file: file.shown().to_owned(), line: None, remark, message: message.into() }
    }

    /// Names a file that is no migration of the tool, be it SQL or a program in its language, `.go` for example.
    /// `None` for anything else.
    pub(super) fn left_out(file: &SourceFile, language: &str, why: &str) -> Option<Self> {
        let is_program = !language.is_empty() && file.stem(language).is_some();
        let message = match (file.is_sql(), is_program) {
            (true, _) => format!("left out: {why}"),
            (false, true) => {
                "left out: it is no SQL; `tenantry new --code` makes a file that stands for a function"
                    .to_owned()
            }
            (false, false) => return None,
        };
        Some(Self::of_file(file, ImportRemark::NotConverted, message))
    }

    /// About the line of a byte of the file.
    pub(super) fn at(
        file: &SourceFile,
        offset: usize,
        remark: ImportRemark,
        message: impl Into<String>,
    ) -> Self {
        let line = line_and_column(file.text(), offset).0;
        Self { line: Some(line), ..Self::of_file(file, remark, message) }
    }
}

impl fmt::Display for ImportFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.remark, self.message)
    }
}

impl fmt::Display for ImportRemark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed",
            Self::NotConverted => "not converted",
        })
    }
}
