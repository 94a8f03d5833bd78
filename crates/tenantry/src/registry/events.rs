//! Tells who subscribed of what was done to tenants, whichever process did it.
//!
//! A trigger announces each entry of the audit that is done, by its number, and the listener passes the numbers on.
//! The entry is then read, by a task of each subscriber. Numbers are given when a transaction inserts and seen when
//! it commits, so they do not arrive in order; where some may have been missed, the newest are read again, and those
//! that were told are known.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast};
use tokio::task::JoinSet;

use super::audit::{self, AuditEntry};
use crate::error::Result;
use crate::pool::MasterDb;
use crate::tenant::Verb;

/// Announcements that may wait for a subscriber who is slow. Beyond that, the entries are read again.
const BACKLOG: usize = 1_024;
/// Entries whose end may be missed while nobody listens: an older one that ends then is not told.
const REMEMBERED: i64 = 1_000;
/// Entries read at a time.
const PAGE: i64 = 500;
/// The pause after the registry could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// A thing that was done to a tenant, by this process or another one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TenantEvent {
    /// The thing that was done: [`Verb::Create`], [`Verb::Suspend`] and so on.
    pub verb: Verb,
    /// Its entry in the audit: the tenant, who did it, when, and with which options.
    pub entry: AuditEntry,
}

/// The function of a subscriber.
pub(super) type Hear = Arc<dyn Fn(&TenantEvent) + Send + Sync>;

/// The reason to look at the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// The entry of this number is done.
    Done(i64),
    /// Some may have been missed.
    Missed,
}

/// The subscribers, each with a task of its own, which ends with this.
pub(super) struct Events {
    wakes: broadcast::Sender<Wake>,
    tasks: Mutex<JoinSet<()>>,
}

impl Events {
    pub(super) fn new() -> Self {
        Self { wakes: broadcast::Sender::new(BACKLOG), tasks: Mutex::default() }
    }

    /// The end that the listener speaks into.
    pub(super) fn wakes(&self) -> broadcast::Sender<Wake> {
        self.wakes.clone()
    }

    /// Tells of all that is done from now on. Where nobody listens, the audit is read this often.
    pub(super) async fn subscribe(
        &self,
        registry: MasterDb,
        poll: Option<Duration>,
        hear: Hear,
    ) -> Result<()> {
        // Before the look: what is done after it is announced.
        let wakes = self.wakes.subscribe();
        let told = Memory::from(audit::newest(&registry).await?);
        let subscriber = Subscriber { registry, told, hear };
        self.tasks.lock().await.spawn(subscriber.run(wakes, poll));
        Ok(())
    }

    pub(super) async fn stop(&self) {
        self.tasks.lock().await.shutdown().await;
    }
}

struct Subscriber {
    registry: MasterDb,
    told: Memory,
    hear: Hear,
}

impl Subscriber {
    async fn run(mut self, mut wakes: broadcast::Receiver<Wake>, poll: Option<Duration>) {
        while let Some(wake) = next(&mut wakes, poll).await {
            let mut done = self.follow(wake).await;
            while let Err(error) = done {
                tracing::warn!(%error, "Cannot read what was done to tenants");
                tokio::time::sleep(RETRY).await;
                done = self.follow(Wake::Missed).await;
            }
        }
    }

    async fn follow(&mut self, wake: Wake) -> Result<()> {
        match wake {
            Wake::Done(id) => {
                if let Some(entry) = audit::done(&self.registry, id).await? {
                    self.tell(entry);
                }
                Ok(())
            }
            Wake::Missed => self.catch_up().await,
        }
    }

    async fn catch_up(&mut self) -> Result<()> {
        let mut after = self.told.since;
        loop {
            let page = audit::done_after(&self.registry, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for entry in page {
                self.tell(entry);
            }
        }
    }

    fn tell(&mut self, entry: AuditEntry) {
        if !self.told.note(entry.id) {
            return;
        }
        let Ok(verb) = entry.verb.parse() else {
            return tracing::debug!(verb = entry.verb, "A newer program did something to a tenant");
        };
        let event = TenantEvent { verb, entry };
        let hear = AssertUnwindSafe(|| (self.hear)(&event));
        if catch_unwind(hear).is_err() {
            tracing::error!(verb = %event.verb, tenant.slug = event.entry.slug, "A subscriber to events panicked");
        }
    }
}

/// The next reason to look. `None` at the end of the registry.
async fn next(wakes: &mut broadcast::Receiver<Wake>, poll: Option<Duration>) -> Option<Wake> {
    let wake = match poll {
        None => wakes.recv().await,
        Some(poll) => match tokio::time::timeout(poll, wakes.recv()).await {
            Ok(wake) => wake,
            Err(_) => return Some(Wake::Missed),
        },
    };
    match wake {
        Ok(wake) => Some(wake),
        Err(RecvError::Lagged(_)) => Some(Wake::Missed),
        Err(RecvError::Closed) => None,
    }
}

/// The memory of what was told.
#[derive(Debug)]
struct Memory {
    /// No entry up to this one is looked for again.
    since: i64,
    /// The newest of those that were told.
    ids: BTreeSet<i64>,
}

impl Memory {
    /// Nothing of what was there.
    fn from(newest: i64) -> Self {
        Self { since: newest, ids: BTreeSet::new() }
    }

    /// Returns true if it was not told yet.
    fn note(&mut self, id: i64) -> bool {
        let is_new = self.ids.insert(id);
        let oldest = self.ids.last().map_or(0, |newest| newest - REMEMBERED);
        self.since = self.since.max(oldest);
        // An entry that was older when it came is remembered as long as the newest are.
        while self.ids.len() > usize::try_from(REMEMBERED).unwrap_or(usize::MAX) {
            self.ids.pop_first();
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_told_once_in_whatever_order_they_come() {
        let mut told = Memory::from(10);
        let news = [12, 11, 12, 9, 11, 9, 13].map(|id| told.note(id));
        assert_eq!(news, [true, true, false, true, false, false, true]);
        assert_eq!(told.since, 10);
    }

    #[test]
    fn the_memory_has_a_limit_and_nothing_within_it_is_told_twice() {
        let mut told = Memory::from(0);
        assert!((1..=5_000).all(|id| told.note(id)));
        assert_eq!((told.since, told.ids.len()), (4_000, 1_000));
        assert!((4_001..=5_000).all(|id| !told.note(id)));
    }
}
