//! The protocol of `proto/notes.proto`: its messages, and a server and a client of its service.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use http::uri::PathAndQuery;
use http::{Request as HttpRequest, Response as HttpResponse};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::Channel;
use tonic::{IntoStreamingRequest, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

const ADD: &str = "/notes.Notes/Add";
const LIST: &str = "/notes.Notes/List";
const IMPORT: &str = "/notes.Notes/Import";

/// A note.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Note {
    /// Its text.
    #[prost(string, tag = "1")]
    pub title: String,
}

/// A note of several. A stream that just ends may be that of a client which went away.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Part {
    /// The text of the note.
    #[prost(string, tag = "1")]
    pub title: String,
    /// No other follows.
    #[prost(bool, tag = "2")]
    pub is_last: bool,
}

/// Nothing.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Empty {}

/// The answer to a call.
pub type Answer<T> = Result<Response<T>, Status>;

/// The service.
pub trait Notes: Send + Sync + 'static {
    /// The notes of an answer.
    type List: Stream<Item = Result<Note, Status>> + Send + 'static;

    /// Makes a note.
    fn add(&self, request: Request<Note>) -> impl Future<Output = Answer<Empty>> + Send;

    /// All notes.
    fn list(&self, request: Request<Empty>) -> impl Future<Output = Answer<Self::List>> + Send;

    /// Makes all of these notes, up to the one that is the last, or none.
    fn import(&self, request: Request<Streaming<Part>>) -> impl Future<Output = Answer<Empty>> + Send;
}

/// A server of the service, for tonic.
#[derive(Debug)]
pub struct NotesServer<N>(Arc<N>);

impl<N> NotesServer<N> {
    /// Serves it.
    pub fn new(notes: N) -> Self {
        Self(Arc::new(notes))
    }
}

impl<N> Clone for NotesServer<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<N> NamedService for NotesServer<N> {
    const NAME: &'static str = "notes.Notes";
}

impl<N: Notes> Service<HttpRequest<Body>> for NotesServer<N> {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let notes = Arc::clone(&self.0);
        match request.uri().path() {
            ADD => Box::pin(async move {
                let add = service_fn(move |request| {
                    let notes = Arc::clone(&notes);
                    async move { notes.add(request).await }
                });
                Ok(Grpc::new(ProstCodec::<Empty, Note>::default()).unary(add, request).await)
            }),
            LIST => Box::pin(async move {
                let list = service_fn(move |request| {
                    let notes = Arc::clone(&notes);
                    async move { notes.list(request).await }
                });
                Ok(Grpc::new(ProstCodec::<Note, Empty>::default()).server_streaming(list, request).await)
            }),
            IMPORT => Box::pin(async move {
                let import = service_fn(move |request| {
                    let notes = Arc::clone(&notes);
                    async move { notes.import(request).await }
                });
                Ok(Grpc::new(ProstCodec::<Empty, Part>::default()).client_streaming(import, request).await)
            }),
            _ => Box::pin(ready(Ok(Status::unimplemented("").into_http()))),
        }
    }
}

/// A client of the service.
#[derive(Clone, Debug)]
pub struct NotesClient(tonic::client::Grpc<Channel>);

impl NotesClient {
    /// A client on a channel.
    pub fn new(channel: Channel) -> Self {
        Self(tonic::client::Grpc::new(channel))
    }

    /// Makes a note.
    ///
    /// # Errors
    /// The status of the call.
    pub async fn add(&mut self, request: Request<Note>) -> Answer<Empty> {
        self.ready().await?;
        self.0.unary(request, PathAndQuery::from_static(ADD), ProstCodec::default()).await
    }

    /// All notes.
    ///
    /// # Errors
    /// The status of the call.
    pub async fn list(&mut self, request: Request<Empty>) -> Answer<Streaming<Note>> {
        self.ready().await?;
        self.0.server_streaming(request, PathAndQuery::from_static(LIST), ProstCodec::default()).await
    }

    /// Makes all of these notes, up to the one that is the last, or none.
    ///
    /// # Errors
    /// The status of the call.
    pub async fn import(&mut self, notes: impl IntoStreamingRequest<Message = Part>) -> Answer<Empty> {
        self.ready().await?;
        let request = notes.into_streaming_request();
        self.0.client_streaming(request, PathAndQuery::from_static(IMPORT), ProstCodec::default()).await
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|error| Status::unavailable(error.to_string()))
    }
}
