//! The errors of a checkout that gets no slot, and of a pool that waits in vain for all of them.

use std::time::Duration;

use super::{Slots, State, count};
use crate::error::{Error, ErrorKind};
use crate::pool::driver::Driver;
use crate::pool::preparation::Preparation;
use crate::pool::step::Step;

impl<D: Driver> Slots<D> {
    pub(super) fn closed_error(&self) -> Error {
        Error::new(ErrorKind::PoolClosed, format!("the pool of database `{}` is closed", self.alias))
    }

    pub(super) fn busy_error(&self, preparation: &Preparation) -> Error {
        let message = format!(
            "{} checkouts wait for a connection to database `{}` already, so {} was turned away",
            self.config.max_waiting,
            self.alias,
            holder_name(preparation),
        );
        with_tenant_of(preparation, Error::new(ErrorKind::PoolBusy, message))
    }

    pub(in crate::pool) fn timeout_error(
        &self,
        preparation: &Preparation,
        limit: Duration,
        step: Step,
    ) -> Error {
        match step {
            Step::Waiting => self.none_free_error(preparation, limit),
            Step::Opening => self.silent_error(preparation, limit, "opened"),
            Step::Switching => self.silent_error(preparation, limit, "prepared"),
        }
    }

    /// The error of a checkout to which the server did not answer.
    fn silent_error(&self, preparation: &Preparation, limit: Duration, what: &str) -> Error {
        let message = format!(
            "database `{}` does not answer: a connection could not be {what} for {} within {limit:?}",
            self.alias,
            holder_name(preparation),
        );
        let hint = "check that the server runs, and that nothing on the way swallows what is sent to it";
        with_tenant_of(preparation, Error::new(ErrorKind::DatabaseUnavailable, message).with_hint(hint))
    }

    fn none_free_error(&self, preparation: &Preparation, limit: Duration) -> Error {
        let state = self.lock();
        let message = format!(
            "no connection to database `{}` became free for {} within {limit:?}: {} of {} are in use{}, {} wait; \
             one tenant may hold {}{}",
            self.alias,
            holder_name(preparation),
            state.slots_in_use - count(state.idle.len()),
            self.config.max_connections,
            if state.opening > 0 {
                format!(", {} of them being opened", state.opening)
            } else {
                String::new()
            },
            state.fairness.waiting(),
            self.config.cap_per_tenant(),
            state.longest_holder().map(|who| format!("; {who}")).unwrap_or_default(),
        );
        with_tenant_of(preparation, Error::new(ErrorKind::PoolTimeout, message))
    }

    pub(super) fn still_held_error(&self) -> Error {
        let state = self.lock();
        let message = format!(
            "{} connections to database `{}` did not come back in time{}",
            state.slots_in_use,
            self.alias,
            state.longest_holder().map(|who| format!("; {who}")).unwrap_or_default(),
        );
        Error::new(ErrorKind::PoolTimeout, message)
    }
}

impl<D: Driver> State<D> {
    fn longest_holder(&self) -> Option<String> {
        let holder = self.holders.values().min_by_key(|holder| holder.since)?;
        let name = holder.preparation.as_deref().map_or_else(|| "the pool itself".to_owned(), holder_name);
        Some(format!("{name} has held one for {:.1?}", holder.since.elapsed()))
    }
}

fn holder_name(preparation: &Preparation) -> String {
    match preparation.tenant() {
        Some(tenant) => format!("tenant `{}`", tenant.slug()),
        None => "the master schema".to_owned(),
    }
}

fn with_tenant_of(preparation: &Preparation, error: Error) -> Error {
    match preparation.tenant() {
        Some(tenant) => error.with_tenant(tenant.slug()),
        None => error,
    }
}
