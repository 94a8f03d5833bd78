//! The replicas of databases, and how far behind they are.
use serde::Serialize;
use tenantry::DatabaseConfig;
use tenantry::pool::ReplicaState;
use tenantry::registry::ReplicaProbe;
use tenantry::tenant::Alias;

use crate::connect::PROBE_TIMEOUT;
use crate::failure::Report;
use crate::output::Output;

/// A replica, as a look at it has found it. An application looks for itself.
#[derive(Serialize)]
pub(super) struct Replica {
    address: String,
    server_version: Option<String>,
    state: &'static str,
    bytes_behind: Option<u64>,
    lag_ms: Option<u128>,
    error: Option<Report>,
}

pub(super) async fn ask(database: &DatabaseConfig) -> Vec<Replica> {
    let all = ReplicaProbe::of_all(database, PROBE_TIMEOUT).await;
    all.into_iter().map(|(address, probe)| Replica::of(address, probe)).collect()
}

impl Replica {
    fn of(address: String, probe: tenantry::Result<ReplicaProbe>) -> Self {
        match probe {
            Ok(probe) => Self {
                address,
                state: name(probe.state),
                server_version: Some(probe.server_version),
                bytes_behind: probe.bytes_behind,
                lag_ms: probe.lag.map(|lag| lag.as_millis()),
                error: None,
            },
            Err(error) => Self {
                address,
                state: name(ReplicaState::Away),
                server_version: None,
                bytes_behind: None,
                lag_ms: None,
                error: Some(Report::of(&error)),
            },
        }
    }

    /// The bytes and the time by which it is behind.
    fn lag(&self) -> String {
        let bytes = self.bytes_behind.map(|bytes| format!("{} KiB", bytes.div_ceil(1024)));
        let time = self.lag_ms.map(|lag| format!("{lag} ms"));
        bytes.into_iter().chain(time).collect::<Vec<_>>().join(", ")
    }
}

fn name(state: ReplicaState) -> &'static str {
    match state {
        ReplicaState::Usable => "usable",
        ReplicaState::Behind => "behind",
        ReplicaState::Away => "unreachable",
        ReplicaState::Promoted => "no standby",
        ReplicaState::Stranger => "of another server",
        _ => "unknown",
    }
}

/// Shows the replicas of those databases that have any.
pub(super) fn print<'a>(output: &mut Output, databases: impl Iterator<Item = (&'a Alias, &'a [Replica])>) {
    let rows: Vec<_> = databases
        .flat_map(|(alias, replicas)| replicas.iter().map(move |replica| row(alias, replica)))
        .collect();
    if !rows.is_empty() {
        output.line("");
        output.table(&["REPLICA OF", "ADDRESS", "SERVER", "STATE", "BEHIND"], rows);
    }
}

fn row(alias: &Alias, replica: &Replica) -> Vec<String> {
    let server = replica.server_version.clone().unwrap_or_default();
    vec![alias.to_string(), replica.address.clone(), server, replica.state.to_owned(), replica.lag()]
}
