//! Hands members to a thread that compresses and writes them.

use std::io::{self, Write};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::archive::{ArchiveWriter, Ending, MemberName, WrittenArchive};
use crate::error::{Error, ErrorKind, Result};

/// The way to a thread that writes an archive. Dropped before its end, it ends the thread, and there is no manifest.
pub(super) struct Pipe {
    members: mpsc::Sender<Sent>,
    thread: JoinHandle<io::Result<Option<WrittenArchive>>>,
}

enum Sent {
    Member(MemberName, Vec<u8>),
    End(Box<Ending>),
}

impl Pipe {
    /// A slow writer makes the reader wait: one member is on its way while another is written.
    pub(super) fn open<W: Write>(
        begin: impl FnOnce() -> io::Result<ArchiveWriter<W>> + Send + 'static,
    ) -> Self {
        let (members, mut received) = mpsc::channel(1);
        let thread = tokio::task::spawn_blocking(move || {
            let mut writer = begin()?;
            loop {
                match received.blocking_recv() {
                    Some(Sent::Member(name, content)) => writer.add(name, &content)?,
                    Some(Sent::End(ending)) => return writer.finish(*ending).map(Some),
                    None => return Ok(None),
                }
            }
        });
        Self { members, thread }
    }

    pub(super) async fn add(&mut self, name: MemberName, content: Vec<u8>) -> Result<()> {
        self.send(Sent::Member(name, content)).await
    }

    /// Adds the end, and waits until all is written.
    pub(super) async fn finish(mut self, ending: Ending) -> Result<WrittenArchive> {
        self.send(Sent::End(Box::new(ending))).await?;
        match (&mut self.thread).await {
            Ok(Ok(Some(written))) => Ok(written),
            Ok(Ok(None)) => Err(cannot(io::Error::other("its writer has ended"))),
            Ok(Err(error)) => Err(cannot(error)),
            Err(panic) => Err(cannot(io::Error::other(panic))),
        }
    }

    async fn send(&mut self, sent: Sent) -> Result<()> {
        if self.members.send(sent).await.is_ok() {
            return Ok(());
        }
        // The thread is gone, and knows why.
        match (&mut self.thread).await {
            Ok(Err(error)) => Err(cannot(error)),
            Ok(Ok(_)) => Err(cannot(io::Error::other("its writer has ended"))),
            Err(panic) => Err(cannot(io::Error::other(panic))),
        }
    }
}

fn cannot(error: io::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the archive cannot be written: {error}")).with_source(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A disk that is full.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_the_writer_fails_with_is_told() {
        let mut pipe = Pipe::open(|| ArchiveWriter::new(Full, 3, 0));
        let mut random = 1_u64;
        let error = loop {
            // What cannot be compressed soon reaches the disk.
            let content: Vec<u8> = std::iter::repeat_with(|| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                random.to_be_bytes()[0]
            })
            .take(200_000)
            .collect();
            if let Err(error) = pipe.add(MemberName::PreData, content).await {
                break error;
            }
        };
        assert!(error.to_string().contains("no space left"), "{error}");
    }
}
