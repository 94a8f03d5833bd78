use super::finding::ImportFinding;

/// A migration file that was made from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedFile {
    /// True for a migration of the master schema.
    pub is_master: bool,
    /// The number that its name begins with.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The files that were made, by version, and what there is to say of them, by file and line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// The files to write.
    pub files: Vec<ImportedFile>,
    /// The remarks, for people to look at.
    pub findings: Vec<ImportFinding>,
}
