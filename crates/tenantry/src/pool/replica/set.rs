//! The replicas of one database.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::select_all;

use super::choice::{ReadableReplica, choose};
use super::judge::ReplicaState;
use super::member::{Replica, ReplicaStatus};
use super::watch::Watch;
use crate::database::{DatabaseConfig, Layout, ReplicaConfig};
use crate::error::Result;
use crate::pool::driver::PgDriver;
use crate::pool::opener::Opener;
use crate::pool::preparation::Preprocessors;
use crate::pool::shared::Pool;
use crate::pool::wal_position::WalPosition;
use crate::tenant::TenantId;

/// The longest that the first reads wait until somebody has looked at the replicas.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// The replicas of one database. Nobody looks at them before somebody reads.
pub(in crate::pool) struct Replicas {
    config: ReplicaConfig,
    members: Vec<Arc<Replica>>,
    primary: Opener,
    watch: Mutex<Looking>,
}

/// The state of the watch.
enum Looking {
    NotYet,
    Since(Instant, Watch),
    Stopped,
}

impl Replicas {
    pub(in crate::pool) fn new(
        application: &Opener,
        config: &DatabaseConfig,
        layout: &Arc<Layout>,
        preprocessors: &Preprocessors,
    ) -> Result<Self> {
        let (terms, alias) = (config.replica_config(), application.alias());
        terms.validate()?;
        let mut members = Vec::new();
        for (number, route) in (1..).zip(config.replica_routes()) {
            let opener = Opener::of_replica(alias, route, config);
            let (preprocessors, replica) = (preprocessors.clone(), Some(number));
            let driver = PgDriver { opener: opener.clone(), preprocessors: preprocessors.clone(), replica };
            let pool_config = config.pool_config().clone();
            let pool = Pool::new(alias.clone(), driver, pool_config, Arc::clone(layout), preprocessors)?;
            members.push(Arc::new(Replica::new(number, route.address(), pool, opener, terms.interval())));
        }
        let watch = Mutex::new(Looking::NotYet);
        Ok(Self { config: terms.clone(), members, primary: application.clone(), watch })
    }

    pub(super) fn config(&self) -> &ReplicaConfig {
        &self.config
    }

    pub(super) fn members(&self) -> &[Arc<Replica>] {
        &self.members
    }

    /// Chooses one that can be read, other than these.
    pub(super) async fn choose(&self, tenant: TenantId, except: &[usize]) -> Option<usize> {
        self.until_looked_at().await;
        self.choose_among(tenant, except, Replica::is_usable)
    }

    /// Chooses one that can be read and has replayed up to here, for which it waits unless there is no time.
    pub(super) async fn choose_after(
        &self,
        tenant: TenantId,
        except: &[usize],
        position: WalPosition,
        limit: Duration,
    ) -> Option<usize> {
        let favourite = self.choose(tenant, except).await?;
        let has = |replica: &Replica| replica.has(position);
        if let Some(index) = self.choose_among(tenant, except, has) {
            return Some(index);
        }
        if !limit.is_zero() && self.members[favourite].reaches(position, limit).await {
            return Some(favourite);
        }
        self.choose_among(tenant, except, has)
    }

    fn choose_among(
        &self,
        tenant: TenantId,
        except: &[usize],
        will_do: impl Fn(&Replica) -> bool,
    ) -> Option<usize> {
        let all = self.members.iter().enumerate();
        let mut candidates = all.filter(|(index, it)| !except.contains(index) && will_do(it));
        let (first, replica) = candidates.next()?;
        let Some(second) = candidates.next() else { return Some(first) };
        let all = [(first, replica), second].into_iter().chain(candidates);
        let candidates: Vec<_> =
            all.map(|(index, replica)| ReadableReplica { index, room: replica.room() }).collect();
        choose(tenant.as_uuid().as_u64_pair(), &candidates)
    }

    /// Begins to look at the servers, and waits for the first looks, where nobody can be read yet.
    async fn until_looked_at(&self) {
        if self.members.is_empty() || self.is_any_usable() {
            return;
        }
        let Some(since) = self.look() else { return };
        let looks = async {
            while !self.is_any_usable() {
                let unknown = self.members.iter().filter(|replica| replica.state() == ReplicaState::Unknown);
                let looks: Vec<_> = unknown.map(|replica| Box::pin(replica.looked_at())).collect();
                if looks.is_empty() {
                    return;
                }
                select_all(looks).await;
            }
        };
        let _ = tokio::time::timeout(FIRST_LOOK.saturating_sub(since.elapsed()), looks).await;
    }

    fn is_any_usable(&self) -> bool {
        self.members.iter().any(|replica| replica.is_usable())
    }

    /// Begins to look at the servers, unless somebody did. Answers with the time since when they are looked at.
    fn look(&self) -> Option<Instant> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        match &*watch {
            Looking::Since(since, _) => Some(*since),
            Looking::NotYet => {
                let since = Instant::now();
                let tasks = Watch::begin(self.primary.clone(), &self.members, &self.config);
                *watch = Looking::Since(since, tasks);
                Some(since)
            }
            Looking::Stopped => None,
        }
    }

    pub(in crate::pool) fn status(&self) -> Vec<ReplicaStatus> {
        self.members.iter().map(|replica| replica.status()).collect()
    }

    /// Counts the connections to replicas that are in use for a tenant. None of them may write.
    pub(in crate::pool) fn held_by(&self, tenant: TenantId) -> usize {
        self.members.iter().map(|replica| replica.pool.held_by(tenant, false)).sum()
    }

    pub(in crate::pool) async fn close(&self, deadline: Instant) -> Result<()> {
        let watch = {
            let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *watch, Looking::Stopped)
        };
        if let Looking::Since(_, tasks) = watch {
            tasks.stop().await;
        }
        let mut result = Ok(());
        for replica in &self.members {
            let left = deadline.saturating_duration_since(Instant::now());
            result = result.and(replica.pool.close(left).await);
        }
        result
    }
}
