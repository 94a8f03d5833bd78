//! Reports of long work while it goes on.

use std::time::Duration;

use crate::error::Error;
use crate::tenant::Tenant;

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
