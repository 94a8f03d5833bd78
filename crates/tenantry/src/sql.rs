//! The one place that renders SQL text from values.
//!
//! Ordinary statements bind their values. What cannot be bound is rendered here: identifiers, and
//! the literals of messages that carry no parameters (`SET`, ledger rows, lock keys). Each of the
//! two kinds has one quoting function, and everything else is built from them.

pub(crate) mod comment;
pub(crate) mod lexer;
pub(crate) mod privileges;

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::guard::{Guard, stands};
use crate::tenant::{Digest, SchemaName};

/// A schema that is always empty and where nobody may create: a part of every `search_path`.
///
/// It stands directly behind the tenant's own schema, so that an unqualified `CREATE` on a vanished
/// schema is "permission denied" instead of a table somewhere else.
pub(crate) const VOID_SCHEMA: &str = "tenantry_void";

/// Displays as a quoted identifier: `"it""s"`.
pub(crate) struct Identifier<'a>(pub(crate) &'a str);

impl fmt::Display for Identifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for (index, part) in self.0.split('"').enumerate() {
            if index > 0 {
                f.write_str("\"\"")?;
            }
            f.write_str(part)?;
        }
        f.write_str("\"")
    }
}

/// Displays as a string literal, as the server's `quote_literal` would: `'it''s'`, `E'back\\slash'`.
pub(crate) struct Literal<'a>(pub(crate) &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains('\\') {
            f.write_str("E")?;
        }
        f.write_str("'")?;
        for character in self.0.chars() {
            match character {
                '\'' => f.write_str("''")?,
                '\\' => f.write_str("\\\\")?,
                other => write!(f, "{other}")?,
            }
        }
        f.write_str("'")
    }
}

/// Displays as a `bytea` literal: `'\x0102'`, which needs `standard_conforming_strings`.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'\\x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("'")
    }
}

/// Displays as the value of a `search_path`: the schema, the void, the extension schemas, `pg_temp`.
pub(crate) struct SearchPathValue<'a> {
    pub(crate) schema: &'a SchemaName,
    pub(crate) extensions: &'a [SchemaName],
}

impl fmt::Display for SearchPathValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Identifier(self.schema.as_str()))?;
        if stands(Guard::Void) {
            write!(f, ", {VOID_SCHEMA}")?;
        }
        for extension in self.extensions {
            write!(f, ", {}", Identifier(extension.as_str()))?;
        }
        // Written last, or temporary tables would be searched before everything else.
        f.write_str(", pg_temp")
    }
}

/// The key of the advisory lock of this name.
pub(crate) fn advisory_key(name: &str) -> i64 {
    let hash = Sha256::digest(name);
    let mut key = [0; 8];
    key.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(key)
}

/// A condition that holds while some session of this database has an advisory lock.
pub(crate) fn is_advisory_lock_held(key: i64) -> String {
    // A key of 64 bits is shown as its two halves.
    format!(
        "EXISTS (SELECT FROM pg_catalog.pg_locks JOIN pg_catalog.pg_database ON pg_database.oid = pg_locks.database \
                 WHERE datname = pg_catalog.current_database() AND locktype = 'advisory' AND objsubid = 1 \
                   AND (classid::bigint << 32 | objid::bigint) = {key})"
    )
}

/// Tags a statement with what its tenant has applied.
///
/// A prepared statement belongs to its text. Two tenants at different versions must not share one,
/// or PostgreSQL answers `cached plan must not change result type`.
pub(crate) fn tagged(sql: &str, digest: &Digest) -> String {
    let tag = &digest.as_bytes()[..8];
    let mut text = String::with_capacity(sql.len() + 24);
    text.push_str(sql);
    // On a line of its own: the statement may end in a `--` comment.
    text.push_str("\n/* ");
    for byte in tag {
        use fmt::Write;
        let _ = write!(text, "{byte:02x}");
    }
    text.push_str(" */");
    text
}

#[cfg(test)]
mod tests;
