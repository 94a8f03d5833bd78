//! Reads a file of a store from a thread.
use std::io::{self, Read};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path as ObjectPath;
use tokio::sync::mpsc;

use super::objects::Store;
use super::place::Place;
use crate::failure::Failure;

/// Pieces that wait to be read.
const WAITING: usize = 4;

/// A file that comes piece by piece. Only a thread that may wait can read it.
pub(crate) struct Download {
    pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    read: usize,
}

impl Download {
    /// Begins to read a file.
    pub(crate) async fn begin(store: &Store, file: &ObjectPath) -> anyhow::Result<Self> {
        let got = store.objects.get(file).await;
        let mut stream = got.map_err(|error| store.failure("read", file, &error))?.into_stream();
        let (sender, pieces) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            while let Some(piece) = stream.next().await {
                // Where nobody reads any more, the rest is not asked for.
                if sender.send(piece.map(|it| it.to_vec()).map_err(io::Error::other)).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self { pieces, piece: Vec::new(), read: 0 })
    }
}

/// Opens a file, or an object of a bucket, to be read by a thread that may wait.
pub(crate) async fn open_file(place: &Place) -> anyhow::Result<Box<dyn Read + Send>> {
    if let Place::Folder(file) = place {
        let open = std::fs::File::open(file);
        return Ok(Box::new(open.with_context(|| format!("`{place}` cannot be read"))?));
    }
    let Some((store, name)) = place.split_file() else {
        return Err(Failure::usage(format!("`{place}` names no file")).into());
    };
    let store = Store::open(&store)?;
    Ok(Box::new(Download::begin(&store, &store.file(&name)).await?))
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.read == self.piece.len() {
            match self.pieces.blocking_recv() {
                Some(piece) => (self.piece, self.read) = (piece?, 0),
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.piece.len() - self.read);
        into[..count].copy_from_slice(&self.piece[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}
