use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::database::{DatabaseConfig, Route};
use crate::error::{Error, ErrorKind, Result};
use crate::pool::ReplicaState;

/// The facts that one replica tells of itself, beside its primary: for a screen that shows them all.
///
/// ```no_run
/// use std::time::Duration;
/// use tenantry::{DatabaseConfig, registry::ReplicaProbe};
///
/// # async fn example() -> tenantry::Result<()> {
/// let database = DatabaseConfig::from_url("postgres://app@primary/saas")?;
/// let database = database.replica_url("postgres://app@replica-1/saas")?;
/// for (address, probe) in ReplicaProbe::of_all(&database, Duration::from_secs(5)).await {
///     println!("{address}: {:?}", probe?.lag);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaProbe {
    /// The version of the server, `15.14`.
    pub server_version: String,
    /// Its state. One that has all that the primary had written a moment ago is usable, and so is one that is behind by
    /// less than [`max_lag`](crate::database::ReplicaConfig::max_lag). Unknown while the primary does not answer.
    pub state: ReplicaState,
    /// The bytes of the log that the primary had written and it had not replayed, where both answer.
    pub bytes_behind: Option<u64>,
    /// The time since the last commit that it has replayed, by the clocks of the two servers; zero if it has all.
    pub lag: Option<Duration>,
}

/// The primary, as it was asked first.
struct PrimaryPosition {
    flushed: String,
    /// The number that it shares with its replicas, where the role may know.
    server: Option<String>,
}

impl ReplicaProbe {
    /// Opens one connection of the application's role to the primary, and one to each replica, asks, and closes them.
    /// Answers with the address of each, in the order of the configuration.
    ///
    /// The error of one is [`ErrorKind::DatabaseUnavailable`] if there is no answer within `patience`; otherwise what
    /// opening a connection fails with.
    pub async fn of_all(database: &DatabaseConfig, patience: Duration) -> Vec<(String, Result<Self>)> {
        let routes = database.replica_routes();
        if routes.is_empty() {
            return Vec::new();
        }
        let primary = tokio::time::timeout(patience, primary_now(database.application().options())).await;
        let primary = primary.ok().and_then(Result::ok);
        let max_lag = database.replica_config().max_lag;
        join_all(routes.iter().map(|route| probe(route, primary.as_ref(), max_lag, patience))).await
    }
}

async fn probe(
    route: &Route,
    primary: Option<&PrimaryPosition>,
    max_lag: Duration,
    patience: Duration,
) -> (String, Result<ReplicaProbe>) {
    let address = route.address();
    let asked = tokio::time::timeout(patience, ask(route.options(), primary, max_lag)).await;
    let late = |_| {
        let message = format!("{address} does not answer within {patience:?}");
        Error::new(ErrorKind::DatabaseUnavailable, message)
            .with_hint("check that the server runs there and that `replica_url` is right")
    };
    let probe = asked.map_err(late).and_then(|asked| asked.map_err(Error::from));
    (address, probe)
}

async fn primary_now(options: &PgConnectOptions) -> Result<PrimaryPosition, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let flushed = "SELECT pg_catalog.pg_current_wal_flush_lsn()::pg_catalog.text";
    let flushed = sqlx::query_scalar(flushed).persistent(false).fetch_one(&mut connection).await?;
    let server = server_of(&mut connection).await;
    connection.close().await?;
    Ok(PrimaryPosition { flushed, server })
}

async fn server_of(connection: &mut PgConnection) -> Option<String> {
    let server = "SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()";
    sqlx::query_scalar(server).persistent(false).fetch_one(connection).await.ok()
}

async fn ask(
    options: &PgConnectOptions,
    primary: Option<&PrimaryPosition>,
    max_lag: Duration,
) -> Result<ReplicaProbe, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let question = "SELECT pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1) AS version,
            pg_catalog.pg_is_in_recovery() AS is_standby,
            pg_catalog.pg_wal_lsn_diff($1::pg_catalog.pg_lsn, coalesce(pg_catalog.pg_last_wal_replay_lsn(), '0/0'))
                ::pg_catalog.int8 AS bytes,
            (1000 * extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()))
                ::pg_catalog.int8 AS age_ms";
    let flushed = primary.map(|primary| primary.flushed.as_str());
    let row = sqlx::query(question).persistent(false).bind(flushed).fetch_one(&mut connection).await?;
    let server = server_of(&mut connection).await;
    connection.close().await?;
    let (is_standby, bytes, age_ms): (bool, Option<i64>, Option<i64>) =
        (row.try_get("is_standby")?, row.try_get("bytes")?, row.try_get("age_ms")?);
    let bytes_behind = bytes.map(|bytes| bytes.max(0).unsigned_abs());
    let age = age_ms.map(|age| Duration::from_millis(age.max(0).unsigned_abs()));
    let lag = if bytes_behind == Some(0) { Some(Duration::ZERO) } else { age };
    let servers = [server, primary.and_then(|primary| primary.server.clone())];
    let state = state(servers, is_standby, bytes_behind, lag.is_some_and(|lag| lag <= max_lag));
    let is_read = matches!(state, ReplicaState::Usable | ReplicaState::Behind | ReplicaState::Unknown);
    let (bytes_behind, lag) = if is_read { (bytes_behind, lag) } else { (None, None) };
    Ok(ReplicaProbe { server_version: row.try_get("version")?, state, bytes_behind, lag })
}

fn state(
    servers: [Option<String>; 2],
    is_standby: bool,
    bytes_behind: Option<u64>,
    is_young: bool,
) -> ReplicaState {
    match servers {
        [Some(replica), Some(primary)] if replica != primary => ReplicaState::Stranger,
        _ if !is_standby => ReplicaState::Promoted,
        _ if bytes_behind.is_none() => ReplicaState::Unknown,
        _ if is_young => ReplicaState::Usable,
        _ => ReplicaState::Behind,
    }
}
