//! The example answers as its documentation says, and its queries are what PostgreSQL takes them for.
#![allow(clippy::unwrap_used)]

/// Requests to `app()`, without a port.
mod app;
/// The files in `.sqlx/`, compared with what PostgreSQL says of the migrated tables.
mod prepared;

use std::path::Path;

use tenantry::{Config, Tenancy};
use tenantry_embedded::ScratchDatabase;

/// The application on a database of its own, which is gone with the second value.
async fn open() -> (Tenancy, ScratchDatabase) {
    let database = ScratchDatabase::create().await.unwrap();
    let mut config = Config::find(Path::new("/")).unwrap();
    config.set_default_url(database.url().to_owned());
    (checked::open(&config).await.unwrap(), database)
}
