//! Counts and hashes what passes through.

use std::io::{self, BufRead, BufReader, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::tenant::Digest;

/// The inside of a reader or a writer, with the number of bytes and the hash of all that passed through.
#[derive(Clone)]
pub(super) struct Digested<T> {
    inner: T,
    bytes: u64,
    hash: Sha256,
}

impl<T> Digested<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, bytes: 0, hash: Sha256::new() }
    }

    /// Counts what passed elsewhere.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// The hash of all that passed so far.
    pub(super) fn so_far(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }

    pub(super) fn end(self) -> (T, u64, Digest) {
        (self.inner, self.bytes, Digest::from_bytes(self.hash.finalize().into()))
    }
}

/// The sum of a table's members.
pub(super) struct TableSum {
    /// Counted from 1.
    pub(super) table: usize,
    rows: u64,
    parts: usize,
    digested: Digested<()>,
}

impl TableSum {
    pub(super) fn new(table: usize) -> Self {
        Self { table, rows: 0, parts: 0, digested: Digested::new(()) }
    }

    /// Adds bytes of a part. The first part is hashed once, as the member that it is.
    #[expect(clippy::naive_bytecount, reason = "their hash costs more")]
    pub(super) fn add(&mut self, bytes: &[u8]) {
        // A row that has been written as text has no other end of a line in it.
        self.rows += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        if self.parts > 0 {
            self.digested.add(bytes);
        }
    }

    pub(super) fn end_part(&mut self, member: &Digested<()>) {
        if self.parts == 0 {
            self.digested = member.clone();
        }
        self.parts += 1;
    }

    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    /// The rows, the bytes and the hash.
    pub(super) fn end(self) -> (u64, u64, Digest) {
        let ((), bytes, sha256) = self.digested.end();
        (self.rows, bytes, sha256)
    }
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.add(&buffer[..read]);
        Ok(read)
    }
}

/// Counts and hashes what is taken, not what is read ahead.
impl<R: Read> BufRead for Digested<BufReader<R>> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        let passed = &self.inner.buffer()[..amount];
        self.bytes += passed.len() as u64;
        self.hash.update(passed);
        self.inner.consume(amount);
    }
}

impl<W: Write> Write for Digested<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.add(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
