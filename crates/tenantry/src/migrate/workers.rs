//! The connections of those who work on schemas.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::error::Result;
use crate::pool::{Databases, KeptConnections};
use crate::tenant::Alias;

/// One connection for each who works at this moment, kept for the next one.
///
/// No more are open than work or have worked at the same time in one database.
pub(super) struct Workers<'a> {
    databases: &'a Databases,
    kept: BTreeMap<&'a Alias, KeptConnections>,
}

impl<'a> Workers<'a> {
    pub(super) fn of(databases: &'a Databases) -> Self {
        let kept = databases.aliases().map(|alias| (alias, KeptConnections::for_a_run()));
        Self { databases, kept: kept.collect() }
    }

    /// Works on a connection that may create and alter schemas. It is kept if the work succeeds.
    pub(super) async fn with<T>(
        &self,
        alias: &Alias,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
    ) -> Result<T> {
        let open = async || self.databases.owner_connection(alias).await;
        match self.kept.get(alias) {
            Some(kept) => kept.with(open, work).await,
            // Opening it says what is wrong with the alias.
            None => work(&mut open().await?).await,
        }
    }

    /// The same in the database of the registry.
    pub(super) async fn in_registry<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
    ) -> Result<T> {
        self.with(&Alias::default(), work).await
    }
}
