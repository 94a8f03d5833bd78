//! The turns of those who wait, when there are not enough connections for all.
//!
//! Everybody who waits stands in the *line* of a tenant; the master schema has one too. Three rules
//! decide, none of which looks at a clock or a connection:
//!
//! - **Cap.** A tenant never holds so many connections that none is left for the others.
//! - **Turns.** Lines are served in turn, each as often per turn as its weight says (deficit round
//!   robin). A line that was not among the turns is served before they go on, once: a tenant
//!   with a single request does not wait for those with hundreds.
//! - **Quantum.** A connection that comes back may serve its own tenant's line a few times more
//!   before turns count, because a switch costs more than a place in the line is worth. How often is
//!   for the caller to say.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use foldhash::{HashMap, HashMapExt as _};

/// The lines, and how many connections each tenant holds. `L` names a line, `W` is who waits.
pub(super) struct Fairness<L, W> {
    cap: u32,
    lines: HashMap<L, Line<W>>,
    /// Lines that are served once before the turns go on.
    fresh: VecDeque<L>,
    /// Lines in the order of their turns. One that is empty keeps its place until its turn comes, or
    /// a tenant that always sends one request at a time would be fresh for ever.
    turns: VecDeque<L>,
    waiting: usize,
    last_ticket: u64,
}

/// A place in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

struct Line<W> {
    waiters: BTreeMap<Ticket, W>,
    place: Queue,
    held: u32,
    weight: u32,
    /// The number of connections that the line may still get in its present turn.
    credit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Nowhere,
    Fresh,
    Turns,
}

impl<W> Default for Line<W> {
    fn default() -> Self {
        Self { waiters: BTreeMap::new(), place: Queue::Nowhere, held: 0, weight: 1, credit: 0 }
    }
}

impl<L: Clone + Eq + Hash, W> Fairness<L, W> {
    /// No tenant holds more than `cap` connections.
    pub(super) fn new(cap: u32) -> Self {
        Self {
            cap,
            lines: HashMap::new(),
            fresh: VecDeque::new(),
            turns: VecDeque::new(),
            waiting: 0,
            last_ticket: 0,
        }
    }

    /// Returns true if this tenant may be given a connection at once: it is below its cap, and none of its
    /// own is waiting already.
    pub(super) fn may_pass(&self, line: &L) -> bool {
        self.lines.get(line).is_none_or(|line| line.held < self.cap && line.waiters.is_empty())
    }

    /// Notes that a tenant was given a connection.
    pub(super) fn begin(&mut self, line: L) {
        self.lines.entry(line).or_default().held += 1;
    }

    /// Notes that a tenant gave a connection back.
    pub(super) fn end(&mut self, line: &L) {
        if let Some(entry) = self.lines.get_mut(line) {
            entry.held = entry.held.saturating_sub(1);
        }
        self.forget_if_unused(line);
    }

    /// Puts somebody at the end of a line.
    pub(super) fn join(&mut self, line: L, weight: u32, waiter: W) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let entry = self.lines.entry(line.clone()).or_default();
        entry.weight = weight.max(1);
        entry.waiters.insert(ticket, waiter);
        self.waiting += 1;
        if entry.place == Queue::Nowhere {
            entry.place = Queue::Fresh;
            self.fresh.push_back(line);
        }
        ticket
    }

    /// Takes somebody out of a line, if he is still in it.
    pub(super) fn leave(&mut self, line: &L, ticket: Ticket) -> Option<W> {
        let left = self.lines.get_mut(line)?.waiters.remove(&ticket)?;
        self.waiting -= 1;
        Some(left)
    }

    /// The next to get a connection, which counts as held from here on. `own` is the line of the
    /// tenant that had the connection last, if its quantum is not used up.
    pub(super) fn next(&mut self, own: Option<&L>) -> Option<(L, W)> {
        let line = match own {
            Some(own) if self.may_be_served(own) => own.clone(),
            _ => self.next_fresh().or_else(|| self.next_turn())?,
        };
        let entry = self.lines.get_mut(&line)?;
        let (_, waiter) = entry.waiters.pop_first()?;
        entry.held += 1;
        self.waiting -= 1;
        Some((line, waiter))
    }

    /// Takes everybody out of their lines.
    pub(super) fn clear(&mut self) -> Vec<W> {
        self.waiting = 0;
        let waiters = self.lines.values_mut().map(|line| std::mem::take(&mut line.waiters));
        waiters.flat_map(BTreeMap::into_values).collect()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn may_be_served(&self, line: &L) -> bool {
        self.lines.get(line).is_some_and(|entry| !entry.waiters.is_empty() && entry.held < self.cap)
    }

    fn next_fresh(&mut self) -> Option<L> {
        self.drop_empty_fresh();
        let position = self.fresh.iter().position(|line| self.may_be_served(line))?;
        let line = self.fresh.remove(position)?;
        self.take_turn(line.clone());
        Some(line)
    }

    /// Everybody in a fresh line may have left.
    fn drop_empty_fresh(&mut self) {
        while let Some(line) = self.fresh.front() {
            let Some(entry) = self.lines.get_mut(line) else { break };
            if !entry.waiters.is_empty() {
                break;
            }
            entry.place = Queue::Nowhere;
            if let Some(line) = self.fresh.pop_front() {
                self.forget_if_unused(&line);
            }
        }
    }

    /// Goes through the turns at most once. A line at its cap loses this turn, an empty one its place.
    fn next_turn(&mut self) -> Option<L> {
        for _ in 0..self.turns.len() {
            let line = self.turns.pop_front()?;
            let may_be_served = self.may_be_served(&line);
            let Some(entry) = self.lines.get_mut(&line) else { continue };
            if entry.waiters.is_empty() {
                entry.place = Queue::Nowhere;
                entry.credit = 0;
                self.forget_if_unused(&line);
            } else if !may_be_served {
                self.turns.push_back(line);
            } else {
                let credit = if entry.credit == 0 { entry.weight } else { entry.credit } - 1;
                entry.credit = credit;
                match credit {
                    0 => self.turns.push_back(line.clone()),
                    _ => self.turns.push_front(line.clone()),
                }
                return Some(line);
            }
        }
        None
    }

    fn take_turn(&mut self, line: L) {
        if let Some(entry) = self.lines.get_mut(&line) {
            entry.place = Queue::Turns;
        }
        self.turns.push_back(line);
    }

    /// Memory is for tenants that hold or want something, not for all there ever were.
    fn forget_if_unused(&mut self, line: &L) {
        let is_unused =
            |entry: &Line<W>| entry.held == 0 && entry.waiters.is_empty() && entry.place == Queue::Nowhere;
        if self.lines.get(line).is_some_and(is_unused) {
            self.lines.remove(line);
        }
    }
}

#[cfg(test)]
mod tests;
