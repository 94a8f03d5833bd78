//! The end of the file: a frame that every reader of zstd skips, with the SHA-256 of all that is before it.
//!
//! The checksum in the frame is one of the contents, and some bits of a frame do not reach them.

use std::io::{self, Read, Write};

use super::digested::Digested;
use crate::tenant::Digest;

/// A skippable frame of 32 bytes.
const HEAD: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];

pub(super) fn write<W: Write>(to: &mut Digested<W>) -> io::Result<()> {
    let hash = to.so_far();
    to.write_all(&HEAD)?;
    to.write_all(hash.as_bytes())
}

/// Reads the seal, and compares it with the hash of what is before it. Nothing is behind it.
pub(super) fn read(from: &mut impl Read, hash: Digest) -> io::Result<bool> {
    let mut seal = [0; 40];
    from.read_exact(&mut seal)?;
    Ok(seal[..8] == HEAD && seal[8..] == hash.as_bytes()[..] && from.read(&mut [0])? == 0)
}
