//! Turns what the registry knows of a tenant's files into what an archive says of them, and back.

use std::fmt::Write as _;

use super::needs::NeededExtension;
use crate::archive::{ArchivedExtension, ArchivedKeptFile, ArchivedMigration, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::migrate::Applied;
use crate::registry::kept_files::KeptFile;
use crate::tenant::TypeName;

pub(super) fn archived_migration(row: &Applied) -> ArchivedMigration {
    ArchivedMigration { version: row.version, checksum: hex(&row.checksum) }
}

pub(super) fn archived_extension(needed: NeededExtension) -> ArchivedExtension {
    let NeededExtension { name, schema, version } = needed;
    ArchivedExtension { name, schema, version }
}

pub(super) fn needed_extension(archived: &ArchivedExtension) -> NeededExtension {
    let ArchivedExtension { name, schema, version } = archived.clone();
    NeededExtension { name, schema, version }
}

/// # Errors
/// [`ErrorKind::Registry`] if the type cannot be the name of one.
pub(super) fn archived_kept_file(file: KeptFile) -> Result<ArchivedKeptFile> {
    let KeptFile { type_name, version, description, installed_on, checksum, execution_time } = file;
    let type_name = TypeName::parse(&type_name).map_err(|error| {
        let message = "the type of a file in `tenantry.kept_file` cannot be understood";
        Error::new(ErrorKind::Registry, message).with_source(error)
    })?;
    let checksum = hex(&checksum);
    Ok(ArchivedKeptFile { type_name, version, description, installed_on, checksum, execution_time })
}

/// The files of a tenant's former types, as the registry keeps them.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a checksum that is none.
pub(super) fn kept_files(manifest: &Manifest) -> Result<Vec<KeptFile>> {
    let kept = |file: &ArchivedKeptFile| {
        let checksum = from_hex(&file.checksum).ok_or_else(no_checksum)?;
        let ArchivedKeptFile { type_name, version, description, installed_on, execution_time, .. } =
            file.clone();
        let type_name = type_name.to_string();
        Ok(KeptFile { type_name, version, description, installed_on, checksum, execution_time })
    };
    manifest.kept_files.iter().map(kept).collect()
}

/// The files that the tenant had applied, as its ledger would say.
///
/// # Errors
/// Like [`kept_files`].
pub(super) fn applied(manifest: &Manifest) -> Result<Vec<Applied>> {
    let applied = |migration: &ArchivedMigration| {
        let checksum = from_hex(&migration.checksum).ok_or_else(no_checksum)?;
        Ok(Applied { version: migration.version, checksum, success: true })
    };
    manifest.migrations.iter().map(applied).collect()
}

fn no_checksum() -> Error {
    Error::invalid_input("the manifest of the archive has a checksum that is none")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{from_hex, hex};

    #[test]
    fn a_checksum_is_written_and_read() {
        assert_eq!(from_hex("00ff1a"), Some(vec![0, 255, 26]));
        assert_eq!(hex(&[0, 255, 26]), "00ff1a");
        assert_eq!(from_hex(""), Some(Vec::new()));
        for text in ["0", "0g", "é0"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
