//! A connection together with what the pool knows about it.

use std::collections::HashMap;
use std::thread::ThreadId;
use std::time::Duration;

use tokio::time::Instant;

use super::checks::Checks;
use super::preparation::{LineName, Preparation};
use super::session::SessionState;
use super::types::Described;
use crate::tenant::{Digest, Tenant};

/// A connection of the pool, idle or on loan.
pub(super) struct Pooled<C> {
    pub(super) connection: C,
    pub(super) session: SessionState,
    pub(super) opened_at: Instant,
    /// That of the pool when the opening began.
    pub(super) generation: u64,
    pub(super) idle_since: Instant,
    /// The thread that used it last.
    pub(super) thread: Option<ThreadId>,
    /// The statements whose types the driver knows.
    pub(super) described: Described,
    streak: Option<Streak>,
    /// All tenants it has served, and at which version: the server's memory for a connection grows with each.
    pub(super) served: HashMap<LineName, Option<Digest>>,
    #[cfg_attr(not(feature = "tokio-postgres"), allow(dead_code))]
    pub(super) checks: Box<Checks>,
}

/// The time for which a connection has served the line of one tenant without a pause.
struct Streak {
    line: LineName,
    served: u32,
    since: Instant,
}

/// A connection serves this many of its own tenant's waiters before others get their turn, …
const QUANTUM: u32 = 8;
/// … or for this long, whichever ends first.
const QUANTUM_TIME: Duration = Duration::from_millis(5);

impl<C> Pooled<C> {
    pub(super) fn new(connection: C, generation: u64) -> Self {
        let now = Instant::now();
        Self {
            connection,
            session: SessionState::default(),
            opened_at: now,
            generation,
            idle_since: now,
            thread: None,
            described: Described::default(),
            streak: None,
            served: HashMap::new(),
            checks: Box::default(),
        }
    }

    /// Notes a tenant that it serves. Returns true if it served the same one at another version.
    pub(super) fn serve(&mut self, preparation: &Preparation) -> bool {
        let digest = preparation.tenant().and_then(Tenant::digest).copied();
        self.served.insert(preparation.line(), digest).is_some_and(|before| before != digest)
    }

    /// Notes whom the connection serves now, of those who found it idle.
    pub(super) fn begin_streak(&mut self, line: LineName) {
        self.streak = Some(Streak { line, served: 1, since: Instant::now() });
    }

    /// Notes whom the connection serves now, of those who waited.
    pub(super) fn go_on_with(&mut self, line: LineName) {
        match &mut self.streak {
            Some(streak) if streak.line == line => streak.served += 1,
            _ => self.begin_streak(line),
        }
    }

    /// The line that the connection may stay with, while its quantum lasts.
    pub(super) fn line_within_quantum(&self) -> Option<LineName> {
        let lasts = |streak: &&Streak| streak.served < QUANTUM && streak.since.elapsed() < QUANTUM_TIME;
        self.streak.as_ref().filter(lasts).map(|streak| streak.line)
    }
}
