//! The contents of an archive, as its last member says them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::tenant::{Digest, DomainName, Slug, TypeName};

/// The contents of an archive: whose it is, what it needs where it is imported, and what there has to be in each
/// member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// The format, which is [`Manifest::FORMAT`].
    pub format: u32,
    /// The time at which its tenant was read.
    #[serde(with = "time::serde::rfc3339")]
    pub written_at: OffsetDateTime,
    /// The slug of its tenant.
    pub slug: Slug,
    /// Its type, if it had one.
    #[serde(default, rename = "type")]
    pub type_name: Option<TypeName>,
    /// Its settings, the name among them.
    pub settings: Map<String, Value>,
    /// Its own domains.
    pub domains: Vec<DomainName>,
    /// The newest version that it had applied.
    pub version: Option<i64>,
    /// The digest of what it had applied.
    pub digest: Digest,
    /// All that it had applied.
    pub migrations: Vec<ArchivedMigration>,
    /// A hash of its structure, which means something to servers of the same major version and with the same owner.
    pub fingerprint: Digest,
    /// The version of its server, as `server_version_num` has it: `180004`.
    pub server_version: u32,
    /// The encoding of its database. The archive itself is UTF-8.
    pub encoding: String,
    /// The role that it belonged to.
    pub owner: String,
    /// Extensions of which it uses something.
    pub extensions: Vec<ArchivedExtension>,
    /// Other roles that have privileges in it or are named by policies.
    pub roles: Vec<String>,
    /// Tablespaces that tables or indexes of it are in, beside that of its database.
    #[serde(default)]
    pub tablespaces: Vec<String>,
    /// True if a role of the tenant's own is among those that have privileges.
    pub has_own_role: bool,
    /// The names that stand in strings behind its schema, in the order of their variables in the SQL.
    pub names_in_strings: Vec<String>,
    /// Its sequences, and where they were.
    pub sequences: Vec<ArchivedSequence>,
    /// The materialized views that were filled. One that reads another comes behind it.
    pub materialized_views: Vec<String>,
    /// The files of types that it had before, which it may have again.
    #[serde(default)]
    pub kept_files: Vec<ArchivedKeptFile>,
    /// The tables with rows of their own, numbered from 1 as members are, that of its migrations among them.
    pub tables: Vec<ArchivedTable>,
    /// All other members, in their order.
    pub members: Vec<ArchivedMember>,
}

/// A migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArchivedMigration {
    /// The version.
    pub version: i64,
    /// The SHA-384 of its file, in hexadecimal digits.
    pub checksum: String,
}

/// A file that a tenant had applied while it was of another type. What it made is still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArchivedKeptFile {
    /// The type.
    #[serde(rename = "type")]
    pub type_name: TypeName,
    /// The version.
    pub version: i64,
    /// The description in the name of the file.
    pub description: String,
    /// The time at which it was applied.
    #[serde(with = "time::serde::rfc3339")]
    pub installed_on: OffsetDateTime,
    /// The SHA-384 of the file, in hexadecimal digits.
    pub checksum: String,
    /// The nanoseconds that it took.
    pub execution_time: i64,
}

/// An extension that a tenant needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[non_exhaustive]
pub struct ArchivedExtension {
    /// Its name.
    pub name: String,
    /// The schema it is installed in, which is part of the name of what it holds.
    pub schema: String,
    /// The version it had, for whoever compares.
    pub version: String,
}

/// A sequence, and where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
#[non_exhaustive]
pub struct ArchivedSequence {
    /// Its name.
    pub name: String,
    /// Its last value.
    pub last_value: i64,
    /// True if that was given out.
    pub is_called: bool,
}

/// A table with rows of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArchivedTable {
    /// Its name.
    pub name: String,
    /// The table that its rows are copied into: itself, or the one that it is a partition of.
    pub into: String,
    /// The columns that the rows have values of; none where each row is an empty line.
    pub columns: Vec<String>,
    /// The number of its rows.
    pub rows: u64,
    /// The length of its rows, in all of its members together.
    pub bytes: u64,
    /// The SHA-256 of them.
    pub sha256: Digest,
}

/// A member of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArchivedMember {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

impl Manifest {
    /// The format that this version of the library writes, and the only one that it reads.
    pub const FORMAT: u32 = 1;

    /// The major version of its server.
    pub fn server_major(&self) -> u32 {
        self.server_version / 10_000
    }

    /// The number of rows in it, without those of the table of its migrations.
    pub fn rows(&self) -> u64 {
        self.tables.iter().filter(|table| table.name != crate::registry::LEDGER).map(|table| table.rows).sum()
    }
}
