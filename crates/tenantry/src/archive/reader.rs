//! Reads an archive.

use std::io::{self, BufReader, Cursor, Read};

use super::digested::{Digested, TableSum};
use super::manifest::{ArchivedMember, Manifest};
use super::member::MemberName;
use super::seal;
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::Digest;

/// The largest manifest that is believed.
const LARGEST_MANIFEST: usize = 64 << 20;
/// The window of a frame that is accepted, as a power of two: what a reader needs in memory.
const LARGEST_WINDOW: u32 = 23;
/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;

/// An archive that was read from its beginning to its end, and is as it was written.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Verified {
    /// The contents.
    pub manifest: Manifest,
    /// The length of the file.
    pub bytes: u64,
    /// The SHA-256 of the file, which the audit has from when it was written.
    pub sha256: Digest,
}

/// Reads a whole archive, in constant memory, and compares every member with its manifest.
///
/// Nothing is made, and no database is needed. What was repacked with a manifest that fits is not noticed: compare
/// [`Verified::sha256`] with what you know of the file.
///
/// ```no_run
/// let verified = tenantry::archive::verify(std::fs::File::open("acme.tar.zst")?)?;
/// println!("{} at version {:?}", verified.manifest.slug, verified.manifest.version);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a file that is damaged, cut off, changed, or no archive.
pub fn verify(from: impl Read) -> Result<Verified> {
    read(from, |_, _| Ok(()))
}

/// Does what [`verify`] does, and hands out the members but the manifest, in pieces, as they come: before anybody knows
/// that they are right.
pub(crate) fn read(from: impl Read, visit: impl FnMut(MemberName, &[u8]) -> Result<()>) -> Result<Verified> {
    let mut from = Digested::new(BufReader::new(from));
    let head = read_head(&mut from)?;
    let zstd = zstd::Decoder::with_buffer(Cursor::new(head).chain(from));
    let mut zstd = zstd.map_err(damaged)?.single_frame();
    zstd.window_log_max(LARGEST_WINDOW).map_err(damaged)?;
    let mut members = Members { visit, read: Vec::new(), tables: Vec::new(), last: None };
    let manifest = members.read_all(&mut zstd)?;
    read_end(&mut zstd)?;
    let (_, mut from) = zstd.finish().into_inner();
    // A second frame would be read by other programs.
    let hash = from.so_far();
    if !seal::read(&mut from, hash).map_err(damaged)? {
        return Err(refused("it does not end as it was written"));
    }
    let (_, bytes, sha256) = from.end();
    members.compare(&manifest)?;
    Ok(Verified { manifest, bytes, sha256 })
}

/// Reads the beginning of a frame of zstd that has a checksum, and nothing in it that readers would pass over.
fn read_head(from: &mut impl Read) -> Result<[u8; 5]> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    /// The bits of what follows: a checksum there is; a dictionary, and two bits without a meaning, there are not.
    const BITS: (u8, u8) = (0b0001_1111, 0b0000_0100);

    let mut head = [0; 5];
    from.read_exact(&mut head).map_err(damaged)?;
    if head[..4] != MAGIC {
        return Err(refused("it is no archive"));
    }
    if head[4] & BITS.0 != BITS.1 {
        return Err(refused("it has no checksum"));
    }
    Ok(head)
}

/// Reads the frame to its end, where its checksum is. There is nothing in it but zeros.
fn read_end(zstd: &mut impl Read) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match zstd.read(&mut buffer).map_err(damaged)? {
            0 => return Ok(()),
            read if buffer[..read].iter().all(|byte| *byte == 0) => {}
            _ => return Err(refused("there is something behind its last member")),
        }
    }
}

/// The members that were read.
struct Members<V> {
    visit: V,
    read: Vec<ArchivedMember>,
    /// Sums of the tables that have rows.
    tables: Vec<TableSum>,
    last: Option<MemberName>,
}

impl<V: FnMut(MemberName, &[u8]) -> Result<()>> Members<V> {
    fn read_all(&mut self, zstd: &mut impl Read) -> Result<Manifest> {
        let mut archive = tar::Archive::new(zstd);
        let mut manifest = None;
        // Raw, so that nothing is unfolded: a long name or a hole would be a member of its own kind.
        for entry in archive.entries().map_err(damaged)?.raw(true) {
            let mut entry = entry.map_err(damaged)?;
            let name = self.name_of(entry.header())?;
            self.last = Some(name);
            if name == MemberName::Manifest {
                manifest = Some(read_manifest(&mut entry)?);
            } else {
                self.read_member(name, &mut entry)?;
            }
        }
        manifest.ok_or_else(|| refused("it has no manifest, so it was cut off"))
    }

    fn name_of(&self, header: &tar::Header) -> Result<MemberName> {
        let path = header.path_bytes();
        let path = String::from_utf8_lossy(&path);
        if header.as_ustar().is_none() || header.entry_type() != tar::EntryType::Regular {
            return Err(refused(format!("`{}` is no plain file", path.escape_debug())));
        }
        match MemberName::parse(&path) {
            Some(name) if name.follows(self.last) => Ok(name),
            Some(name) => Err(refused(format!("`{name}` is not in its place"))),
            None => Err(refused(format!("nothing in it is called `{}`", path.escape_debug()))),
        }
    }

    fn read_member(&mut self, name: MemberName, entry: &mut tar::Entry<'_, impl Read>) -> Result<()> {
        let size = entry.header().entry_size().map_err(damaged)?;
        let mut digested = Digested::new(());
        if let MemberName::Rows { table, .. } = name
            && self.tables.last().is_none_or(|last| last.table != table)
        {
            self.tables.push(TableSum::new(table));
        }
        let mut sum = self.tables.last_mut().filter(|_| matches!(name, MemberName::Rows { .. }));
        let mut buffer = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK)).max(1)];
        loop {
            let read = entry.read(&mut buffer).map_err(damaged)?;
            let chunk = &buffer[..read];
            if read == 0 {
                break;
            }
            digested.add(chunk);
            if let Some(sum) = &mut sum {
                sum.add(chunk);
            }
            (self.visit)(name, chunk)?;
        }
        if let Some(sum) = sum {
            sum.end_part(&digested);
        }
        let ((), bytes, sha256) = digested.end();
        if bytes != size {
            return Err(refused(format!("`{name}` is cut off")));
        }
        self.read.push(ArchivedMember { name: name.to_string(), bytes, sha256 });
        Ok(())
    }

    fn compare(self, manifest: &Manifest) -> Result<()> {
        let differs = |name: &str| refused(format!("`{name}` is not what its manifest says"));
        for (index, member) in self.read.iter().enumerate() {
            if manifest.members.get(index) != Some(member) {
                return Err(differs(&member.name));
            }
        }
        if let Some(member) = manifest.members.get(self.read.len()) {
            return Err(refused(format!("`{}` is missing", member.name)));
        }
        let mut sums = self.tables.into_iter().peekable();
        for (index, table) in manifest.tables.iter().enumerate() {
            let number = index + 1;
            let sum = sums.next_if(|sum| sum.table == number).unwrap_or_else(|| TableSum::new(number));
            if sum.end() != (table.rows, table.bytes, table.sha256) {
                let message = format!("the rows of table `{}` are not what its manifest says", table.name);
                return Err(refused(message));
            }
        }
        match sums.next() {
            None => Ok(()),
            Some(sum) => Err(refused(format!("its manifest has no table {}", sum.table))),
        }
    }
}

fn read_manifest(entry: &mut impl Read) -> Result<Manifest> {
    /// The part that every format has.
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }

    let mut json = Vec::new();
    entry.take(LARGEST_MANIFEST as u64 + 1).read_to_end(&mut json).map_err(damaged)?;
    if json.len() > LARGEST_MANIFEST {
        return Err(refused("its manifest is too large"));
    }
    let unreadable = |error: serde_json::Error| refused("its manifest cannot be read").with_source(error);
    let Format { format } = serde_json::from_slice(&json).map_err(unreadable)?;
    if format != Manifest::FORMAT {
        let message =
            format!("its format is {format}, and this version of Tenantry reads {}", Manifest::FORMAT);
        return Err(
            refused(message).with_hint("use the version of Tenantry that has written it, or a newer one")
        );
    }
    serde_json::from_slice(&json).map_err(unreadable)
}

fn refused(reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the archive cannot be used: {reason}"))
        .with_hint("take another copy of the file")
}

fn damaged(error: io::Error) -> Error {
    refused("it is damaged or cut off").with_source(error)
}

#[cfg(test)]
mod tests;
