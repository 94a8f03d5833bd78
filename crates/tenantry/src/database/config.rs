//! The address of one database, and the pool of connections to it.

use std::time::Duration;

use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;

use super::engine::Engine;
use super::replicas::ReplicaConfig;
use super::route::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::Alias;

/// One PostgreSQL database: where it is, as whom to log in, how many connections to keep.
///
/// ```
/// use std::time::Duration;
/// use tenantry::{DatabaseConfig, PoolConfig};
///
/// let config = DatabaseConfig::from_url("postgres://app:secret@localhost/saas")?
///     .owner_url("postgres://owner:secret@localhost/saas")?
///     .pool(PoolConfig { max_connections: 20, ..PoolConfig::default() });
///
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<(), tenantry::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    application: Route,
    owner: Option<Route>,
    direct: Option<Route>,
    replica_routes: Vec<Route>,
    replicas: ReplicaConfig,
    pool: PoolConfig,
    is_closed: bool,
    engine: Engine,
    routes_to_workers: bool,
}

/// A way to a database, besides the application's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Owner,
    Direct,
}

impl Way {
    /// Its name in the configuration.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Owner => "owner_url",
            Self::Direct => "direct_url",
        }
    }
}

impl DatabaseConfig {
    /// A database by its URL, `postgres://user:password@host:port/name?sslmode=…`, as libpq reads it.
    ///
    /// - Several hosts (`h1:5432,h2:5432`) are tried in turn, from the one that did last;
    ///   `target_session_attrs` may be `any`, `primary` or `read-write`. After the error "read-only transaction" of a
    ///   standby the others are tried.
    /// - `sslmode=require` with `sslrootcert` is verified, as `verify-ca`. The authorities of the system are trusted
    ///   besides the one in `sslrootcert`, where libpq trusts that one alone; `~/.postgresql` is not looked into.
    ///   A certificate that is an authority's own (`CA:TRUE`), as `openssl req -x509` makes it, is not accepted as
    ///   that of a server, where libpq accepts it.
    /// - `connect_timeout` is for each host; without it, 10 seconds.
    /// - A parameter of libpq that is not supported is refused by name, unless its value asks for what is done in any
    ///   case. So are `schema`, `service` and `channel_binding=require`.
    ///
    /// What the URL leaves open is taken from the variables of libpq that sqlx knows, and from its password file.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if it is not such a URL, or asks for what is not supported. The message does not
    /// repeat the URL, which may hold a password.
    pub fn from_url(url: &str) -> Result<Self> {
        Ok(Self::of(Route::parse(url)?))
    }

    /// A database by the options of a connection, for an application that has them: from a secret's file, or with
    /// a certificate.
    ///
    /// ```
    /// use sqlx::postgres::PgConnectOptions;
    /// use tenantry::DatabaseConfig;
    ///
    /// let options = PgConnectOptions::new().host("db.internal").username("app").database("saas");
    /// let config = DatabaseConfig::from_options(options);
    /// assert_eq!(config.address(), "app@db.internal:5432/saas");
    /// ```
    pub fn from_options(options: PgConnectOptions) -> Self {
        Self::of(Route::of(options))
    }

    fn of(application: Route) -> Self {
        Self {
            application,
            owner: None,
            direct: None,
            replica_routes: Vec::new(),
            replicas: ReplicaConfig::default(),
            pool: PoolConfig::default(),
            is_closed: false,
            engine: Engine::Auto,
            routes_to_workers: false,
        }
    }

    /// Logs in as somebody else for what creates and alters schemas: provisioning and migrations.
    ///
    /// With two roles the application can neither alter nor drop a table. Default: the
    /// application's own login does both.
    ///
    /// # Errors
    /// As [`from_url`](Self::from_url).
    pub fn owner_url(mut self, url: &str) -> Result<Self> {
        self.owner = Some(Route::parse(url)?);
        Ok(self)
    }

    /// A way to the server that passes no pooler, for what needs a session of its own: the
    /// listener of the registry, provisioning and migrations. Default: the URL itself.
    ///
    /// In [`PoolMode::Transaction`] there is no default: without it nothing listens, so that a change of
    /// a tenant is seen after [`cache_ttl`](crate::registry::RegistryConfig::cache_ttl); and without it
    /// and an [`owner_url`](Self::owner_url), which must not pass the pooler either, nothing is
    /// created or migrated.
    ///
    /// # Errors
    /// As [`from_url`](Self::from_url).
    pub fn direct_url(mut self, url: &str) -> Result<Self> {
        self.direct = Some(Route::parse(url)?);
        Ok(self)
    }

    /// Adds a replica: a standby that follows this database, which [`Tenancy::replica`](crate::Tenancy::replica)
    /// reads. Each has a pool of its own, of the size of the application's.
    ///
    /// # Errors
    /// As [`from_url`](Self::from_url).
    pub fn replica_url(mut self, url: &str) -> Result<Self> {
        self.replica_routes.push(Route::parse(url)?);
        Ok(self)
    }

    /// Sets the terms on which replicas are read.
    pub fn replicas(mut self, replicas: ReplicaConfig) -> Self {
        self.replicas = replicas;
        self
    }

    /// The terms that were set with [`replicas`](Self::replicas).
    pub fn replica_config(&self) -> &ReplicaConfig {
        &self.replicas
    }

    /// The ways to the replicas.
    pub(crate) fn replica_routes(&self) -> &[Route] {
        &self.replica_routes
    }

    /// Sets how many connections to keep and for how long to wait for one.
    pub fn pool(mut self, pool: PoolConfig) -> Self {
        self.pool = pool;
        self
    }

    /// Closes it to new tenants, or does not. Default: it is open, unless the registry has it as
    /// [closed](crate::Tenancy::close_database).
    pub fn closed(mut self, is_closed: bool) -> Self {
        self.is_closed = is_closed;
        self
    }

    /// Returns true if it is closed to new tenants by the configuration.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Names the kind of server. One of the other kind is refused as soon as something is to be made there. Default:
    /// [`Engine::Auto`], which asks.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// The kind of server that was named with [`engine`](Self::engine).
    pub(crate) fn named_engine(&self) -> Engine {
        self.engine
    }

    /// Sends the statements of a tenant of Citus to the worker that its tables are on, and not by way of the
    /// coordinator. Default: `false`.
    ///
    /// This program must reach the workers under the names that `pg_dist_node` has for them, with the role, the
    /// password and the parameters of the URL. Each worker then gets a pool of the size of the database's, at the first
    /// checkout of a tenant there. A server that does not say that it is the worker of that name gets no statement.
    pub fn route_to_workers(mut self, routes: bool) -> Self {
        self.routes_to_workers = routes;
        self
    }

    /// Returns true if statements go to the workers.
    pub(crate) fn routes_to_workers(&self) -> bool {
        self.routes_to_workers
    }

    /// Refuses what does not go together with routing to workers.
    pub(crate) fn validate_routing(&self, alias: &Alias) -> Result<()> {
        let obstacle = if !self.routes_to_workers {
            return Ok(());
        } else if self.engine == Engine::Postgres {
            "`engine = \"postgres\"`, which has no workers"
        } else if self.is_behind_pooler() {
            "`mode = \"transaction\"`: the pooler is not in front of the workers"
        } else if !self.replica_routes.is_empty() {
            "`replica_url`: a replica of the coordinator knows of no route"
        } else if self.application.is_local() {
            "a `url` that leads to a socket: a worker is at a host"
        } else {
            return Ok(());
        };
        let message =
            format!("`route_to_workers` of database `{alias}` does not go together with {obstacle}");
        Err(Error::new(ErrorKind::Configuration, message).with_hint("leave one of the two out"))
    }

    /// The configuration that was set with [`pool`](Self::pool).
    pub fn pool_config(&self) -> &PoolConfig {
        &self.pool
    }

    /// The application's own way.
    pub(crate) fn application(&self) -> &Route {
        &self.application
    }

    /// A way for whoever creates and alters schemas; `None` without a way past the pooler.
    pub(crate) fn owner(&self) -> Option<&Route> {
        self.owner.as_ref().or_else(|| self.direct())
    }

    /// A way to a session of one's own; `None` without a way past the pooler.
    pub(crate) fn direct(&self) -> Option<&Route> {
        let default = (!self.is_behind_pooler()).then_some(&self.application);
        self.direct.as_ref().or(default)
    }

    /// One of the other ways, where it is configured.
    pub(crate) fn way(&self, way: Way) -> Option<&Route> {
        match way {
            Way::Owner => self.owner.as_ref(),
            Way::Direct => self.direct.as_ref(),
        }
    }

    /// Returns true if a connection is no session of the server's, but a pooler's client.
    pub(crate) fn is_behind_pooler(&self) -> bool {
        self.pool.mode == PoolMode::Transaction
    }

    /// The role the application logs in as.
    pub(crate) fn application_role(&self) -> &str {
        self.application.role()
    }

    /// The options of the application's connections, for a program that opens one of its own; of several hosts the
    /// first.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.application.options().clone()
    }

    /// The address of this database, without any secret: `user@host:port/name`.
    pub fn address(&self) -> String {
        self.application.address()
    }
}

/// The number of connections that a pool keeps, and how it treats them.
///
/// ```
/// use tenantry::PoolConfig;
///
/// let config = PoolConfig { max_connections: 0, ..PoolConfig::default() };
/// assert_eq!(config.validate().unwrap_err().to_string(), "`max_connections` must be at least 1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// The kind of pooler between the pool and the server. Default: [`PoolMode::Session`].
    pub mode: PoolMode,
    /// Most connections that are open at the same time. Default: 10.
    pub max_connections: u32,
    /// Connections that no single tenant may take, so that the others find some. A tenant holds at
    /// most `max_connections` less these, and always at least one. Default: a quarter of
    /// `max_connections`, at least 1.
    pub reserve: Option<u32>,
    /// Most checkouts that wait at the same time; one more is turned away at once. Default: 1,000.
    pub max_waiting: u32,
    /// Connections that are opened ahead of need and kept; not of the pool for tokio-postgres. Default: 0.
    pub min_connections: u32,
    /// The longest wait of a checkout for a connection before it gives up, connecting included.
    /// Default: 5 seconds.
    pub acquire_timeout: Duration,
    /// The longest wait of a checkout while its tenant is moved to another database, before it fails with
    /// [`ErrorKind::TenantUnavailable`]. It goes on at the new place as soon as the move has ended. Default: 2 seconds.
    pub move_wait: Duration,
    /// A connection unused for longer than this is checked with one round trip before it is handed
    /// out, so that a restart of the server is not felt by the first request. Default: 30 seconds.
    pub check_after_idle: Duration,
    /// A connection older than this is closed when it comes back. Default: 30 minutes.
    pub max_lifetime: Duration,
    /// A connection that has served more tenants than this is closed when it comes back: what the
    /// server remembers of tables only grows with each schema a connection touches, by 150 KiB for
    /// one table with three indexes and by 315 KiB for five of them. The first statement of a tenant on a
    /// new connection is slower, so with fewer tenants than this none is closed. Default: 1,000.
    pub max_tenants_per_connection: u32,
    /// The longest that cleaning a used connection may take before it is closed instead. Default: 5 seconds.
    pub clean_timeout: Duration,
    /// The longest that a connection whose statement was cancelled, or whose rows were not read to their end,
    /// may take to answer that statement before it is closed. A connection that answers within this
    /// time is cleaned and kept, which is cheaper than a new one. A transaction that is dropped is rolled back
    /// within the same time. Zero closes all of them. Default: 10 milliseconds.
    pub drain_timeout: Duration,
    /// The interval at which the server looks, while a statement runs, whether its client is still there:
    /// PostgreSQL's `client_connection_check_interval`. A request that is cancelled closes its
    /// connection, and its statement ends on the server within this time, where otherwise it runs
    /// until it has an answer to send. Zero turns it off. A server whose platform cannot look is used
    /// without; one on Linux can. A pooler in transaction mode takes no such setting: there the role
    /// may have it, by `ALTER ROLE … SET`. Default: 1 second.
    pub client_connection_check_interval: Duration,
    /// Prepared statements that are kept per connection. Each costs the server 12 to 56 KiB. None is kept
    /// in [`PoolMode::Transaction`]. Default: 100.
    pub statement_cache_capacity: usize,
    /// The moments at which a connection is verified. Default: [`Verify::Switch`].
    pub verify: Verify,
    /// The comment that statements carry, for whoever reads them on the server. Default: [`Comment::Off`].
    pub comment: Comment,
}

/// The kind of session behind a connection of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolMode {
    /// It is: nothing stands in between, or a pooler in session mode.
    #[default]
    Session,
    /// It is not: a pooler in transaction mode, such as `PgBouncer`, lends a session of the server for
    /// one transaction at a time.
    ///
    /// Every statement is then a transaction of its own, in which the session is prepared and verified
    /// first: four round trips, `BEGIN` with the settings, prepare, execute, `COMMIT`. A transaction
    /// costs two besides its statements, of which each costs two, and a third when its text is new to the
    /// connection. Use as many statements as belong together in one transaction.
    ///
    /// What needs a session does not exist and is refused before anything is sent, with
    /// [`ErrorKind::Unsupported`]: `acquire()`, `prepare` and `describe`, a stock pool, `SET` without
    /// `LOCAL`, `LISTEN`, `COPY`, `PREPARE`, temporary tables without `ON COMMIT DROP`, cursors
    /// `WITH HOLD`, session advisory locks, `VACUUM`, `CREATE INDEX CONCURRENTLY`. A stream of rows must be
    /// read to its end, or what the statement did is undone.
    ///
    /// `SET TRANSACTION ISOLATION LEVEL` comes too late, because the verification is a query. A
    /// [`Preprocessor`](crate::pool::Preprocessor) that sets `transaction_isolation` does not.
    Transaction,
}

/// The moments at which the server is asked whether a connection really is where it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// At each switch, and when a connection comes back touched or was idle for long. A connection
    /// that comes back clean and goes to the same tenant needs no round trip.
    ///
    /// One hole remains: a user's own SQL function that changes session state is not visible in
    /// the text of the statement that calls it.
    #[default]
    Switch,
    /// At every checkout and every return, at the price of a round trip each.
    Always,
}

/// The comment at the end of each statement's text, in sqlcommenter's form. It is seen wherever the server shows texts:
/// in `pg_stat_activity`, in its log, in what a monitoring service reads of both.
///
/// Statements of the master schema have none, nor have those of a [stock pool](crate::Tenancy::stock_pool).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Comment {
    /// None: one text for all tenants.
    #[default]
    Off,
    /// The tenant's slug: `/*tenant='acme'*/`.
    ///
    /// A prepared statement belongs to its text, so each tenant has statements of its own on a connection. They are
    /// prepared once per connection and tenant, and a connection keeps
    /// [`statement_cache_capacity`](PoolConfig::statement_cache_capacity) of them in all, of which the one that was not
    /// used for longest goes first. A pool gives a tenant the connection that served it last, so most are met again; a
    /// connection that goes back and forth between more tenants than its statements have room for prepares at each
    /// turn. Where that counts, [`ApplicationName`](crate::pool::ApplicationName) costs no statement. Statements that
    /// are not kept, such as all [behind a pooler](PoolMode::Transaction), cost nothing more.
    Tenant,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            mode: PoolMode::Session,
            max_connections: 10,
            reserve: None,
            max_waiting: 1_000,
            min_connections: 0,
            acquire_timeout: Duration::from_secs(5),
            move_wait: Duration::from_secs(2),
            check_after_idle: Duration::from_secs(30),
            max_lifetime: Duration::from_mins(30),
            max_tenants_per_connection: 1_000,
            clean_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_millis(10),
            client_connection_check_interval: Duration::from_secs(1),
            statement_cache_capacity: 100,
            verify: Verify::Switch,
            comment: Comment::Off,
        }
    }
}

impl PoolConfig {
    /// The most connections one tenant may hold.
    pub(crate) fn cap_per_tenant(&self) -> u32 {
        let reserve = self.reserve.unwrap_or((self.max_connections / 4).max(1));
        self.max_connections.saturating_sub(reserve).max(1)
    }

    /// Checks the values against each other.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] naming the field.
    pub fn validate(&self) -> Result<()> {
        let problem = if self.max_connections == 0 {
            "`max_connections` must be at least 1"
        } else if self.min_connections > self.max_connections {
            "`min_connections` must not exceed `max_connections`"
        } else if self.reserve.is_some_and(|reserve| reserve >= self.max_connections) {
            "`reserve` must be less than `max_connections`"
        } else if self.acquire_timeout.is_zero() {
            "`acquire_timeout` must be longer than nothing"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Configuration, problem))
    }
}
