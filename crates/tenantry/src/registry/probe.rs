use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use crate::database::DatabaseConfig;
use crate::error::{Error, ErrorKind, Result};

/// The facts that one database tells of itself, whatever the others do: for a screen that shows them all.
///
/// ```no_run
/// use std::time::Duration;
/// use tenantry::{DatabaseConfig, registry::Probe};
///
/// # async fn example() -> tenantry::Result<()> {
/// let database = DatabaseConfig::from_url("postgres://app@db.internal/notes")?;
/// let probe = Probe::of(&database, Duration::from_secs(5)).await?;
/// println!("PostgreSQL {}, registry: {}", probe.server_version, probe.has_registry);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// The version of the server, `15.14`.
    pub server_version: String,
    /// True if there is a schema `tenantry`, of whatever version.
    pub has_registry: bool,
}

impl Probe {
    /// Opens one connection of the application's role, asks, and closes it.
    ///
    /// # Errors
    /// [`ErrorKind::DatabaseUnavailable`] if there is no answer within `patience`; otherwise what opening a
    /// connection fails with.
    pub async fn of(database: &DatabaseConfig, patience: Duration) -> Result<Self> {
        let late = |_| {
            let message = format!("{} does not answer within {patience:?}", database.address());
            Error::new(ErrorKind::DatabaseUnavailable, message)
                .with_hint("check that the server runs there and that `url` is right")
        };
        Ok(tokio::time::timeout(patience, ask(database)).await.map_err(late)??)
    }
}

/// Reads up to `limit` slugs that begin so, in their order, on one connection of the application's role: for a shell
/// that completes a slug, and cannot wait for pools.
///
/// # Errors
/// If the registry cannot be read.
pub async fn slugs_beginning_with(database: &DatabaseConfig, text: &str, limit: u32) -> Result<Vec<String>> {
    let mut connection = PgConnection::connect_with(database.application().options()).await?;
    let slugs = sqlx::query_scalar(
        "SELECT slug FROM tenantry.tenant WHERE pg_catalog.starts_with(slug, $1)
         ORDER BY slug COLLATE \"C\" LIMIT $2",
    )
    .persistent(false)
    .bind(text.to_ascii_lowercase())
    .bind(i64::from(limit))
    .fetch_all(&mut connection)
    .await?;
    connection.close().await?;
    Ok(slugs)
}

async fn ask(database: &DatabaseConfig) -> Result<Probe, sqlx::Error> {
    let mut connection = PgConnection::connect_with(database.application().options()).await?;
    let (server_version, has_registry) = sqlx::query_as(
        "SELECT pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1),
                EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'tenantry')",
    )
    .persistent(false)
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(Probe { server_version, has_registry })
}
