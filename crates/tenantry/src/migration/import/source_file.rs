use crate::migration::error::{MigrationError, Problem};
use crate::migration::text::sql_text;

/// A file of another tool, by its path in the folder that is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    path: String,
    /// The path as people can open it.
    shown: String,
    text: String,
}

impl SourceFile {
    /// Takes the bytes of a file. A byte order mark is left out, which is no part of the text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub(super) fn read(folder: &str, path: &str, bytes: Vec<u8>) -> Result<Self, MigrationError> {
        let shown = if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") };
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(bytes);
        if bytes.starts_with(b"PGDMP") {
            return Err(MigrationError::in_file(shown, Problem::Archive));
        }
        let text = sql_text(&shown, bytes)?;
        Ok(Self { path: path.to_owned(), shown, text })
    }

    /// The path, with `/` between its parts.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The name without the folders it is in.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The folder that it is in, `""` for none.
    pub(super) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The name in front of this ending, which may be in any case.
    pub(super) fn stem(&self, ending: &str) -> Option<&str> {
        let (stem, found) = self.name().split_at_checked(self.name().len().checked_sub(ending.len())?)?;
        found.eq_ignore_ascii_case(ending).then_some(stem)
    }

    pub(super) fn is_sql(&self) -> bool {
        self.stem(".sql").is_some()
    }
}
