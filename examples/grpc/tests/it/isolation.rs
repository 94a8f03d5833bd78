use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use grpc::wire::{Answer, Empty, Note, Notes, NotesClient, Part};
use isolation::{Application, Failed, tenants_keep_apart};
use tenantry::http::Resolved;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::{Request, Status, Streaming};

use crate::support::{PanicsIfTold, client, note, part, titles, world, world_of};

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

/// The service, but that it lists to everybody the notes of whoever asked first.
#[derive(Default)]
struct ListsOfFirst(OnceLock<Resolved>);

impl Notes for ListsOfFirst {
    type List = <PanicsIfTold as Notes>::List;

    async fn add(&self, request: Request<Note>) -> Answer<Empty> {
        PanicsIfTold.add(request).await
    }

    async fn list(&self, mut request: Request<Empty>) -> Answer<Self::List> {
        let own = request.extensions_mut().remove::<Resolved>().unwrap();
        request.extensions_mut().insert(self.0.get_or_init(|| own).clone());
        PanicsIfTold.list(request).await
    }

    async fn import(&self, request: Request<Streaming<Part>>) -> Answer<Empty> {
        PanicsIfTold.import(request).await
    }
}

/// The service, but that it commits before it panics.
struct CommitsFirst;

impl Notes for CommitsFirst {
    type List = <PanicsIfTold as Notes>::List;

    async fn add(&self, request: Request<Note>) -> Answer<Empty> {
        let panics = request.get_ref().title.contains("panicked");
        let answer = grpc::Service.add(request).await;
        assert!(!panics, "a handler panics, as it is meant to");
        answer
    }

    async fn list(&self, request: Request<Empty>) -> Answer<Self::List> {
        PanicsIfTold.list(request).await
    }

    async fn import(&self, request: Request<Streaming<Part>>) -> Answer<Empty> {
        PanicsIfTold.import(request).await
    }
}

#[tokio::test]
#[should_panic(expected = "does not see its own note")]
async fn a_service_that_keeps_the_tenant_of_another_call_is_found() {
    let world = world_of(ListsOfFirst::default()).await;
    tenants_keep_apart(&Grpc(world.address)).await;
}

#[tokio::test]
#[should_panic(expected = "sees what nobody committed")]
async fn a_service_that_keeps_what_was_not_committed_is_found() {
    let world = world_of(CommitsFirst).await;
    tenants_keep_apart(&Grpc(world.address)).await;
}
