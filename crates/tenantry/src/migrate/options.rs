use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::caution::{Canaries, MaxFailures};
use super::fleet::Fleet;
use super::goals::Goals;
use super::limits::Limits;
use super::plan::Goal;
use crate::error::{Error, ErrorKind, Result};
use crate::migration::Migrations;
use crate::observe::Wave;
use crate::registry::{Run, RunState};

/// Options of a migration: which schemas, and how much of the server it may take.
///
/// A [`Fleet`] turns into options with the defaults:
///
/// ```
/// use std::num::NonZeroU32;
///
/// use tenantry::Fleet;
/// use tenantry::migrate::MigrateOptions;
///
/// let mut options = MigrateOptions::from(Fleet::all());
/// options.jobs = NonZeroU32::new(8).unwrap();
/// assert_eq!(options.limits.lock_timeout.as_secs(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct MigrateOptions {
    /// The schemas to migrate. Default: [`Fleet::all`].
    pub fleet: Fleet,
    /// The version that each tenant is brought to, forwards or back by its `.down.sql` files; 0 undoes all, also a
    /// file that is numbered 0. The master schema, which has versions of its own, is left alone then.
    ///
    /// Default: all files.
    pub to: Option<i64>,
    /// Applies files that come late, to schemas that have applied files with higher versions, if true. The order of
    /// columns then differs from that in new tenants, for example. Default: false; that is an error before
    /// anything is applied.
    pub allow_out_of_order: bool,
    /// The tenants to migrate before all others, to find out whether it goes well. Default: none.
    pub canaries: Option<Canaries>,
    /// The number of failures that stops the run. Default: none does; a tenant that fails stops no other.
    pub max_failures: Option<MaxFailures>,
    /// The number of tenants to migrate at a time. Each takes one connection to its database, beside the
    /// pools', one for the registry and one that holds the lock of the run; one more while a tenant waits
    /// for a lock a second time.
    ///
    /// Default: 4.
    pub jobs: NonZeroU32,
    /// Limits for how long files may wait and run. A file may set other limits for itself.
    pub limits: Limits,
    /// The number of attempts for a schema whose migration could not get a lock, was the victim of a deadlock, or met
    /// somebody else who changed the same row of a catalog. Between the attempts it rests, for half a second at first
    /// and twice as long each time.
    ///
    /// Default: 4.
    pub attempts: NonZeroU32,
    /// Waits where somebody else migrates the fleet, if true. Default: false; that is
    /// [`ErrorKind::Conflict`].
    pub wait: bool,
    /// The operator, for those who read [`Tenancy::runs`](crate::Tenancy::runs), and for whoever wants to
    /// migrate at the same time. Default: the number of this process.
    pub operator: String,
    /// The run that goes on; see [`MigrateOptions::resuming`]. Default: a new one is begun.
    pub resumes: Option<Resumed>,
}

/// A run that goes on.
#[derive(Clone, Copy, Debug)]
pub struct Resumed {
    pub(super) id: i64,
    pub(super) wave: i32,
}

impl Default for MigrateOptions {
    fn default() -> Self {
        const FOUR: NonZeroU32 = NonZeroU32::new(4).unwrap();
        Self {
            fleet: Fleet::default(),
            to: None,
            allow_out_of_order: false,
            canaries: None,
            max_failures: None,
            jobs: FOUR,
            limits: Limits::default(),
            attempts: FOUR,
            wait: false,
            operator: format!("process {}", std::process::id()),
            resumes: None,
        }
    }
}

impl From<Fleet> for MigrateOptions {
    fn from(fleet: Fleet) -> Self {
        Self { fleet, ..Self::default() }
    }
}

/// The options that belong to the run, whoever continues it.
#[derive(Serialize, Deserialize)]
struct Recorded {
    fleet: Fleet,
    to: Option<i64>,
    #[serde(default)]
    allow_out_of_order: bool,
    canaries: Option<Canaries>,
    max_failures: Option<MaxFailures>,
}

impl MigrateOptions {
    /// To go on with a run that was interrupted, that stopped, or in which some tenants failed: the same
    /// tenants, brought to the same version, in the same waves. The rest are defaults.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the run has nothing left to do.
    pub fn resuming(run: &Run) -> Result<Self> {
        if run.state == RunState::Done {
            let message = format!("run {} is done", run.id);
            return Err(Error::new(ErrorKind::InvalidInput, message).with_hint("begin a new one"));
        }
        let kept: Recorded = serde_json::from_value(run.options.clone()).map_err(|error| {
            let message = format!("run {} was begun by another version of tenantry", run.id);
            Error::new(ErrorKind::InvalidInput, message).with_hint("begin a new one").with_source(error)
        })?;
        let Recorded { fleet, to, allow_out_of_order, canaries, max_failures } = kept;
        let resumes = Some(Resumed { id: run.id, wave: run.wave });
        Ok(Self { fleet, to, allow_out_of_order, canaries, max_failures, resumes, ..Self::default() })
    }

    pub(super) fn goals<'a>(&self, migrations: &'a Migrations) -> Result<Goals<'a>> {
        Goals::of(migrations, self.to, !self.allow_out_of_order)
    }

    /// The same goal, reached in the order that these options ask for.
    pub(super) fn in_order<'a>(&self, goal: Goal<'a>) -> Goal<'a> {
        if self.allow_out_of_order { goal } else { goal.in_order() }
    }

    /// Returns true if tenants that are tagged are still to be the first.
    pub(super) fn wants_tagged_canaries(&self) -> bool {
        let is_past = self.resumes.is_some_and(|run| run.wave > Wave::Canaries.number());
        self.canaries == Some(Canaries::Tagged) && !is_past
    }

    /// Returns true if the master schema is migrated as well.
    pub(super) fn has_master(&self) -> bool {
        self.to.is_none() && self.fleet.has_master()
    }

    pub(super) fn to_keep(&self) -> serde_json::Value {
        let Self { fleet, to, allow_out_of_order, canaries, max_failures, .. } = self.clone();
        // Nothing in it can fail to be JSON.
        serde_json::to_value(Recorded { fleet, to, allow_out_of_order, canaries, max_failures })
            .unwrap_or_default()
    }
}
