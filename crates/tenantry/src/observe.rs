//! What long work tells while it goes on.

use std::time::Duration;

use crate::error::Error;
use crate::tenant::Tenant;

/// What became of one tenant in a migration of the fleet.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// `None` for the master schema.
    pub tenant: Option<&'a Tenant>,
    /// The versions that were applied now; empty if it was up to date.
    pub applied: &'a [i64],
    /// What went wrong, if it did. The tenant is as it was before the file that failed.
    pub error: Option<&'a Error>,
    /// How long it took.
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
}

impl Observer for () {
    fn finished(&self, _outcome: &Outcome<'_>) {}
}

impl<F: Fn(&Outcome<'_>) + Send + Sync> Observer for F {
    fn finished(&self, outcome: &Outcome<'_>) {
        self(outcome);
    }
}
