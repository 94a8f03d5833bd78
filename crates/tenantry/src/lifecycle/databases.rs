//! Closes a database to new tenants, opens it again, and tells of all databases.
//!
//! Whether a database is closed is a row of the registry, which every way of making a tenant asks in the statement that
//! enters it. So all processes keep to it from the moment of the commit.

use sqlx::PgConnection;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::provision::{database_rows, measure};
use crate::registry::{Closed, databases};
use crate::tenant::Alias;

/// A database, and the tenants it holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DatabaseState {
    /// Its name.
    pub alias: Alias,
    /// Its address, without any secret.
    pub address: String,
    /// The tenants that live there, in whatever status.
    pub tenants: u64,
    /// Its size on disk, now or, where it does not answer, when it was last measured.
    pub bytes: Option<u64>,
    /// Set if it was closed to new tenants by a command.
    pub closed: Option<Closed>,
    /// True if the configuration closes it to new tenants.
    pub is_closed_by_configuration: bool,
    /// The reason why it does not answer, if it does not.
    pub error: Option<Error>,
}

impl DatabaseState {
    /// Returns true if it takes no new tenants.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some() || self.is_closed_by_configuration
    }
}

/// Closes a database to new tenants. Undone by [`open_database`].
pub(crate) async fn close_database(context: &Context, alias: &Alias) -> Result<bool> {
    context.databases.config(alias)?;
    let close =
        async |registry: &mut PgConnection| databases::close(registry, alias, &context.operator).await;
    context.databases.with_registry(close).await
}

/// Opens a database to new tenants. Undone by [`close_database`].
pub(crate) async fn open_database(context: &Context, alias: &Alias) -> Result<bool> {
    context.databases.config(alias)?;
    let open = async |registry: &mut PgConnection| databases::open(registry, alias).await;
    context.databases.with_registry(open).await
}

/// Tells of every database, counted and measured now.
pub(crate) async fn databases(context: &Context) -> Result<Vec<DatabaseState>> {
    let aliases: Vec<_> = context.databases.aliases().cloned().collect();
    measure(context.databases.clone(), aliases.clone()).await?;
    let read = async |registry: &mut PgConnection| {
        databases::count(registry, &aliases.iter().collect::<Vec<_>>()).await?;
        database_rows(context, registry).await
    };
    let rows = context.databases.with_registry(read).await?;
    let mut away = context.databases.away().all();
    let mut states = Vec::new();
    for row in rows {
        let config = context.databases.config(&row.alias)?;
        states.push(DatabaseState {
            address: config.address(),
            tenants: row.tenants,
            bytes: row.size.map(|(bytes, _)| bytes),
            closed: row.closed,
            is_closed_by_configuration: config.is_closed(),
            error: away.remove(&row.alias),
            alias: row.alias,
        });
    }
    Ok(states)
}
