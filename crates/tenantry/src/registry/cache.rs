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
    pub(super) async fn get(
        &self,
        key: &TenantKey,
        load: impl Future<Output = Result<Option<Tenant>>>,
    ) -> Result<Option<Tenant>> {
        if let Some(entry) = self.entries.get(key).await {
            return Ok(entry.tenant);
        }
        let load = async {
            let generation = self.generation.load(Ordering::SeqCst);
            self.loads.fetch_add(1, Ordering::Relaxed);
            Ok(Entry { tenant: load.await?, generation })
        };
        let entry = self
            .entries
            .try_get_with_by_ref(key, load)
            .await
            .map_err(|error: Arc<Error>| (*error).clone())?;
        if entry.generation != self.generation.load(Ordering::SeqCst) {
            self.entries.invalidate(key).await;
        }
        Ok(entry.tenant)
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
