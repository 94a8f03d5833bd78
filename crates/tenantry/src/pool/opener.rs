//! Opens connections of sqlx's, in one way to a database.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};

use super::defaults::Defaults;
use super::message::send;
use super::unreachable::unreachable;
use crate::database::{DatabaseConfig, PoolConfig, Route, Wanted, Way};
use crate::error::{BoxError, Error, Result, sqlstate};
use crate::guard::{Guard, stands};
use crate::tenant::{Alias, Node};

/// The longest that the only host may take until a session can be used. A checkout has less patience.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that the connection of a listener may take.
const LISTENER_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to a database, and the settings that a session gets there. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Opener {
    alias: Alias,
    route: Route,
    defaults: Arc<Defaults>,
    /// The host to begin with: the last that did, until it turned out to be a standby.
    turn: Arc<AtomicUsize>,
    /// The longest that one host may take.
    patience: Duration,
    /// It may be led to the nodes of a cluster.
    routes: bool,
}

impl Opener {
    /// Opens what the pools of the application open.
    pub(crate) fn of_application(alias: &Alias, config: &DatabaseConfig) -> Self {
        let routes = config.routes_to_workers();
        Self { routes, ..Self::of_pool(alias, config.application(), config) }
    }

    /// Opens the same at a node of the cluster; `None` unless statements are to go there.
    pub(crate) fn to_node(&self, node: &Node) -> Option<Self> {
        if !self.routes {
            return None;
        }
        let (route, turn) = (self.route.to_node(node), Arc::default());
        let patience = route.connect_timeout().unwrap_or(CONNECT_TIMEOUT);
        Some(Self { route, turn, patience, routes: false, ..self.clone() })
    }

    /// Opens what the pool of a replica opens.
    pub(crate) fn of_replica(alias: &Alias, route: &Route, config: &DatabaseConfig) -> Self {
        Self::of_pool(alias, route, config)
    }

    fn of_pool(alias: &Alias, route: &Route, config: &DatabaseConfig) -> Self {
        let pool = config.pool_config();
        let capacity = pool.statement_cache_capacity;
        // Behind a pooler only a hook's own statements have names, and only the driver's memory can take
        // them back.
        let capacity = if config.is_behind_pooler() { capacity.max(1) } else { capacity };
        let route = route.clone().with_statement_cache(capacity);
        let defaults = Defaults::of_pool(route.application_name(), pool);
        Self::new(alias, route, defaults, pool)
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
        let defaults = Defaults::of_sessions(route.application_name(), config);
        Self::new(alias, route.clone(), defaults, config)
    }

    fn new(alias: &Alias, route: Route, defaults: Defaults, config: &PoolConfig) -> Self {
        // A checkout is to come to the last host before its time is over.
        let of_several = u32::try_from(route.hosts().len()).map_or(Duration::ZERO, |count| {
            if count > 1 { config.acquire_timeout.mul_f64(0.75) / count } else { CONNECT_TIMEOUT }
        });
        let patience = route.connect_timeout().unwrap_or(of_several);
        let (defaults, turn) = (Arc::new(defaults), Arc::default());
        Self { alias: alias.clone(), route, defaults, turn, patience, routes: false }
    }

    /// Opens the same, without the limits of time that a shell may set.
    pub(crate) fn without_limits(&self) -> Self {
        Self { route: self.route.clone().without_limits(), ..self.clone() }
    }

    /// The name of a driver, with that of the node that its connections lead to.
    pub(super) fn name_at_node(&self, driver: &str) -> String {
        let host = self.route.options();
        match self.route.wanted() {
            Wanted::Node => format!("{driver} at {}", Node::new(host.get_host(), host.get_port())),
            _ => driver.to_owned(),
        }
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
        self.first_of(|host| Box::pin(self.open_at(host))).await
    }

    /// Tries the hosts, from the one that did last, until one will do.
    pub(super) async fn first_of<'a, T>(
        &'a self,
        attempt: impl Fn(&'a PgConnectOptions) -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let hosts = self.route.hosts();
        let first = self.turn.load(Ordering::Relaxed);
        let mut failure = None;
        for turn in first..first + hosts.len() {
            let tried = tokio::time::timeout(self.patience, attempt(&hosts[turn % hosts.len()])).await;
            match tried.unwrap_or_else(|_| Err(self.silent())) {
                Ok(opened) => {
                    self.turn.store(turn % hosts.len(), Ordering::Relaxed);
                    return Ok(opened);
                }
                // The others would not let this login in either.
                Err(error) if !error.is_retryable() => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| self.silent()))
    }

    /// Has another host tried first: the one that did last has become a standby.
    pub(super) fn look_elsewhere(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    async fn open_at(&self, host: &PgConnectOptions) -> Result<PgConnection> {
        let connected = self.connect(host).await;
        let mut connection = connected.map_err(|error| self.unreachable(error.into()))?;
        self.introduce(&mut connection).await?;
        if let Some(question) = self.question() {
            self.judge(send(&mut connection, question).await)?;
        }
        Ok(connection)
    }

    async fn connect(&self, host: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
        loop {
            match PgConnection::connect_with(&self.with_defaults(host)).await {
                Err(sqlx::Error::Database(refusal))
                    if self.defaults.are_options_refused(&refusal.code().unwrap_or_default()) => {}
                connected => return connected,
            }
        }
    }

    /// The options of the next connection, for somebody who opens it himself.
    pub(super) fn options(&self) -> PgConnectOptions {
        let hosts = self.route.hosts();
        self.with_defaults(&hosts[self.turn.load(Ordering::Relaxed) % hosts.len()])
    }

    fn with_defaults(&self, host: &PgConnectOptions) -> PgConnectOptions {
        match self.defaults.options() {
            defaults if defaults.is_empty() => host.clone(),
            defaults => host.clone().options(defaults),
        }
    }

    /// The options of a connection that needs no settings, to a host that will do.
    async fn plain_options(&self) -> Result<PgConnectOptions> {
        if self.route.hosts().len() == 1 && self.question().is_none() {
            return Ok(self.route.options().clone());
        }
        self.first_of(|host| {
            Box::pin(async move {
                // It has told what it was for.
                let _ = self.open_at(host).await?.close().await;
                Ok(host.clone())
            })
        })
        .await
    }

    /// Opens a connection that listens to nothing yet. When it is lost, the caller has to open another: what is
    /// announced in between reaches nobody.
    pub(crate) async fn listener(&self) -> Result<PgListener, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(LISTENER_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(self.plain_options().await?);
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        Ok(listener)
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

    /// Asks whether the server is of the kind that is wanted, unless any is.
    pub(super) fn question(&self) -> Option<&'static str> {
        match self.route.wanted() {
            Wanted::Any => None,
            Wanted::Primary => Some("SELECT (NOT pg_catalog.pg_is_in_recovery())::text"),
            Wanted::ReadWrite => Some(
                "SELECT (NOT pg_catalog.pg_is_in_recovery() \
                 AND pg_catalog.current_setting('transaction_read_only') = 'off')::text",
            ),
            Wanted::Node if !stands(Guard::NodeIdentity) => None,
            // A node that was removed has no number of its own any more, and the coordinator has zero.
            Wanted::Node => Some(
                "SELECT nodename || ':' || nodeport FROM pg_catalog.pg_dist_node \
                 JOIN pg_catalog.pg_dist_local_group USING (groupid) \
                 WHERE groupid > 0 AND noderole = 'primary' AND isactive AND metadatasynced",
            ),
        }
    }

    /// Judges the answer to that question.
    pub(super) fn judge(&self, answer: Result<Option<String>>) -> Result<()> {
        if self.route.wanted() == Wanted::Node {
            return self.judge_node(answer);
        }
        match answer?.as_deref() {
            Some("true") => Ok(()),
            _ => Err(self.unreachable("the server that answers takes no writes".into())),
        }
    }

    /// Takes the only server for the node that says that it goes by this address.
    fn judge_node(&self, answer: Result<Option<String>>) -> Result<()> {
        let host = self.route.options();
        let address = format!("{}:{}", host.get_host(), host.get_port());
        let known_as = match answer {
            Ok(known_as) => known_as,
            // No server of Citus.
            Err(error) if error.database_code().is_some_and(|code| sqlstate::is_missing(&code)) => None,
            Err(error) => return Err(error),
        };
        if known_as.as_ref() == Some(&address) {
            return Ok(());
        }
        let known_as =
            known_as.map_or("no worker of a cluster".to_owned(), |name| format!("the worker {name}"));
        let cause = format!("the server that answers is {known_as}, and not the worker {address}");
        Err(self.unreachable(cause.into()).with_hint(
            "the names in `pg_dist_node` have to lead to the workers from here as well; or leave \
             `route_to_workers` out",
        ))
    }

    /// The error of a connection that could not be opened.
    pub(super) fn unreachable(&self, source: BoxError) -> Error {
        unreachable(&self.alias, &self.route, source)
    }

    fn silent(&self) -> Error {
        let silence = format!("no answer within {:?}", self.patience);
        self.unreachable(io::Error::new(io::ErrorKind::TimedOut, silence).into())
    }
}
