use std::net::SocketAddr;
use std::time::Duration;

use grpc::wire::{Answer, Empty, Note, Notes, NotesClient, NotesServer, Part};
use isolation::CONNECTIONS;
use tenantry::http::{BYPASS, BypassKey};
use tenantry::{DatabaseConfig, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::ScratchDatabase;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Streaming};

/// The longest that a call may take.
const PATIENCE: Duration = Duration::from_secs(8);

pub(crate) struct World {
    pub(crate) tenancy: Tenancy,
    pub(crate) address: SocketAddr,
    pub(crate) key: BypassKey,
    _database: ScratchDatabase,
}

/// Serves the example at a port.
pub(crate) async fn world() -> World {
    world_of(PanicsIfTold).await
}

/// Serves its tenants at a port, by this service.
pub(crate) async fn world_of(service: impl Notes) -> World {
    let database = ScratchDatabase::create().await.unwrap();
    let pool = PoolConfig { max_connections: CONNECTIONS, ..PoolConfig::default() };
    let config = DatabaseConfig::from_url(database.url()).unwrap().pool(pool);
    let tenancy = grpc::open(config, "example.com").await.unwrap();
    let key = BypassKey::new("correct horse battery staple, and more").unwrap();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder()
        .layer(tenancy.layer().bypass(key.clone()))
        .add_service(NotesServer::new(service))
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    World { tenancy, address, key, _database: database }
}

impl World {
    /// A client of a tenant, on a connection of its own.
    pub(crate) async fn client(&self, authority: &str) -> NotesClient {
        client(self.address, authority).await
    }

    pub(crate) async fn db(&self, slug: &str) -> TenantDb {
        self.tenancy.db(&self.tenancy.tenant(slug).await.unwrap()).unwrap()
    }
}

pub(crate) async fn client(address: SocketAddr, authority: &str) -> NotesClient {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let endpoint = endpoint.origin(format!("http://{authority}").parse().unwrap()).timeout(PATIENCE);
    NotesClient::new(endpoint.connect().await.unwrap())
}

/// All titles of an answer.
pub(crate) async fn titles(client: &mut NotesClient) -> Result<Vec<String>, tonic::Status> {
    let mut notes = client.list(Request::new(Empty {})).await?.into_inner();
    let mut titles = Vec::new();
    while let Some(note) = notes.message().await? {
        titles.push(note.title);
    }
    Ok(titles)
}

pub(crate) fn note(title: &str) -> Note {
    Note { title: title.to_owned() }
}

pub(crate) fn part(title: &str, is_last: bool) -> Part {
    Part { title: title.to_owned(), is_last }
}

/// A call that carries a bypass.
pub(crate) fn with_bypass(bypass: &str) -> Request<Empty> {
    let mut request = Request::new(Empty {});
    request.metadata_mut().insert(BYPASS, bypass.parse().unwrap());
    request
}

/// The service of the example, with a note that makes its handler panic in the middle of a transaction.
pub(crate) struct PanicsIfTold;

impl Notes for PanicsIfTold {
    type List = <grpc::Service as Notes>::List;

    async fn add(&self, request: Request<Note>) -> Answer<Empty> {
        if !request.get_ref().title.contains("panicked") {
            return grpc::Service.add(request).await;
        }
        let db: TenantDb = tenantry::http::grpc::extract(&request).await?;
        let mut tx = db.begin().await.unwrap();
        let insert = sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(&request.get_ref().title);
        insert.execute(&mut *tx).await.unwrap();
        panic!("a handler panics, as it is meant to")
    }

    async fn list(&self, request: Request<Empty>) -> Answer<Self::List> {
        grpc::Service.list(request).await
    }

    async fn import(&self, request: Request<Streaming<Part>>) -> Answer<Empty> {
        grpc::Service.import(request).await
    }
}
