//! One job for each tenant of a fleet, several at a time.
//!
//! Each job is a task of its own. So it goes on while nobody asks for results, and gives its connection back:
//! whoever looks a connection up between two results does not wait for jobs that wait for them.

use std::collections::VecDeque;
use std::panic;
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream};
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument as _;

use super::Tenancy;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::migrate::Fleet;
use crate::pool::TenantDb;
use crate::resolve::TenantKey;
use crate::tenant::Tenant;

/// Tenants read from the registry at a time.
const PAGE: u32 = 500;
/// The longest that a page may be believed. A tenant that was suspended meanwhile gets no job.
const FRESH: Duration = Duration::from_secs(1);

/// A tenant, and what became of its job.
type Done<T, E> = (Tenant, Result<T, E>);

impl Tenancy {
    /// Does something for every tenant of the fleet that is served, several at a time, and tells of each when
    /// it is done: for periodic work, and for reports across tenants.
    ///
    /// A job that fails stops nobody. Nothing begins before the stream is first asked for a result, and no
    /// job is ahead of it by more than `concurrency`, so memory does not grow with the number of tenants.
    /// The error of the stream itself is that of the registry, and comes last.
    ///
    /// ```no_run
    /// use futures_util::TryStreamExt as _;
    /// use tenantry::{Fleet, TenantDb};
    ///
    /// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
    /// let count = async |db: TenantDb| {
    ///     sqlx::query_scalar::<_, i64>("SELECT count(*) FROM note").fetch_one(&db).await
    /// };
    /// let mut counts = tenancy.for_each(Fleet::all(), 4, count);
    /// while let Some((tenant, notes)) = counts.try_next().await? {
    ///     match notes {
    ///         Ok(notes) => println!("{}: {notes} notes", tenant.slug()),
    ///         Err(error) => eprintln!("{}: {error}", tenant.slug()),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Who gets a job
    ///
    /// Jobs begin in the order of the slugs. A tenant gets one if it was active at most a second before; who
    /// is suspended or removed until then is left out, as is who was not active from the beginning. What
    /// happens later is for the job to meet: a schema that is gone is [`ErrorKind::MissingSchema`].
    ///
    /// The tenant is the job's argument. It is not the task's [`current`](Self::current) one, unless the job
    /// says so with [`scope`](Self::scope).
    ///
    /// # Concurrency
    ///
    /// Each job is a task of its own, which goes on while nobody asks for results. No more run at the same
    /// time than one tenant may have connections ([`PoolConfig::reserve`](crate::PoolConfig::reserve)), in
    /// the database where these are fewest. So jobs that hold a connection leave some to requests, and to those
    /// jobs that look a second one up. Two fleets at once share what there is.
    ///
    /// Dropping the stream begins no more jobs and ends those under way at their next `.await`: what a
    /// transaction did is rolled back.
    ///
    /// # Errors
    /// Of the stream: [`ErrorKind::InvalidInput`] for a concurrency of 0; [`ErrorKind::UnknownTenant`] and
    /// [`ErrorKind::TenantUnavailable`] before anything begins, if a tenant that was named is not there or not
    /// active, or one that is to be left out is not there. Of a tenant: whatever the job fails with, and whatever
    /// [`db`](Self::db) does.
    ///
    /// # Panics
    /// When a job panics, and outside of a tokio runtime.
    pub fn for_each<T, E, F, Fut>(
        &self,
        fleet: Fleet,
        concurrency: usize,
        job: F,
    ) -> impl Stream<Item = Result<(Tenant, Result<T, E>)>> + Send + Unpin + use<T, E, F, Fut>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnMut(TenantDb) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let fewest = self.inner.context.databases.fewest_per_tenant();
        let most = concurrency.min(usize::try_from(fewest).unwrap_or(usize::MAX));
        let end = (most == 0).then(|| Err(no_concurrency()));
        let upcoming = Upcoming {
            tenancy: self.clone(),
            fleet,
            page: VecDeque::new(),
            read_at: None,
            after: String::new(),
        };
        let work = Work { upcoming, job, most, running: JoinSet::new(), end };
        Box::pin(stream::try_unfold(work, async |mut work| Ok(work.next().await?.map(|done| (done, work)))))
    }
}

/// The state between two results.
struct Work<T, E, F> {
    upcoming: Upcoming,
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
            match self.upcoming.next().await {
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
        let tenancy = &self.upcoming.tenancy;
        // Each job would wait for itself.
        let there = match tenancy.inner.context.databases.away().lately(tenant.database()) {
            Some(error) => Err(error),
            None => tenancy.handle(&tenant, true),
        };
        tenancy.inner.context.databases.note_fleet(&tenant);
        let span = tracing::info_span!("job", tenant = %tenant.slug(), tenant.id = %tenant.id());
        let work = there.map(|db| span.in_scope(|| (self.job)(db)));
        let run = async move {
            let result = match work {
                Ok(work) => work.await,
                Err(error) => Err(error.into()),
            };
            (tenant, result)
        };
        self.running.spawn(run.instrument(span));
    }
}

fn no_concurrency() -> Error {
    Error::invalid_input("`for_each` with a concurrency of 0 runs no job").with_hint("give at least 1")
}

/// Nobody but the stream aborts a job, when nobody waits for it any more.
fn go_on_with_panic(error: JoinError) -> ! {
    panic::resume_unwind(error.into_panic())
}

/// The tenants whose turn has not come.
struct Upcoming {
    tenancy: Tenancy,
    fleet: Fleet,
    page: VecDeque<Tenant>,
    read_at: Option<Instant>,
    /// The slug of the last tenant that was handed out.
    after: String,
}

impl Upcoming {
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
        self.fleet.check_excluded(&self.tenancy.master()).await?;
        for slug in self.fleet.names() {
            let tenant = self.tenancy.find(&TenantKey::Slug(slug.clone())).await?;
            self.tenancy.db(&tenant)?;
        }
        Ok(())
    }

    async fn served_after(&self) -> Result<Vec<Tenant>> {
        let page = self.fleet.served_after(&self.tenancy.master(), &self.after, PAGE).await?;
        Ok(self.tenancy.inner.registry.complete(page).await)
    }

    async fn read(&mut self) -> Result<()> {
        self.page = self.served_after().await?.into();
        self.read_at = Some(Instant::now());
        Ok(())
    }
}
