//! The choice among idle connections for a checkout.
//!
//! The one that last served the same tenant needs no round trip. Where there is none, somebody
//! loses a warm connection: the tenant that is least likely to return. Who was idle longest (LRU)
//! is a poor guess, because among many tenants even a frequent one is often not the latest. So
//! demand is counted per tenant and fades with the checkouts of others: after a few for each
//! connection it counts half. The simulation in this module's tests compares the two; on Zipf's
//! distribution with 1,000 tenants and 20 connections a third of the checkouts stay warm instead of
//! a quarter.
//!
//! Pure: it sees what the connections last served and answers with a position.

use std::hash::Hash;

use foldhash::{HashMap, HashMapExt as _};

/// Checkouts per connection after which past demand counts half.
const HALF_LIFE_PER_CONNECTION: f64 = 4.0;
/// Tenants per connection whose demand is remembered.
const MEMORY_PER_CONNECTION: usize = 64;

/// The line that an idle connection last served.
pub(super) struct Candidate<L> {
    /// `None` before the first checkout, or where it cannot be believed any more.
    pub(super) line: Option<L>,
    /// True if it serves the checkout as it is.
    pub(super) is_warm: bool,
    /// True if it was last used on the thread that asks now.
    pub(super) is_near: bool,
}

/// Demand per tenant, fading.
pub(super) struct Affinity<L> {
    demand: HashMap<L, Demand>,
    checkouts: u64,
    half_life: f64,
    memory: usize,
}

#[derive(Clone, Copy)]
struct Demand {
    count: f64,
    /// The checkout at which `count` was right.
    at: u64,
}

impl<L: Copy + Eq + Hash> Affinity<L> {
    pub(super) fn new(connections: u32) -> Self {
        Self {
            demand: HashMap::new(),
            checkouts: 0,
            half_life: HALF_LIFE_PER_CONNECTION * f64::from(connections),
            memory: MEMORY_PER_CONNECTION * connections as usize,
        }
    }

    /// Notes that a checkout of this tenant.
    pub(super) fn note(&mut self, line: L) {
        self.checkouts += 1;
        let count = self.demand_of(&line) + 1.0;
        self.demand.insert(line, Demand { count, at: self.checkouts });
        if self.demand.len() > self.memory {
            self.forget_faded();
        }
    }

    /// The best of the idle connections, given from the longest idle to the latest: the latest
    /// that is warm, else one that serves nobody, else the one whose tenant is least in demand.
    ///
    /// Of the warm ones a near one is best: what the processor remembers of it, and where the server's
    /// process for it runs, are worth more than the whole checkout costs.
    pub(super) fn choose(
        &self,
        idle: impl DoubleEndedIterator<Item = Candidate<L>> + Clone,
    ) -> Option<usize> {
        let warm = idle.clone().enumerate().filter(|(_, candidate)| candidate.is_warm);
        if let Some((position, _)) = warm.max_by_key(|(_, candidate)| candidate.is_near) {
            return Some(position);
        }
        let share = |line: &L| {
            // Of several warm for one tenant, each is worth a part of its demand.
            let siblings = idle.clone().filter(|other| other.line.as_ref() == Some(line)).count();
            self.demand_of(line) / f64::from(u32::try_from(siblings).unwrap_or(u32::MAX))
        };
        let worth = |candidate: Candidate<L>| candidate.line.as_ref().map_or(-1.0, share);
        let worths = idle.clone().map(worth).enumerate();
        worths.min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(position, _)| position)
    }

    fn demand_of(&self, line: &L) -> f64 {
        self.demand.get(line).map_or(0.0, |demand| self.faded(demand))
    }

    #[expect(clippy::cast_precision_loss, reason = "a difference of checkouts, where it matters, is small")]
    fn faded(&self, demand: &Demand) -> f64 {
        let age = (self.checkouts - demand.at) as f64;
        demand.count * (-age / self.half_life).exp2()
    }

    /// Keeps the half that is most in demand.
    fn forget_faded(&mut self) {
        let mut counts: Vec<f64> = self.demand.values().map(|demand| self.faded(demand)).collect();
        counts.sort_by(f64::total_cmp);
        let median = counts[counts.len() / 2];
        let demand = std::mem::take(&mut self.demand);
        self.demand = demand.into_iter().filter(|(_, demand)| self.faded(demand) > median).collect();
    }
}

#[cfg(test)]
mod tests;
