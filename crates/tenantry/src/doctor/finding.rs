use serde::Serialize;

use crate::tenant::Alias;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The database in which it was found.
    pub database: Alias,
    /// What is wrong, in one sentence.
    pub what: String,
    /// The setting or the SQL that mends it.
    pub remedy: String,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It works, at a price or with less protection than there could be.
    Warning,
    /// It does not work, or does not protect tenants from each other.
    Error,
}

impl Finding {
    pub(super) fn error(alias: &Alias, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Error, alias, what.into(), remedy.into())
    }

    pub(super) fn warning(alias: &Alias, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Warning, alias, what.into(), remedy.into())
    }

    fn new(severity: Severity, alias: &Alias, what: String, remedy: String) -> Self {
        Self { severity, database: alias.clone(), what, remedy }
    }
}
