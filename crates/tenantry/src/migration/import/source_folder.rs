use std::path::Path;

use super::source_file::SourceFile;
use crate::migration::error::MigrationError;

/// The folder of another tool's migrations, as it was read.
#[derive(Clone, Debug)]
pub struct SourceFolder {
    name: String,
    files: Vec<SourceFile>,
}

impl SourceFolder {
    /// A folder without files. The name stands in front of theirs, wherever one is shown.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), files: Vec::new() }
    }

    /// Returns true for a file whose text matters. Of all others, the name is enough: a migration in another language
    /// is named, and not read.
    pub fn is_text(path: &str) -> bool {
        let ending = Path::new(path).extension().unwrap_or_default();
        ["sql", "conf", "toml"].iter().any(|known| ending.eq_ignore_ascii_case(known))
    }

    /// Adds a file by its path in the folder, with `/` between its parts. A byte order mark is left out.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn add(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), MigrationError> {
        self.files.push(SourceFile::read(&self.name, path, bytes)?);
        Ok(())
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn files(&self) -> &[SourceFile] {
        &self.files
    }
}
