//! Writes an archive.

use std::io::{self, Write};

use super::digested::{Digested, TableSum};
use super::manifest::{ArchivedMember, Manifest};
use super::member::MemberName;
use super::restore::restore_sql;
use super::seal;
use crate::tenant::{Digest, SchemaName};

/// The length of a member with rows, which only one row may exceed. Whoever writes an archive has a few of them in
/// memory.
pub(crate) const LARGEST_MEMBER: usize = 4 << 20;

/// An archive that is being written.
pub(crate) struct ArchiveWriter<W: Write> {
    tar: tar::Builder<zstd::Encoder<'static, Digested<W>>>,
    /// The time that the members bear.
    seconds: u64,
    members: Vec<ArchivedMember>,
    tables: Vec<TableSum>,
}

/// The end of an archive, but for what its writer knows itself.
pub(crate) struct Ending {
    /// Without members, and without sums of the tables.
    pub(crate) manifest: Manifest,
    /// The statement that makes the table of the migrations.
    pub(crate) ledger: String,
    /// Schemas that the path leads to, too.
    pub(crate) extensions: Vec<SchemaName>,
}

/// An archive that was written.
pub(crate) struct WrittenArchive {
    pub(crate) manifest: Manifest,
    /// The length of the file.
    pub(crate) bytes: u64,
    pub(crate) sha256: Digest,
}

impl<W: Write> ArchiveWriter<W> {
    pub(crate) fn new(to: W, level: i32, seconds: u64) -> io::Result<Self> {
        let mut zstd = zstd::Encoder::new(Digested::new(to), level)?;
        zstd.include_checksum(true)?;
        Ok(Self { tar: tar::Builder::new(zstd), seconds, members: Vec::new(), tables: Vec::new() })
    }

    pub(crate) fn add(&mut self, name: MemberName, content: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name.to_string())?;
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.seconds);
        header.set_cksum();
        self.tar.append(&header, content)?;
        let mut digested = Digested::new(());
        digested.add(content);
        if let MemberName::Rows { table, .. } = name {
            self.add_rows(table, content, &digested);
        }
        let ((), bytes, sha256) = digested.end();
        self.members.push(ArchivedMember { name: name.to_string(), bytes, sha256 });
        Ok(())
    }

    fn add_rows(&mut self, table: usize, content: &[u8], digested: &Digested<()>) {
        if self.tables.last().is_none_or(|last| last.table != table) {
            self.tables.push(TableSum::new(table));
        }
        if let Some(sum) = self.tables.last_mut() {
            sum.add(content);
            sum.end_part(digested);
        }
    }

    /// Adds what restores the archive, and its manifest.
    pub(crate) fn finish(mut self, ending: Ending) -> io::Result<WrittenArchive> {
        let Ending { mut manifest, ledger, extensions } = ending;
        let mut sums = std::mem::take(&mut self.tables).into_iter().peekable();
        let mut parts = Vec::new();
        for (index, table) in manifest.tables.iter_mut().enumerate() {
            let number = index + 1;
            let sum = sums.next_if(|sum| sum.table == number).unwrap_or_else(|| TableSum::new(number));
            parts.push(sum.parts());
            (table.rows, table.bytes, table.sha256) = sum.end();
        }
        let restore = restore_sql(&manifest, &parts, &ledger, &extensions);
        self.add(MemberName::Restore, restore.as_bytes())?;
        manifest.members = std::mem::take(&mut self.members);
        let mut json = serde_json::to_vec_pretty(&manifest)?;
        json.push(b'\n');
        self.add(MemberName::Manifest, &json)?;
        let mut to = self.tar.into_inner()?.finish()?;
        seal::write(&mut to)?;
        to.flush()?;
        let (_, bytes, sha256) = to.end();
        Ok(WrittenArchive { manifest, bytes, sha256 })
    }
}
