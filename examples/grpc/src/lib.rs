//! The application: [`open`] prepares the database, [`Service`] answers calls.

pub mod wire;

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use tenantry::http::grpc;
use tenantry::resolve::Subdomain;
use tenantry::{DatabaseConfig, ErrorKind, Fleet, Migrations, NewTenant, Tenancy, TenantDb};
use tonic::{Request, Response, Status, Streaming};

use self::wire::{Answer, Empty, Note, Notes, Part};

/// Connects, brings all schemas up to date, and makes the first two tenants, at subdomains of `base`.
///
/// # Errors
/// If the database cannot be reached, or a migration fails.
pub async fn open(database: DatabaseConfig, base: &str) -> anyhow::Result<Tenancy> {
    let tenancy = Tenancy::builder()
        .database(database)
        .migrations(Migrations::from_migrators(
            sqlx::migrate!("migrations/master"),
            sqlx::migrate!("migrations/tenant"),
        )?)
        .resolver(Subdomain::of(base)?)
        .install(true)
        .connect()
        .await?;
    tenancy.migrate(Fleet::all(), ()).await?;
    for slug in ["acme", "globex"] {
        match tenancy.create(NewTenant::new(slug)).await {
            // Made by an earlier start.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => drop(created?),
        }
    }
    Ok(tenancy)
}

/// The notes of whoever a call is for.
#[derive(Clone, Copy, Debug)]
pub struct Service;

impl Notes for Service {
    type List = Pin<Box<dyn Stream<Item = Result<Note, Status>> + Send>>;

    async fn add(&self, request: Request<Note>) -> Answer<Empty> {
        let db: TenantDb = grpc::extract(&request).await?;
        insert(&db, &request.into_inner().title).await?;
        Ok(Response::new(Empty {}))
    }

    async fn list(&self, request: Request<Empty>) -> Answer<Self::List> {
        let db: TenantDb = grpc::extract(&request).await?;
        // Rows are sent as they arrive, and the stream keeps its connection until it ends.
        let titles = db.fetch_owned::<(String,)>(sqlx::query("SELECT title FROM note ORDER BY id"));
        let notes = titles.map_ok(|(title,)| Note { title });
        Ok(Response::new(notes.map_err(|error| tenantry::Error::from(error).into()).boxed()))
    }

    async fn import(&self, request: Request<Streaming<Part>>) -> Answer<Empty> {
        let db: TenantDb = grpc::extract(&request).await?;
        let mut parts = request.into_inner();
        let mut tx = db.begin().await.map_err(tenantry::Error::from)?;
        // To tonic, the stream of a client that went away, or was too late, has ended like any other.
        while let Some(part) = parts.message().await? {
            let insert = sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(part.title);
            insert.execute(&mut *tx).await.map_err(tenantry::Error::from)?;
            if part.is_last {
                tx.commit().await.map_err(tenantry::Error::from)?;
                return Ok(Response::new(Empty {}));
            }
        }
        Err(Status::cancelled("the stream ended before its last note"))
    }
}

async fn insert(db: &TenantDb, title: &str) -> tenantry::Result<()> {
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(db).await?;
    Ok(())
}
