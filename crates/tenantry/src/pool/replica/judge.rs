//! A look at a replica, and what it means. Without I/O.

use std::time::{Duration, Instant};

use super::written::Written;
use crate::database::ReplicaConfig;
use crate::pool::wal_position::WalPosition;

/// The state of a replica, as of the last look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplicaState {
    /// Nobody has looked yet, or not for long enough to tell how far behind it is.
    #[default]
    Unknown,
    /// It is read.
    Usable,
    /// It is further behind than [`max_lag`](ReplicaConfig::max_lag) allows, or nobody knows how far.
    Behind,
    /// It does not answer.
    Away,
    /// It is no standby, or no longer one.
    Promoted,
    /// It follows another server than the primary.
    Stranger,
}

impl ReplicaState {
    /// Returns true if what is asked of it is given up.
    pub(super) fn is_gone(self) -> bool {
        matches!(self, Self::Away | Self::Promoted | Self::Stranger)
    }
}

/// The answer of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplicaAnswer {
    pub(super) is_standby: bool,
    pub(super) replayed: WalPosition,
}

impl ReplicaAnswer {
    pub(super) const QUESTION: &str = "SELECT pg_catalog.concat_ws('|', pg_catalog.pg_is_in_recovery(), \
        coalesce(pg_catalog.pg_last_wal_replay_lsn(), '0/0'))";

    pub(super) fn read(text: &str) -> Option<Self> {
        let (is_standby, replayed) = text.split_once('|')?;
        Some(Self { is_standby: is_standby == "t", replayed: WalPosition::parse(replayed)? })
    }
}

/// Judges the answer of a replica, and says how old its answers are where that is known.
///
/// The servers are who they say they are, as far as they say it.
pub(super) fn judge(
    answer: &ReplicaAnswer,
    servers: [Option<&str>; 2],
    written: &Written,
    config: &ReplicaConfig,
    now: Instant,
) -> (ReplicaState, Option<Duration>) {
    if let [Some(replica), Some(primary)] = servers
        && replica != primary
    {
        return (ReplicaState::Stranger, None);
    }
    if !answer.is_standby {
        return (ReplicaState::Promoted, None);
    }
    let age = written.age_of(answer.replayed, now);
    // It is read until the next look.
    let oldest = config.max_lag.saturating_sub(config.interval());
    let state = match age {
        Some(age) if age <= oldest => ReplicaState::Usable,
        // Whether it is a moment behind or an hour, the next looks tell.
        None if written.known_for(now).is_none_or(|known| known <= oldest) => ReplicaState::Unknown,
        _ => ReplicaState::Behind,
    };
    (state, age)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str) -> WalPosition {
        WalPosition::parse(text).expect("a position")
    }

    #[test]
    fn an_answer_is_read_or_is_none() {
        let answer = |is_standby| ReplicaAnswer { is_standby, replayed: position("1/A") };
        assert_eq!(ReplicaAnswer::read("t|1/A"), Some(answer(true)));
        assert_eq!(ReplicaAnswer::read("f|1/A"), Some(answer(false)));
        for text in ["", "t", "t|", "1/A"] {
            assert_eq!(ReplicaAnswer::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_replica_is_read_while_it_is_a_standby_of_its_primary_and_young_enough() {
        let begin = Instant::now();
        let mut written = Written::default();
        written.note(begin, position("0/10"));
        written.note(begin + Duration::from_secs(1), position("0/20"));
        let config = ReplicaConfig { max_lag: Duration::from_secs(4), ..ReplicaConfig::default() };
        let check = |is_standby, replayed, servers, seconds, expect| {
            let answer = ReplicaAnswer { is_standby, replayed: position(replayed) };
            let now = begin + Duration::from_secs(seconds);
            let (state, _) = judge(&answer, servers, &written, &config, now);
            assert_eq!(state, expect, "{answer:?} of {servers:?} after {seconds} s");
        };
        let same = [Some("1"), Some("1")];
        check(true, "0/20", same, 60, ReplicaState::Usable);
        check(true, "0/10", same, 3, ReplicaState::Usable);
        // At the next look it would be too old.
        check(true, "0/10", same, 4, ReplicaState::Behind);
        check(true, "0/1", same, 1, ReplicaState::Unknown);
        check(true, "0/1", same, 4, ReplicaState::Behind);
        check(false, "0/20", same, 1, ReplicaState::Promoted);
        check(true, "0/20", [Some("1"), Some("2")], 1, ReplicaState::Stranger);
        check(false, "0/20", [Some("1"), Some("2")], 1, ReplicaState::Stranger);
        for servers in [[None, Some("2")], [Some("1"), None], [None, None]] {
            check(true, "0/20", servers, 1, ReplicaState::Usable);
        }
    }
}
