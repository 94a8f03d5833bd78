//! Tenants that were asked for, kept for a while.
//!
//! A hit writes nothing that is shared but the tenant's reference count: no order of use, no clock of
//! the cache. So a hundred thousand tenants cost little more than ten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache as Entries;
use tokio::sync::OnceCell;

use crate::error::Result;
use crate::resolve::TenantKey;
use crate::tenant::{Status, Tenant, TenantId};

/// A bounded cache of found and of missing tenants. Misses of one key share one query.
pub(super) struct Cache {
    entries: Entries<TenantKey, Cached>,
    lifetime: Lifetime,
    under_way: Mutex<UnderWay>,
    pub(super) loads: AtomicU64,
    /// Grows after answers were dropped, so that who has seen the number has no answer from before.
    changes: AtomicU64,
}

/// `None`: nobody goes by the key.
type Answer = Option<Tenant>;

#[derive(Clone)]
struct Cached {
    answer: Answer,
    expires: Instant,
}

struct Lifetime {
    found: Duration,
    missing: Duration,
}

/// The queries that are on their way to the database and back.
#[derive(Default)]
struct UnderWay {
    by_key: HashMap<TenantKey, Arc<Load>>,
    /// Grows with every change that is announced. An answer that was on its way at that moment may be
    /// older than the change, and is not kept.
    generation: u64,
}

/// One query, for all who wait for it. When the one who runs it goes away, the next one does.
#[derive(Default)]
struct Load {
    generation: u64,
    answer: OnceCell<Result<Answer>>,
}

impl Cache {
    pub(super) fn new(capacity: usize, found: Duration, missing: Duration) -> Self {
        Self {
            entries: Entries::new(capacity),
            lifetime: Lifetime { found, missing },
            under_way: Mutex::default(),
            loads: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        }
    }

    /// The answer for a key: a kept one, or what `load` answers. An error is not kept.
    pub(super) async fn get<F>(&self, key: &TenantKey, load: impl Fn() -> F) -> Result<Answer>
    where
        F: Future<Output = Result<Answer>>,
    {
        match self.entries.get(key) {
            Some(entry) if Instant::now() < entry.expires => Ok(entry.answer),
            _ => self.load(key, load).await,
        }
    }

    async fn load<F>(&self, key: &TenantKey, load: impl Fn() -> F) -> Result<Answer>
    where
        F: Future<Output = Result<Answer>>,
    {
        let place = Waiting::take(self, key);
        let run = || {
            self.loads.fetch_add(1, Ordering::Relaxed);
            load()
        };
        let answer = place.load.answer.get_or_init(run).await.clone()?;
        self.keep(key, &place.load, &answer);
        Ok(answer)
    }

    fn keep(&self, key: &TenantKey, load: &Load, answer: &Answer) {
        // It is about to be somewhere else, and those who wait for that must not wait for an announcement.
        if answer.as_ref().is_some_and(|tenant| tenant.status() == Status::Moving) {
            return;
        }
        let lifetime = if answer.is_some() { self.lifetime.found } else { self.lifetime.missing };
        let entry = Cached { answer: answer.clone(), expires: Instant::now() + lifetime };
        // Under the lock, so that no change is announced between the question and the answer.
        let under_way = self.under_way();
        if load.generation == under_way.generation {
            self.entries.insert(key.clone(), entry);
        }
    }

    pub(super) fn forget(&self, key: &TenantKey) {
        self.under_way().change();
        self.entries.remove(key);
        self.note_change();
    }

    /// Drops every answer that is this tenant, by whatever key it was found, and that its id is nobody's.
    ///
    /// Walks the cache, which is bounded; tenants change rarely.
    pub(super) fn forget_tenant(&self, id: TenantId) {
        self.under_way().change();
        self.entries.retain(|_, entry| entry.answer.as_ref().is_none_or(|tenant| tenant.id() != id));
        self.entries.remove(&TenantKey::Id(id));
        self.note_change();
    }

    pub(super) fn clear(&self) {
        self.under_way().change();
        self.entries.clear();
        self.note_change();
    }

    fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// A number that grows with every change.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// Lets those who ask from now on not wait for a query that set out before.
    fn change(&mut self) {
        self.generation += 1;
        self.by_key.clear();
    }
}

/// A place among those who wait for one query. The last one to leave takes it off the list.
struct Waiting<'a> {
    cache: &'a Cache,
    key: &'a TenantKey,
    load: Arc<Load>,
}

impl<'a> Waiting<'a> {
    fn take(cache: &'a Cache, key: &'a TenantKey) -> Self {
        let mut under_way = cache.under_way();
        let generation = under_way.generation;
        let new = || Arc::new(Load { generation, ..Load::default() });
        let load = Arc::clone(under_way.by_key.entry(key.clone()).or_insert_with(new));
        Self { cache, key, load }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut under_way = self.cache.under_way();
        let is_listed = |listed: &Arc<Load>| Arc::ptr_eq(listed, &self.load);
        // An answered one serves nobody any more: what it answered is kept, or was an error.
        let is_done = self.load.answer.initialized() || Arc::strong_count(&self.load) == 2;
        if is_done && under_way.by_key.get(self.key).is_some_and(is_listed) {
            under_way.by_key.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Mutex;

    use tokio::sync::oneshot;

    use super::*;
    use crate::tenant::Slug;

    fn cache() -> Cache {
        Cache::new(10, Duration::from_mins(1), Duration::from_mins(1))
    }

    fn acme() -> TenantKey {
        TenantKey::Slug(Slug::parse("acme").unwrap())
    }

    /// A database whose first answer is on its way until somebody lets it arrive.
    struct Slow(Mutex<Option<oneshot::Receiver<()>>>);

    impl Slow {
        fn new() -> (Self, oneshot::Sender<()>) {
            let (arrives, waits) = oneshot::channel();
            (Self(Mutex::new(Some(waits))), arrives)
        }

        async fn query(&self) -> Result<Option<Tenant>> {
            let waits = self.0.lock().unwrap().take();
            if let Some(waits) = waits {
                waits.await.unwrap();
            }
            Ok(None)
        }
    }

    #[tokio::test]
    async fn whoever_asks_after_a_change_gets_no_answer_from_before_it() {
        let (cache, key) = (cache(), acme());
        let (database, arrives) = Slow::new();
        let before = cache.get(&key, || database.query());
        let after = async {
            cache.forget(&key);
            let answer = cache.get(&key, || database.query());
            let (answer, ()) = tokio::join!(answer, async { arrives.send(()).unwrap() });
            answer
        };
        let (before, after) = tokio::join!(before, after);
        assert_eq!((before.unwrap(), after.unwrap()), (None, None));
        assert_eq!(cache.loads.load(Ordering::Relaxed), 2, "the one who knew of the change asked again");
    }

    #[tokio::test]
    async fn an_answer_that_was_on_its_way_during_a_change_is_not_kept() {
        let (cache, key) = (cache(), acme());
        let (database, arrives) = Slow::new();
        let change = async {
            cache.forget(&key);
            arrives.send(()).unwrap();
        };
        let (answer, ()) = tokio::join!(cache.get(&key, || database.query()), change);
        assert_eq!(answer.unwrap(), None);
        cache.get(&key, || database.query()).await.unwrap();
        cache.get(&key, || database.query()).await.unwrap();
        assert_eq!(cache.loads.load(Ordering::Relaxed), 2);
    }
}
