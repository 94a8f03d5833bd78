//! Opens connections of sqlx's, in one way to a database.

use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use super::defaults::Defaults;
use super::message::send;
use super::unreachable::unreachable;
use crate::database::{DatabaseConfig, PoolConfig, Route, Way};
use crate::error::{BoxError, Error, Result};
use crate::tenant::Alias;

/// The way to a database, and the settings that a session gets there. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Opener {
    alias: Alias,
    route: Route,
    defaults: Arc<Defaults>,
}

impl Opener {
    /// Opens what the pools of the application open.
    pub(crate) fn of_application(alias: &Alias, config: &DatabaseConfig) -> Self {
        let pool = config.pool_config();
        let capacity = pool.statement_cache_capacity;
        // Behind a pooler only a hook's own statements have names, and only the driver's memory can take
        // them back.
        let capacity = if config.is_behind_pooler() { capacity.max(1) } else { capacity };
        let route = config.application().clone().with_statement_cache(capacity);
        let defaults = Arc::new(Defaults::of_pool(route.application_name(), pool));
        Self { alias: alias.clone(), route, defaults }
    }

    /// Opens sessions of one's own for the owner; `None` without a way past the pooler.
    pub(crate) fn of_owner(alias: &Alias, config: &DatabaseConfig) -> Option<Self> {
        Some(Self::of_sessions(alias, config.owner()?, config.pool_config()))
    }

    /// Opens sessions of one's own for the application's role; `None` without a way past the pooler.
    pub(crate) fn of_direct(alias: &Alias, config: &DatabaseConfig) -> Option<Self> {
        Some(Self::of_sessions(alias, config.direct()?, config.pool_config()))
    }

    /// Opens sessions of one's own, by a way that is configured.
    pub(crate) fn of_way(alias: &Alias, config: &DatabaseConfig, way: Way) -> Option<Self> {
        Some(Self::of_sessions(alias, config.way(way)?, config.pool_config()))
    }

    fn of_sessions(alias: &Alias, route: &Route, config: &PoolConfig) -> Self {
        let defaults = Arc::new(Defaults::of_sessions(route.application_name(), config));
        Self { alias: alias.clone(), route: route.clone(), defaults }
    }

    /// Opens the same, without the limits of time that a shell may set.
    pub(super) fn without_limits(&self) -> Self {
        Self { route: self.route.clone().without_limits(), ..self.clone() }
    }

    /// The name of the database.
    pub(super) fn alias(&self) -> &Alias {
        &self.alias
    }

    #[cfg(feature = "tokio-postgres")]
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    pub(crate) fn defaults(&self) -> &Arc<Defaults> {
        &self.defaults
    }

    /// Opens a connection that sees no table: its `search_path` is the void.
    pub(crate) async fn open(&self) -> Result<PgConnection> {
        let connection = self.connect().await;
        let mut connection = connection.map_err(|error| self.unreachable(error.into()))?;
        self.introduce(&mut connection).await?;
        Ok(connection)
    }

    /// The error of a connection that could not be opened.
    pub(super) fn unreachable(&self, source: BoxError) -> Error {
        unreachable(&self.alias, &self.route, source)
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let connected = PgConnection::connect_with(&self.options()).await;
        match &connected {
            Err(sqlx::Error::Database(refusal))
                if self.defaults.are_options_refused(&refusal.code().unwrap_or_default()) =>
            {
                PgConnection::connect_with(&self.options()).await
            }
            _ => connected,
        }
    }

    /// The options of a connection that needs no settings.
    pub(crate) fn plain_options(&self) -> PgConnectOptions {
        self.route.options().clone()
    }

    /// The options of the next connection.
    pub(super) fn options(&self) -> PgConnectOptions {
        let options = self.route.options().clone();
        match self.defaults.options() {
            Some(defaults) => options.options(defaults),
            None => options,
        }
    }

    /// Makes and confirms the settings of a new session.
    pub(super) async fn introduce(&self, connection: &mut PgConnection) -> Result<()> {
        let Some(message) = self.defaults.first_message() else { return Ok(()) };
        let answer = match send(connection, message).await {
            Err(error) if self.defaults.is_first_message_refused(&error) => {
                send(connection, self.defaults.first_message().unwrap_or_default()).await
            }
            answer => answer,
        };
        self.defaults.confirm(answer?.as_deref())
    }
}
