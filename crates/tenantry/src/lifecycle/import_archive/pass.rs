//! Reads an archive once, on a thread, while what is read is imported.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::open::{OpenArchive, unreadable};
use crate::archive::{MemberName, Verified, read};
use crate::error::{Error, ErrorKind, Result};

/// The length of a text in an archive that is held in memory.
const LARGEST_TEXT: usize = 64 << 20;

type Piece = (MemberName, Vec<u8>);

/// The members of an archive, piece by piece. Only its end tells that they were right.
pub(super) struct Pass {
    pieces: mpsc::Receiver<Piece>,
    ahead: Option<Piece>,
    thread: Option<JoinHandle<Result<Verified>>>,
    end: Option<Verified>,
}

impl Pass {
    pub(super) fn open(open: &OpenArchive) -> Self {
        let open = Arc::clone(open);
        let (send, pieces) = mpsc::channel::<Piece>(4);
        let thread = tokio::task::spawn_blocking(move || {
            read(open().map_err(unreadable)?, |name, bytes| {
                send.blocking_send((name, bytes.to_vec()))
                    .map_err(|_| Error::new(ErrorKind::Conflict, "nobody reads the archive any more"))
            })
        });
        Self { pieces, ahead: None, thread: Some(thread), end: None }
    }

    /// The member that the next piece is of; `None` at the end.
    ///
    /// # Errors
    /// If what was read so far is not as it was written.
    pub(super) async fn peek(&mut self) -> Result<Option<MemberName>> {
        if self.ahead.is_none() {
            self.ahead = self.pieces.recv().await;
        }
        if self.ahead.is_none()
            && let Some(thread) = self.thread.take()
        {
            self.end =
                Some(thread.await.unwrap_or_else(|panic| Err(unreadable(std::io::Error::other(panic))))?);
        }
        Ok(self.ahead.as_ref().map(|(name, _)| *name))
    }

    /// The piece that was looked at.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.ahead.take().map(|(_, bytes)| bytes).unwrap_or_default()
    }

    /// The whole of a text, which may be empty.
    pub(super) async fn text(&mut self, name: MemberName) -> Result<String> {
        let mut text = Vec::new();
        while self.peek().await? == Some(name) {
            text.append(&mut self.take());
            if text.len() > LARGEST_TEXT {
                return Err(Error::invalid_input(format!("`{name}` of the archive is too large")));
            }
        }
        String::from_utf8(text).map_err(|error| {
            Error::invalid_input(format!("`{name}` of the archive is no text")).with_source(error)
        })
    }

    /// Passes over the rest, and compares the file with what was read before.
    pub(super) async fn finish(mut self, before: &Verified) -> Result<()> {
        while self.peek().await?.is_some() {
            self.take();
        }
        if self.end.is_some_and(|end| end.sha256 == before.sha256) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "the archive was changed while it was imported")
            .with_hint("try again, with a file that nobody writes to"))
    }
}
