//! A run over the fleet: what the work on all its schemas shares.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::OnceCell;

use super::goals::Goals;
use super::groups::Groups;
use super::limits::Terms;
use super::options::MigrateOptions;
use super::record::Record;
use super::workers::Workers;
use crate::context::Context;
use crate::error::Result;
use crate::observe::{Observer, Wave};

/// A run that is under way. Each level of the work adds its calls to it: `wave` and `tenant`.
pub(super) struct FleetRun<'a> {
    pub(super) context: &'a Context,
    pub(super) options: &'a MigrateOptions,
    pub(super) goals: Goals<'a>,
    pub(super) observer: &'a dyn Observer,
    pub(super) workers: Workers<'a>,
    pub(super) groups: Groups<'a>,
    /// There once there is something to do, so that a run without work costs nothing.
    pub(super) record: OnceCell<Record>,
    /// Something went wrong that ends the run.
    pub(super) is_stopping: AtomicBool,
}

impl<'a> FleetRun<'a> {
    pub(super) fn new(
        context: &'a Context,
        options: &'a MigrateOptions,
        observer: &'a dyn Observer,
    ) -> Result<Self> {
        let goals = options.goals(&context.migrations)?;
        Ok(Self {
            context,
            options,
            observer,
            workers: Workers::of(&context.databases),
            groups: Groups::of(goals.clone()),
            goals,
            record: OnceCell::new(),
            is_stopping: AtomicBool::new(false),
        })
    }

    /// The run's place in the registry, which is made when it is first asked for.
    pub(super) async fn record(&self, wave: Wave) -> Result<&Record> {
        let begin = || Record::begin(self.context, &self.workers, self.options, &self.goals, wave);
        self.record.get_or_try_init(begin).await
    }

    /// No further tenant is begun.
    pub(super) fn is_over(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed) || self.observer.is_cancelled()
    }

    pub(super) fn terms(&self, record: &Record) -> Terms {
        Terms { limits: self.options.limits, token: record.token() }
    }
}
