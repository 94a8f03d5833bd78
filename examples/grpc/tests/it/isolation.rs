use std::net::SocketAddr;
use std::time::Duration;

use grpc::wire::NotesClient;
use isolation::{Application, Failed, tenants_keep_apart};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::{Request, Status};

use crate::support::{client, note, part, titles, world};

/// The example, as its clients see it.
#[derive(Clone, Copy)]
struct Grpc(SocketAddr);

fn failed(status: Status) -> Failed {
    Failed { status: u16::try_from(i32::from(status.code())).ok(), text: status.message().to_owned() }
}

impl Grpc {
    async fn client(self, host: &str) -> NotesClient {
        client(self.0, host).await
    }
}

impl Application for Grpc {
    async fn list(&self, host: &str) -> Result<Vec<String>, Failed> {
        titles(&mut self.client(host).await).await.map_err(failed)
    }

    async fn add(&self, host: &str, title: &str) -> Result<(), Failed> {
        self.client(host).await.add(Request::new(note(title))).await.map(drop).map_err(failed)
    }

    /// Begins a stream of notes and goes away in the middle of it.
    async fn leave(&self, host: &str, title: &str) {
        let endless = tokio_stream::once(part(title, false)).chain(tokio_stream::pending());
        let mut client = self.client(host).await;
        let import = timeout(Duration::from_millis(150), client.import(endless));
        assert!(import.await.is_err(), "nobody answers before the stream has ended");
    }

    async fn panic(&self, host: &str, title: &str) {
        let answer = self.client(host).await.add(Request::new(note(title))).await;
        assert!(answer.is_err(), "a handler that panics has no answer");
    }
}

#[tokio::test]
async fn tonic_keeps_tenants_apart() {
    let world = world().await;
    tenants_keep_apart(&Grpc(world.address)).await;
}
