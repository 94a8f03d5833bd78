//! Reading that nothing can interrupt, away from what it must not hold up.
//!
//! sqlx reads without a pause for as long as there is something to read: a future that throws millions of rows
//! away is polled once, and comes back when they are read. No timer is heard meanwhile. So it is polled on a
//! thread for such work, with the connection but without the slot, and when the time is over, the slot goes
//! on without the connection.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::{Activity, BreaksConnection as _, Lease};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::pool::driver::Driver;

impl<D: Driver> Lease<D> {
    /// Does work that reads the rest of an answer. Dropped, it takes the connection along.
    ///
    /// The permit is given back when nothing is read any more, which may be later.
    pub(super) async fn aside<T: Send + 'static>(
        &mut self,
        permit: OwnedSemaphorePermit,
        work: impl AsyncFnOnce(&D, &mut D::Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if !D::READS_WITHOUT_PAUSE || !stands(Guard::DrainAside) {
            return self.exchange(Activity::Boundary, work).await;
        }
        let Some(mut pooled) = self.slot.pooled.take() else { return Err(interrupted()) };
        let (slots, handle) = (Arc::clone(&self.slot.slots), Handle::current());
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let limit = slots.config.drain_timeout;
            let work =
                async { tokio::time::timeout(limit, work(&slots.driver, &mut pooled.connection)).await };
            let done = handle.block_on(work);
            (pooled, done)
        });
        let (pooled, done) = reading.await.map_err(|_| interrupted())?;
        let done = done.map_err(|_| interrupted())?.inspect_err(|error| {
            if error.breaks_connection() {
                self.slot.slots.doubt_idle();
            }
        })?;
        self.slot.pooled = Some(pooled);
        self.activity = None;
        Ok(done)
    }
}

fn interrupted() -> Error {
    Error::new(ErrorKind::Database, "the rest of an answer was not read in time")
}
