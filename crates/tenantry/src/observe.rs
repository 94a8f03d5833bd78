//! Reports of long work while it goes on, and spans that name the tenant that work is for.

use std::future::Future;
use std::time::Duration;

use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span};

use crate::error::Error;
use crate::tenant::{Tenant, Verb};

/// A span of `tracing`, level info, that names a tenant in its fields `tenant` (the slug) and `tenant.id`: for work of
/// your own that is done for it.
///
/// Requests behind [`Tenancy::layer`](crate::Tenancy::layer), the jobs of [`for_each`](crate::Tenancy::for_each), what
/// runs in a [`scope`](crate::Tenancy::scope), migrations and what is done to a tenant in its life have one. Where no
/// subscriber is interested, it costs a look at an atomic.
///
/// ```no_run
/// use tracing::Instrument as _;
///
/// # async fn send_invoice(_: tenantry::TenantDb) {}
/// # async fn example(tenancy: tenantry::Tenancy) -> tenantry::Result<()> {
/// let acme = tenancy.tenant("acme").await?;
/// let work = send_invoice(tenancy.db(&acme)?);
/// work.instrument(tenantry::observe::tenant_span(&acme)).await;
/// # Ok(())
/// # }
/// ```
pub fn tenant_span(tenant: &Tenant) -> Span {
    tracing::info_span!("tenant", tenant = %tenant.slug(), tenant.id = %tenant.id())
}

/// Records a tenant in the fields `tenant` and `tenant.id` of a span, which must have been made with them, empty. In
/// any other span this changes nothing.
///
/// ```no_run
/// # fn example(acme: &tenantry::Tenant) {
/// use tracing::field::Empty;
///
/// let span = tracing::info_span!("import", tenant = Empty, tenant.id = Empty);
/// tenantry::observe::record_tenant(&span, acme);
/// # }
/// ```
pub fn record_tenant(span: &Span, tenant: &Tenant) {
    if !span.is_disabled() {
        span.record("tenant", display(tenant.slug())).record("tenant.id", display(tenant.id()));
    }
}

/// The span of what is done to a tenant in its life.
pub(crate) fn verb_span(verb: Verb, tenant: &Tenant) -> Span {
    tracing::info_span!(
        "lifecycle",
        %verb,
        tenant = %tenant.slug(),
        tenant.id = %tenant.id(),
        database = %tenant.database(),
    )
}

/// Runs what makes a tenant in the same span, which has its slug from the beginning where that is known, and its id and
/// its database when it is made.
pub(crate) async fn make_in_span<T, E>(
    verb: Verb,
    slug: Option<&str>,
    tenant_of: fn(&T) -> &Tenant,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let name = slug.map(display);
    let span = tracing::info_span!("lifecycle", %verb, tenant = name, tenant.id = Empty, database = Empty);
    // In a box, because it holds all that making a tenant holds.
    let result = Box::pin(work).instrument(span.clone()).await?;
    let tenant = tenant_of(&result);
    if slug.is_none() {
        span.record("tenant", display(tenant.slug()));
    }
    span.record("tenant.id", display(tenant.id())).record("database", display(tenant.database()));
    Ok(result)
}

/// A part of a run over the fleet. The next one begins when every tenant of the one before is where it was
/// to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wave {
    /// The tenants that are tried first.
    Canaries,
    /// All others, and before them the master schema where there are no canaries.
    Fleet,
}

impl Wave {
    /// Counted from 1.
    pub fn number(self) -> i32 {
        match self {
            Self::Canaries => 1,
            Self::Fleet => 2,
        }
    }
}

/// The outcome for one tenant in a migration of the fleet.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// `None` for the master schema.
    pub tenant: Option<&'a Tenant>,
    /// The wave it was in.
    pub wave: Wave,
    /// The versions that were applied now.
    pub applied: &'a [i64],
    /// The versions that were undone now. Where neither was, it was up to date.
    pub undone: &'a [i64],
    /// The error, if there was one. The tenant is as it was before the file that failed.
    pub error: Option<&'a Error>,
    /// The time it took.
    pub elapsed: Duration,
}

/// Is told of progress. The command line draws it; a service may log it; `()` does not listen.
///
/// A closure that takes an [`Outcome`] is an observer:
///
/// ```
/// use tenantry::observe::{Observer, Outcome};
///
/// fn assert_observer(_: impl Observer) {}
/// assert_observer(|outcome: &Outcome<'_>| {
///     if let Some(error) = outcome.error {
///         eprintln!("{error}");
///     }
/// });
/// ```
pub trait Observer: Send + Sync {
    /// The master schema or one tenant is done, or failed.
    fn finished(&self, outcome: &Outcome<'_>);

    /// A wave begins, which has no more than this many tenants.
    fn wave_started(&self, wave: Wave, tenants: u64) {
        let _ = (wave, tenants);
    }

    /// Begins no further tenant, if true. It is asked before each; those under way are finished.
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl Observer for () {
    fn finished(&self, _outcome: &Outcome<'_>) {}
}

impl<F: Fn(&Outcome<'_>) + Send + Sync> Observer for F {
    fn finished(&self, outcome: &Outcome<'_>) {
        self(outcome);
    }
}

/// A step of long work that is no run over the fleet, such as making spares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step<'a> {
    /// The work, in a few words: `making spares`.
    pub what: &'a str,
    /// The parts of it that are done.
    pub done: u64,
    /// All parts of it, where that is known.
    pub of: Option<u64>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(what: &'a str, done: usize, of: Option<usize>) -> Self {
        Self { what, done: done as u64, of: of.map(|of| of as u64) }
    }
}

/// Is told of the steps of such work, and may end it. `()` does not listen, and a closure that takes a [`Step`] does.
pub trait Steps: Send + Sync {
    /// A step is done, or begins where none is.
    fn step(&self, step: Step<'_>);

    /// Ends the work at the next place where nothing is left half-done, if true.
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl Steps for () {
    fn step(&self, _: Step<'_>) {}
}

impl<F: Fn(Step<'_>) + Send + Sync> Steps for F {
    fn step(&self, step: Step<'_>) {
        self(step);
    }
}
