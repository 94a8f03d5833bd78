use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};

use super::rule::Rule;

/// Something in a migration file that works, and that a fleet of tenants will suffer from.
///
/// Displays as `migrations/tenant/0003_notes.sql:12: outside-name: what is wrong`. As JSON it is an object
/// with `file`, `line`, `column`, `rule`, `message` and `hint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub(super) rule: Rule,
    pub(super) file: String,
    pub(super) version: i64,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
    pub(super) is_error: bool,
}

impl Warning {
    /// The rule that was broken.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The file's path, or its name where it was compiled in.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The version of the migration.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The line in the file, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in that line, in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The mistake.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns true if the server refuses it, so that `tenantry lint` fails.
    pub fn is_error(&self) -> bool {
        self.is_error
    }

    /// The advice to whoever meets it.
    pub fn hint(&self) -> &'static str {
        self.rule.hint()
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.rule, self.message)
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Warning", 6)?;
        object.serialize_field("file", &self.file)?;
        object.serialize_field("line", &self.line)?;
        object.serialize_field("column", &self.column)?;
        object.serialize_field("rule", self.rule.as_str())?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("hint", self.hint())?;
        object.end()
    }
}
