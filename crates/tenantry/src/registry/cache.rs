//! Answers to look-ups, kept for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache as Entries;

use crate::error::{Error, Result};
use crate::resolve::TenantKey;
use crate::tenant::{Tenant, TenantId};

/// A bounded cache of found and of missing tenants. Misses of one key share one look-up.
pub(super) struct Cache {
    entries: Entries<TenantKey, Entry>,
    /// Grows with every invalidation. An answer that was on its way at that moment may be older
    /// than the change, and is not kept.
    generation: AtomicU64,
    pub(super) loads: AtomicU64,
}

#[derive(Clone)]
struct Entry {
    /// `None`: nobody goes by this key.
    tenant: Option<Tenant>,
    generation: u64,
}

struct Lifetime {
    found: Duration,
    missing: Duration,
}

impl Expiry<TenantKey, Entry> for Lifetime {
    fn expire_after_create(&self, _key: &TenantKey, entry: &Entry, _now: Instant) -> Option<Duration> {
        Some(if entry.tenant.is_some() { self.found } else { self.missing })
    }
}

impl Cache {
    pub(super) fn new(capacity: u64, found: Duration, missing: Duration) -> Self {
        let entries =
            Entries::builder().max_capacity(capacity).expire_after(Lifetime { found, missing }).build();
        Self { entries, generation: AtomicU64::new(0), loads: AtomicU64::new(0) }
    }

    /// The answer for a key: a kept one, or what `load` answers. An error is not kept.
    pub(super) async fn get<F>(&self, key: &TenantKey, load: impl Fn() -> F) -> Result<Option<Tenant>>
    where
        F: Future<Output = Result<Option<Tenant>>>,
    {
        if let Some(entry) = self.entries.get(key).await {
            return Ok(entry.tenant);
        }
        let now = self.generation.load(Ordering::SeqCst);
        loop {
            let entry = self.load(key, &load).await?;
            // The look-up that was shared may have set out before a change that this caller knows of.
            if entry.generation >= now {
                return Ok(entry.tenant);
            }
        }
    }

    async fn load<F>(&self, key: &TenantKey, load: impl Fn() -> F) -> Result<Entry>
    where
        F: Future<Output = Result<Option<Tenant>>>,
    {
        let load = async {
            let generation = self.generation.load(Ordering::SeqCst);
            self.loads.fetch_add(1, Ordering::Relaxed);
            Ok(Entry { tenant: load().await?, generation })
        };
        let entry = self
            .entries
            .try_get_with_by_ref(key, load)
            .await
            .map_err(|error: Arc<Error>| (*error).clone())?;
        if entry.generation != self.generation.load(Ordering::SeqCst) {
            self.entries.invalidate(key).await;
        }
        Ok(entry)
    }

    pub(super) async fn forget(&self, key: &TenantKey) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.entries.invalidate(key).await;
    }

    /// Drops every answer that is this tenant, by whatever key it was found.
    ///
    /// Walks the cache, which is bounded; tenants change rarely.
    pub(super) async fn forget_tenant(&self, id: TenantId) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        let is_it = |entry: &Entry| entry.tenant.as_ref().is_some_and(|tenant| tenant.id() == id);
        let keys: Vec<_> =
            self.entries.iter().filter(|(_, entry)| is_it(entry)).map(|(key, _)| key).collect();
        for key in keys {
            self.entries.invalidate(&*key).await;
        }
    }

    pub(super) fn clear(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.entries.invalidate_all();
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.entry_count()
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

        async fn look_up(&self) -> Result<Option<Tenant>> {
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
        let before = cache.get(&key, || database.look_up());
        let after = async {
            cache.forget(&key).await;
            let answer = cache.get(&key, || database.look_up());
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
            cache.forget(&key).await;
            arrives.send(()).unwrap();
        };
        let (answer, ()) = tokio::join!(cache.get(&key, || database.look_up()), change);
        assert_eq!(answer.unwrap(), None);
        cache.get(&key, || database.look_up()).await.unwrap();
        cache.get(&key, || database.look_up()).await.unwrap();
        assert_eq!(cache.loads.load(Ordering::Relaxed), 2);
    }
}
