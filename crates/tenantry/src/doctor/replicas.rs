//! Tells whether replicas can be read: standbys of this database that are not too far behind.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::finding::Severity;
use super::{Check, Finding, Patient};
use crate::database::{Route, WithoutReplica};
use crate::pool::Opener;
use crate::sql::Literal;

/// The longest that a replica is given to come to where the primary was.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
/// The longest that one replica may keep the others waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// The primary, when the look begins.
struct PrimaryNow {
    /// Its position in the write-ahead log.
    flushed: String,
    /// The number that it shares with its replicas, where the role may know.
    server: Option<String>,
}

/// Looks at each replica, on a connection like those of its pool.
pub(super) async fn look(patient: &mut Patient<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = Vec::new();
    if patient.config.replica_routes().is_empty() {
        return Ok(findings);
    }
    let rows = patient.application.rows(FLUSHED).await?;
    let Some(row) = rows.first() else { return Ok(findings) };
    let flushed: Option<String> = row.try_get(0)?;
    // A standby as primary is another finding.
    let Some(flushed) = flushed else { return Ok(findings) };
    let server = patient.application.column(SERVER).await.ok().and_then(|mut column| column.pop());
    let primary = PrimaryNow { flushed, server };
    for (number, route) in (1..).zip(patient.config.replica_routes()) {
        let name = format!("replica {number}, {},", route.address());
        let look = tokio::time::timeout(PATIENCE, look_at(patient, route, &name, &primary)).await;
        findings.extend(look.unwrap_or_else(|_| {
            let silence = format!("{name} does not answer within {PATIENCE:?}");
            Some(patient.unread(Check::Unreachable, silence).mend_by("check that the server runs there"))
        }));
    }
    Ok(findings)
}

async fn look_at(patient: &Patient<'_>, route: &Route, name: &str, primary: &PrimaryNow) -> Option<Finding> {
    let mut connection = match Opener::of_replica(patient.alias, route, patient.config).open().await {
        Ok(connection) => connection,
        Err(error) => {
            let what = format!("{name} gives no session as the application needs it: {error:#}");
            let hint =
                error.hint().unwrap_or("check that the server runs there and that `replica_url` is right");
            return Some(patient.unread(Check::Unreachable, what).mend_by(hint));
        }
    };
    match judge(patient, &mut connection, name, primary).await {
        Ok(finding) => finding,
        Err(error) => {
            let what = format!("{name} cannot be examined: {error}");
            Some(patient.unread(Check::Unreachable, what).mend_by("check that the server runs there"))
        }
    }
}

async fn judge(
    patient: &Patient<'_>,
    connection: &mut PgConnection,
    name: &str,
    primary: &PrimaryNow,
) -> Result<Option<Finding>, sqlx::Error> {
    let server: Option<String> =
        sqlx::query_scalar(SERVER).fetch_optional(&mut *connection).await.ok().flatten();
    if let (Some(theirs), Some(ours)) = (&server, &primary.server)
        && theirs != ours
    {
        let finding =
            patient.unread(Check::Replica, format!("{name} follows another server than `url` leads to"));
        return Ok(Some(
            finding.mend_by("let `replica_url` lead to a standby of the server that `url` leads to"),
        ));
    }
    let question = QUESTION.replace("/* flushed */", &Literal(&primary.flushed).to_string());
    let limit = patient.config.replica_config().max_lag.min(LONGEST_WAIT);
    let begun = Instant::now();
    loop {
        let row = sqlx::raw_sql(AssertSqlSafe(question.as_str())).fetch_one(&mut *connection).await?;
        if !row.try_get::<bool, _>("is_standby")? {
            let finding = patient.unread(Check::Replica, format!("{name} is no standby"));
            let mend = "let `replica_url` lead to a standby; if this server took over, let `url` lead to it";
            return Ok(Some(finding.mend_by(mend)));
        }
        let bytes: i64 = row.try_get("bytes")?;
        if bytes <= 0 {
            return Ok(None);
        }
        if begun.elapsed() >= limit {
            let replayed: Option<String> = row.try_get("replayed_at")?;
            return Ok(Some(behind(patient, name, bytes, replayed)));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn behind(patient: &Patient<'_>, name: &str, bytes: i64, replayed: Option<String>) -> Finding {
    let replayed =
        replayed.map_or_else(String::new, |at| format!(", and replayed last what was committed at {at}"));
    let what = format!("{name} is {} KiB behind{replayed}", (bytes + 1023) / 1024);
    let mend = "at the primary, look whether it is connected: SELECT * FROM pg_catalog.pg_stat_replication; there, \
                whether replay is paused: SELECT pg_catalog.pg_get_wal_replay_pause_state()";
    patient.unread(Check::Replica, what).mend_by(mend)
}

impl Patient<'_> {
    /// Says that a replica is not read. That is an error where the primary does not answer instead.
    fn unread(&self, check: Check, what: String) -> Finding {
        let (severity, why) = match self.config.replica_config().without {
            WithoutReplica::Primary => {
                (Severity::Warning, "it is not read: other replicas or the primary are")
            }
            WithoutReplica::Refuse => {
                (Severity::Error, "it is not read, and the primary does not answer instead")
            }
        };
        Finding { severity, ..self.warning(check, what, why) }
    }
}

/// The text of a position, or nothing of a standby's.
const FLUSHED: &str = "SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() \
    THEN pg_catalog.pg_current_wal_flush_lsn()::text END";

const SERVER: &str = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";

const QUESTION: &str = "SELECT pg_catalog.pg_is_in_recovery() AS is_standby, \
    pg_catalog.pg_wal_lsn_diff(/* flushed */, \
        coalesce(pg_catalog.pg_last_wal_replay_lsn(), '0/0'))::pg_catalog.int8 AS bytes, \
    pg_catalog.pg_last_xact_replay_timestamp()::pg_catalog.text AS replayed_at";
