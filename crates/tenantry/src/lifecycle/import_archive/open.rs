//! Opens an archive, as often as it is read.

use std::io::{self, Read};
use std::sync::Arc;

use crate::archive::{Verified, verify};
use crate::error::{Error, ErrorKind, Result};

/// Opens the archive, each time from its beginning.
pub(crate) type OpenArchive = Arc<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// Reads all of it on a thread that may wait for a disk.
pub(super) async fn verified(open: &OpenArchive) -> Result<Verified> {
    let open = Arc::clone(open);
    let read = tokio::task::spawn_blocking(move || verify(open().map_err(unreadable)?));
    read.await.unwrap_or_else(|panic| Err(unreadable(io::Error::other(panic))))
}

pub(super) fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the archive cannot be read: {error}")).with_source(error)
}
