//! The connections of those who work on schemas.

use std::sync::Mutex;

use sqlx::PgConnection;

use crate::error::Result;
use crate::pool::Databases;
use crate::tenant::Alias;

/// One connection for each who works at this moment, kept for who comes next.
///
/// No more are open than work or have worked at the same time in one database. A connection that is
/// not put back is closed, which is right for one whose future was dropped.
pub(super) struct Workers<'a> {
    databases: &'a Databases,
    idle: Mutex<Vec<Worker>>,
}

/// A connection that may create and alter schemas.
pub(super) struct Worker {
    alias: Alias,
    pub(super) connection: PgConnection,
}

impl<'a> Workers<'a> {
    pub(super) fn of(databases: &'a Databases) -> Self {
        Self { databases, idle: Mutex::default() }
    }

    pub(super) async fn take(&self, alias: &Alias) -> Result<Worker> {
        if let Some(worker) = self.take_idle(alias) {
            return Ok(worker);
        }
        let connection = self.databases.owner_connection(alias).await?;
        Ok(Worker { alias: alias.clone(), connection })
    }

    pub(super) fn put_back(&self, worker: Worker) {
        self.idle().push(worker);
    }

    /// Closes a connection that was lost, and those that idled meanwhile: they may be lost as well.
    pub(super) fn discard(&self, worker: Worker) {
        self.idle().retain(|idle| idle.alias != worker.alias);
    }

    fn take_idle(&self, alias: &Alias) -> Option<Worker> {
        let mut idle = self.idle();
        let index = idle.iter().rposition(|worker| worker.alias == *alias)?;
        Some(idle.swap_remove(index))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
