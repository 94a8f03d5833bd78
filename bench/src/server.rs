//! The PostgreSQL that is measured.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use sqlx::{Connection as _, PgConnection};
use tenantry_embedded::{KeptServer, ScratchDatabase, ScratchServer};

const DATABASE: &str = "bench";

/// A server of our own with one database, gone with its owner.
pub(crate) enum Server {
    /// In memory, where there is enough.
    Fast { server: ScratchServer, database: ScratchDatabase },
    /// On disk, with PostgreSQL's own settings for what a commit waits for.
    Durable(Durable),
}

pub(crate) struct Durable {
    /// Taken when it is stopped.
    server: Option<KeptServer>,
    port: u16,
    url: String,
    superuser_url: String,
    _folder: Folder,
}

struct Folder(PathBuf);

impl Server {
    pub(crate) async fn fast() -> Result<Self> {
        let server = ScratchServer::start().await?;
        let database = server.database(DATABASE).await?;
        Ok(Self::Fast { server, database })
    }

    /// If we are killed, it is left behind.
    pub(crate) async fn durable() -> Result<Self> {
        let folder = Folder::make()?;
        let server = KeptServer::start(&folder.0).await?;
        let (port, url) = (server.port(), server.database(DATABASE).await?);
        let superuser_url = server.superuser_url();
        let superuser_url = superuser_url.strip_suffix("postgres").context("it ends with the database")?;
        let superuser_url = format!("{superuser_url}{DATABASE}");
        Ok(Self::Durable(Durable { server: Some(server), port, url, superuser_url, _folder: folder }))
    }

    /// The database, for the role that owns it.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Fast { database, .. } => database.url(),
            Self::Durable(durable) => &durable.url,
        }
    }

    /// The same database.
    pub(crate) async fn superuser(&self) -> Result<PgConnection> {
        let url = match self {
            Self::Fast { database, .. } => database.superuser_url(),
            Self::Durable(durable) => &durable.superuser_url,
        };
        Ok(PgConnection::connect(url).await?)
    }

    /// A standby of it, and its URL for the role that owns the database.
    pub(crate) async fn standby(&self) -> Result<(ScratchServer, String)> {
        let Self::Fast { server, database } = self else {
            bail!("only a server in memory has a standby here")
        };
        let standby = server.standby().await?;
        let url = standby.url_of(database);
        Ok((standby, url))
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Fast { server, .. } => server.port(),
            Self::Durable(durable) => durable.port,
        }
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        let Some(server) = self.server.take() else { return };
        let runtime = tokio::runtime::Handle::current();
        // Its folder is removed in any case.
        let _ = tokio::task::block_in_place(|| runtime.block_on(server.stop()));
    }
}

impl Folder {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tenantry-bench-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
