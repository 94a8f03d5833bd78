use std::{borrow::Cow, error::Error, fmt, io, sync::Arc};

use super::file_name::WrongName;
use super::refusal::Refusal;
use crate::sql::lexer::Unterminated;

/// A migration file that cannot be used: which one, on which line, and what to do about it.
///
/// Displays as `migrations/tenant/0003_notes.sql:12: what is wrong`.
#[derive(Clone, Debug)]
pub struct MigrationError {
    file: String,
    line: Option<usize>,
    version: Option<i64>,
    problem: Problem,
}

impl MigrationError {
    pub(super) fn in_file(file: impl Into<String>, problem: impl Into<Problem>) -> Self {
        Self { file: file.into(), line: None, version: None, problem: problem.into() }
    }

    pub(super) fn at_line(file: impl Into<String>, line: usize, problem: impl Into<Problem>) -> Self {
        Self { line: Some(line), ..Self::in_file(file, problem) }
    }

    /// Says that the mistake is in the text of the file of this version, and in no other.
    pub(super) fn of_version(self, version: i64) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Of several, which are never none, the one that is reported where only one can be.
    pub(crate) fn first_of(mut errors: Vec<Self>) -> Self {
        errors.swap_remove(0)
    }

    /// The file, or the directory where that is what is missing.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, counted from 1; `None` when the whole file is meant.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// The version of the migration, where it is the text of one file that cannot be used. `None` where it is
    /// not known which migrations there are.
    pub fn version(&self) -> Option<i64> {
        self.version
    }

    /// The advice to whoever meets it.
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        self.problem.hint()
    }
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl Error for MigrationError {
    // The problem's text is already in this layer's message, so the chain goes on below it.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problem.source()
    }
}

/// A mistake in a migration file.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("there is no such directory")]
    NoDirectory,
    #[error("cannot be read")]
    Unreadable(#[source] Arc<io::Error>),
    #[error("there are no migrations: this directory does not exist")]
    NoDirectories,
    #[error(transparent)]
    Name(#[from] WrongName),
    #[error("it is in a folder, and folders are not read")]
    InFolder { right: String },
    #[error("version {version} is already used by `{other}`")]
    SameVersion { version: i64, other: String },
    #[error("there is no migration with version {version} that this file would undo")]
    NothingToUndo { version: i64 },
    #[error("the file is not UTF-8")]
    NotUtf8,
    #[error("the file is UTF-16")]
    Utf16,
    #[error("the file begins with a byte order mark")]
    ByteOrderMark,
    #[error("the file contains a NUL character")]
    Nul,
    #[error(transparent)]
    Unterminated(#[from] Unterminated),
    #[error(
        "a `-- no-transaction` file holds exactly one statement, or only named indexes that are built or dropped \
         concurrently, and this one holds {statements}"
    )]
    NotOneStatement { statements: usize },
    #[error("a `-- code` file stands for a function of the application, and this one holds a statement")]
    CodeWithStatements,
    #[error("no file of version {version} begins with `-- code`")]
    NoCodeFile { version: i64 },
    #[error("the comments at its beginning name no version and digest")]
    NoBaselineHead,
    #[error("it was made from other files than the migrations up to version {version} are now")]
    StaleBaseline { version: i64 },
    #[error("the name of the schema is in a body, in a string or in a part of a name")]
    NamesItsSchema,
    #[error("there is no migration of {tool} here")]
    NothingToImport { tool: &'static str, layout: &'static str },
    #[error("the file is an archive of `pg_dump`, and no SQL")]
    Archive,
    #[error("it has the same version as `{other}`")]
    SameAsImported { other: String },
    #[error("`{comment}` divides the file for {tool}, and here both halves would run")]
    Divided { comment: String, tool: &'static str },
    #[error("the file is the output of `pg_dump`, and {count} of its statements can be in no migration")]
    Dump { count: usize },
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(Arc::new(error))
    }
}

impl Problem {
    fn hint(&self) -> Option<Cow<'static, str>> {
        const OR_ELSE: &str = "; give what is no migration another ending than `.sql`";
        match self {
            Self::Name(WrongName { right, .. }) => Some(format!("name it like `{right}`{OR_ELSE}").into()),
            Self::InFolder { right } => {
                Some(format!("move it beside the other files, as `{right}`{OR_ELSE}").into())
            }
            Self::Divided { tool: "sql-migrate", .. } => {
                Some("put what undoes it into a `.down.sql` file of the same version".into())
            }
            Self::Divided { tool, .. } => {
                Some(format!("`tenantry import-migrations {tool} DIR` makes two files of it").into())
            }
            Self::NothingToImport { layout, .. } => {
                Some(format!("name the folder that holds {layout}").into())
            }
            _ => self.advice().map(Cow::Borrowed),
        }
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Name(_)
            | Self::Divided { .. }
            | Self::InFolder { .. }
            | Self::NothingToImport { .. }
            | Self::Unreadable(_) => None,
            Self::Archive => Some("`pg_restore --file=dump.sql ARCHIVE` makes SQL of it"),
            Self::SameAsImported { .. } => {
                Some("nobody knows which is the first: give one of them another version in its name")
            }
            Self::NoDirectories => Some(
                "create it, or name another one under `[migrations]` in tenantry.toml; it may stay empty",
            ),
            Self::NoDirectory => Some("create it; a relative path starts at the working directory"),
            Self::SameVersion { .. } => Some("give one of them the next free number"),
            Self::NothingToUndo { .. } => {
                Some("add the `.up.sql` file of the same version, or remove this file")
            }
            Self::NotUtf8 | Self::Utf16 => Some("save it as UTF-8"),
            Self::ByteOrderMark => Some("save it as UTF-8 without byte order mark"),
            Self::Nul => Some("remove it: PostgreSQL stores no such character"),
            Self::Unterminated(_) => Some("close it; this is where it begins"),
            Self::NotOneStatement { .. } => Some(
                "give each statement a file of its own, so that an interrupted one can be told apart; only settings \
                     such as `SET lock_timeout = '5s'` may stand in front",
            ),
            Self::CodeWithStatements => Some("give the statement a file of its own"),
            Self::NoCodeFile { .. } => {
                Some("add one, so that the command line knows of the migration as well")
            }
            Self::NoBaselineHead => Some("write it with `tenantry baseline`, and keep its head"),
            Self::StaleBaseline { .. } => Some(
                "restore those files if some tenant has applied them; else write it again with `tenantry baseline`",
            ),
            Self::NamesItsSchema => Some("use unqualified names there"),
            Self::Dump { .. } => Some(
                "`tenantry import-migrations dump FILE` makes migrations of it; by hand: dump with `pg_dump \
                     --schema-only --no-owner --no-privileges`, and delete the lines that begin with `\\` or `SET`, \
                     that of `set_config`, the extensions, and `public.` in front of every name",
            ),
            Self::Refused(refusal) => Some(refusal.hint()),
        }
    }
}

/// Turns the error of this concept into the one of the library, for `?`.
impl From<MigrationError> for crate::Error {
    fn from(error: MigrationError) -> Self {
        let refused = Self::new(crate::ErrorKind::Migration, error.to_string());
        match error.hint() {
            Some(hint) => refused.with_hint(hint),
            None => refused,
        }
    }
}
