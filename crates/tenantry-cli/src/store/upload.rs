//! Writes an archive into a store: in parts, and there when it is whole.
use std::io::{self, Write};

use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt as _, WriteMultipart};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::objects::Store;
use crate::failure::Failure;

/// The size of a part. S3 takes 10,000 of one file, so an archive may have 80 GB.
const PART: usize = 8 << 20;
/// Parts of one archive that are on their way at a time.
const AT_A_TIME: usize = 2;
/// Pieces that wait for a part to be full.
const WAITING: usize = 4;

/// An archive on its way. Whoever has it completes it or gives it up.
pub(crate) struct Upload {
    store: Store,
    file: ObjectPath,
    task: JoinHandle<(WriteMultipart, object_store::Result<u64>)>,
}

/// The end of it that a thread writes to. Dropping it says that nothing follows.
pub(crate) struct UploadWriter(mpsc::Sender<Vec<u8>>);

impl Upload {
    /// Begins a file. Nothing is there under its name yet.
    pub(crate) async fn begin(store: &Store, file: ObjectPath) -> anyhow::Result<(Self, UploadWriter)> {
        let upload = store.objects.put_multipart(&file).await;
        let upload = upload.map_err(|error| store.failure("written", &file, &error))?;
        let (pieces, received) = mpsc::channel(WAITING);
        let parts = WriteMultipart::new_with_chunk_size(upload, PART);
        let task = tokio::spawn(send_parts(parts, received));
        Ok((Self { store: store.clone(), file, task }, UploadWriter(pieces)))
    }

    /// Puts the file under its name, once the writer is gone and so many bytes have come. Where that fails, nothing is
    /// left.
    pub(crate) async fn complete(self, bytes: u64) -> anyhow::Result<()> {
        let (parts, sent) = self.task.await?;
        let failed = match sent {
            Ok(sent) if sent == bytes => match parts.finish().await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            },
            Ok(sent) => {
                let _ = parts.abort().await;
                let message =
                    format!("`{}`: {sent} of {bytes} bytes have come", self.store.shown(&self.file));
                return Err(Failure::new("store", message).into());
            }
            Err(error) => {
                let _ = parts.abort().await;
                error
            }
        };
        Err(self.store.failure("written", &self.file, &failed))
    }

    /// Gives it up. Nothing is left, unless the store is away; then its own rules see to parts without an end. The
    /// answer is why it could not be written, if that was the reason.
    pub(crate) async fn abort(self) -> Option<anyhow::Error> {
        let (parts, sent) = self.task.await.ok()?;
        let _ = parts.abort().await;
        sent.err().map(|error| self.store.failure("written", &self.file, &error))
    }
}

/// Passes on what is written, no faster than the store takes it. After a failure the writer finds nobody there.
async fn send_parts(
    mut parts: WriteMultipart,
    mut received: mpsc::Receiver<Vec<u8>>,
) -> (WriteMultipart, object_store::Result<u64>) {
    let mut sent = 0;
    while let Some(piece) = received.recv().await {
        if let Err(error) = parts.wait_for_capacity(AT_A_TIME).await {
            return (parts, Err(error));
        }
        parts.write(&piece);
        sent += piece.len() as u64;
    }
    (parts, Ok(sent))
}

impl Write for UploadWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(bytes.to_vec());
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the store takes no more"))?;
        Ok(bytes.len())
    }

    /// Each piece is on its way already.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
