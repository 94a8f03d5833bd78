//! Keeps count of what has become of the schemas of a run.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use time::OffsetDateTime;

use super::options::MigrateOptions;
use super::plan::Changed;
use crate::error::{ErrorKind, Result};
use crate::observe::{Outcome, Wave};
use crate::registry::RunEntry;
use crate::tenant::{Alias, Tenant, TenantId};

/// The outcome of a migration of the fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// The number it was recorded under; `None` where there was nothing to do.
    pub run: Option<i64>,
    /// Schemas that were changed.
    pub migrated: usize,
    /// Schemas that were where they were to be.
    pub up_to_date: usize,
    /// Schemas where a file failed; they are as they were before that file.
    pub failed: usize,
    /// The reason why it ended before all tenants were tried, if it did.
    pub stopped: Option<Stopped>,
}

/// The reason why a run ended before all tenants were tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// A canary failed.
    #[error("a canary failed")]
    Canary,
    /// More tenants failed than may.
    #[error("too many tenants failed")]
    TooManyFailures,
    /// The observer said so.
    #[error("it was cancelled")]
    Cancelled,
}

/// The outcome for the schemas so far.
pub(super) struct Progress {
    pub(super) wave: Wave,
    pub(super) summary: Summary,
    /// The number of tenants in the wave.
    pub(super) tenants: u64,
    pub(super) canaries: HashSet<TenantId>,
    /// The databases where something was committed in this wave.
    pub(super) changed: BTreeSet<Alias>,
}

impl Progress {
    pub(super) fn begin(options: &MigrateOptions) -> Self {
        let is_past_canaries = options.resumes.is_some_and(|run| run.wave > Wave::Canaries.number());
        let wave = if options.canaries.is_none() || is_past_canaries { Wave::Fleet } else { Wave::Canaries };
        Self {
            wave,
            summary: Summary::default(),
            tenants: 0,
            canaries: HashSet::new(),
            changed: BTreeSet::new(),
        }
    }

    pub(super) fn count(&mut self, done: &Done) {
        match &done.result {
            Err(_) => self.summary.failed += 1,
            Ok(changed) if changed.is_empty() => self.summary.up_to_date += 1,
            Ok(_) => self.summary.migrated += 1,
        }
        if let Some(tenant) = &done.tenant
            && self.wave == Wave::Canaries
        {
            self.canaries.insert(tenant.id());
        }
        // Of what failed, earlier files may have been committed. Where the server went away they may be
        // lost, and nobody was told of them.
        let has_committed = match &done.result {
            Ok(changed) => !changed.is_empty(),
            Err(error) => error.kind() != ErrorKind::DatabaseUnavailable,
        };
        if has_committed {
            let alias = done.tenant.as_ref().map(|tenant| tenant.database().clone());
            self.changed.insert(alias.unwrap_or_default());
        }
    }
}

/// The outcome for one schema.
pub(super) struct Done {
    /// `None` for the master schema.
    pub(super) tenant: Option<Tenant>,
    /// The version it was at, where that is known.
    pub(super) from: Option<i64>,
    pub(super) result: Result<Changed>,
    pub(super) elapsed: Duration,
}

impl Done {
    fn changed(&self) -> (&[i64], &[i64]) {
        self.result.as_ref().map_or((&[], &[]), |changed| (&changed.applied, &changed.undone))
    }

    pub(super) fn outcome(&self, wave: Wave) -> Outcome<'_> {
        let (applied, undone) = self.changed();
        Outcome {
            tenant: self.tenant.as_ref(),
            wave,
            applied,
            undone,
            error: self.result.as_ref().err(),
            elapsed: self.elapsed,
        }
    }

    pub(super) fn is_worth_an_entry(&self) -> bool {
        !matches!(&self.result, Ok(changed) if changed.is_empty())
    }

    pub(super) fn entry(&self, wave: Wave) -> RunEntry {
        let (applied, undone) = self.changed();
        RunEntry {
            slug: self.tenant.as_ref().map(|tenant| tenant.slug().to_string()),
            wave: wave.number(),
            from_version: self.from,
            applied: applied.to_vec(),
            undone: undone.to_vec(),
            error: self.result.as_ref().err().map(ToString::to_string),
            elapsed: self.elapsed,
            finished_at: OffsetDateTime::now_utc(),
        }
    }
}
