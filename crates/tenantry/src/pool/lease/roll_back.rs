//! The end of a transaction that its owner dropped.
//!
//! It is rolled back in the background, and the server confirms that it is: in the answer to a message that
//! began after the transaction was over, in the schema that the session was in before. Whatever else comes
//! back, or does not come back in time, closes the connection, which ends the transaction as well.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{Activity, Lease};
use crate::database::PoolMode;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::pool::cleaning::{IS_IDLE, SCHEMA, remove_behind_pooler};
use crate::pool::driver::Driver;

/// Asks nothing: what is to be read is in front of the answer.
const READ: &str = "SELECT ''::text";

impl<D: Driver> Lease<D> {
    /// Ends the transaction. With a permit, a statement of it was cut off, and the rest of its answer is read first.
    pub(super) async fn roll_back(&mut self, permit: Option<OwnedSemaphorePermit>) -> Result<()> {
        match (self.slot.slots.config.mode, permit) {
            (PoolMode::Session, Some(permit)) => self.drain_and_roll_back(permit).await,
            (PoolMode::Session, None) => self.roll_back_session().await,
            (PoolMode::Transaction, Some(permit)) => self.drain_and_roll_back_behind_pooler(permit).await,
            (PoolMode::Transaction, None) => self.roll_back_behind_pooler().await,
        }
    }

    async fn drain_and_roll_back(&mut self, permit: OwnedSemaphorePermit) -> Result<()> {
        // Anything may be in the session, whose cleaning verifies it.
        self.touch();
        self.aside(permit, async |driver, connection| {
            driver.roll_back(connection, SCHEMA).await?;
            driver.drain(connection).await
        })
        .await
    }

    async fn roll_back_session(&mut self) -> Result<()> {
        // A touched session is verified by its cleaning.
        let is_verified = !self.is_touched() && stands(Guard::RollbackVerified);
        let expected = self.pooled().session.schema().map(Arc::<str>::from);
        self.exchange(Activity::Boundary, async |driver, connection| {
            let answer = driver.roll_back(connection, SCHEMA).await?;
            let is_where_it_was = answer.is_some() && answer.as_deref() == expected.as_deref();
            if is_where_it_was || !is_verified { Ok(()) } else { Err(not_confirmed()) }
        })
        .await
    }

    /// The rest of the answer is read first and by itself: of an error behind the message that ends the transaction,
    /// nobody could say whether it is that of the statement.
    async fn drain_and_roll_back_behind_pooler(&mut self, permit: OwnedSemaphorePermit) -> Result<()> {
        self.touch();
        self.aside(permit, async |driver, connection| match driver.send(connection, READ).await {
            // That of the statement, or of the transaction in which it failed.
            Err(error) if error.kind() == ErrorKind::Database => Ok(()),
            answer => answer.map(drop),
        })
        .await?;
        self.roll_back_behind_pooler().await
    }

    /// In one message, behind which the session of the server is somebody else's.
    async fn roll_back_behind_pooler(&mut self) -> Result<()> {
        let is_touched = self.is_touched();
        self.exchange(Activity::Boundary, async |driver, connection| {
            driver.forget_named(connection).await?;
            let removal =
                if is_touched { remove_behind_pooler(driver.defaults().statements()) } else { String::new() };
            let answer = driver.roll_back(connection, &format!("{removal}{IS_IDLE}")).await?;
            if answer.is_some() { Ok(()) } else { Err(not_confirmed()) }
        })
        .await?;
        self.end_transaction();
        Ok(())
    }
}

fn not_confirmed() -> Error {
    Error::new(ErrorKind::Database, "the server did not confirm the rollback of a dropped transaction")
}
