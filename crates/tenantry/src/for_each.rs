//! One job for each tenant of a fleet, several at a time.
//!
//! Each job is a task of its own. So it goes on while nobody asks for results, and gives its connection back:
//! whoever looks a connection up between two results does not wait for jobs that wait for them.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::panic;
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream};
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument as _;

use crate::error::{Error, Result};
use crate::migrate::Fleet;
use crate::pool::TenantDb;
use crate::resolve::TenantKey;
use crate::tenancy::Tenancy;
use crate::tenant::Tenant;

/// Tenants read from the registry at a time.
const PAGE: u32 = 500;
/// How long a page may be believed. A tenant that was suspended meanwhile gets no job.
const FRESH: Duration = Duration::from_secs(1);

/// A tenant, and what became of its job.
type Done<T, E> = (Tenant, Result<T, E>);

pub(crate) fn for_each<T, E, F, Fut>(
    tenancy: Tenancy,
    fleet: Fleet,
    concurrency: NonZeroU32,
    job: F,
) -> impl Stream<Item = Result<Done<T, E>>> + Send
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: FnMut(TenantDb) -> Fut + Send,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
{
    let most = concurrency.get().min(tenancy.room_for_jobs());
    let queue = Queue { tenancy, fleet, page: VecDeque::new(), read_at: None, after: String::new() };
    let work = Work { queue, job, most: most as usize, running: JoinSet::new(), end: None };
    stream::try_unfold(work, async |mut work| Ok(work.next().await?.map(|done| (done, work))))
}

/// What goes on between two results.
struct Work<T, E, F> {
    queue: Queue,
    job: F,
    most: usize,
    /// Aborted when the stream is dropped.
    running: JoinSet<Done<T, E>>,
    /// Set when no more jobs begin, because there are none or the registry cannot be read.
    end: Option<Result<()>>,
}

impl<T, E, F, Fut> Work<T, E, F>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
    F: FnMut(TenantDb) -> Fut,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
{
    /// The next result. What ended the reading comes after the last of them.
    async fn next(&mut self) -> Result<Option<Done<T, E>>> {
        while self.end.is_none() && self.running.len() < self.most {
            match self.queue.next().await {
                Ok(Some(tenant)) => self.begin(tenant),
                Ok(None) => self.end = Some(Ok(())),
                Err(error) => self.end = Some(Err(error)),
            }
        }
        match self.running.join_next().await {
            Some(done) => Ok(Some(done.unwrap_or_else(|error| go_on_with_panic(error)))),
            None => self.end.take().unwrap_or(Ok(())).map(|()| None),
        }
    }

    fn begin(&mut self, tenant: Tenant) {
        let work = self.queue.tenancy.db(&tenant).map(&mut self.job);
        let run = async move {
            let result = match work {
                Ok(work) => work.await,
                Err(error) => Err(error.into()),
            };
            (tenant, result)
        };
        self.running.spawn(run.in_current_span());
    }
}

/// Nobody but the stream aborts a job, when nobody waits for it any more.
fn go_on_with_panic(error: JoinError) -> ! {
    panic::resume_unwind(error.into_panic())
}

/// The tenants whose turn has not come.
struct Queue {
    tenancy: Tenancy,
    fleet: Fleet,
    page: VecDeque<Tenant>,
    read_at: Option<Instant>,
    /// The slug of the last tenant that was handed out.
    after: String,
}

impl Queue {
    async fn next(&mut self) -> Result<Option<Tenant>> {
        let Some(read_at) = self.read_at else {
            self.check_named().await?;
            self.read().await?;
            return Ok(self.take());
        };
        if self.page.is_empty() || read_at.elapsed() > FRESH {
            self.read().await?;
        }
        Ok(self.take())
    }

    fn take(&mut self) -> Option<Tenant> {
        let tenant = self.page.pop_front()?;
        tenant.slug().as_str().clone_into(&mut self.after);
        Some(tenant)
    }

    /// Somebody who is asked for by name and not there is a mistake, which is told before anything begins.
    async fn check_named(&self) -> Result<()> {
        for slug in self.fleet.names() {
            let tenant = self.tenancy.find(&TenantKey::Slug(slug.clone())).await?;
            self.tenancy.db(&tenant)?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<()> {
        self.page = self.tenancy.served_after(&self.fleet, &self.after, PAGE).await?.into();
        self.read_at = Some(Instant::now());
        Ok(())
    }
}
