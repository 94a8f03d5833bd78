//! One process at a time works on a schema.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::{advisory_key, is_advisory_lock_held};
use crate::tenant::SchemaName;

/// The longest wait for another process that migrates the same schema.
const PATIENCE: Duration = Duration::from_secs(30);

/// The advisory lock of a schema, held by a session until it says otherwise or ends.
///
/// Advisory locks are per database, so the name of the schema is enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaLock {
    key: i64,
}

impl SchemaLock {
    pub(crate) fn of(schema: &SchemaName) -> Self {
        Self { key: advisory_key(&format!("tenantry schema {schema}")) }
    }

    /// Takes the lock if nobody has it.
    pub(crate) async fn try_take(self, connection: &mut PgConnection) -> Result<bool> {
        let taken =
            sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(self.key).fetch_one(connection);
        Ok(taken.await?)
    }

    /// A condition that takes the lock until the end of the transaction, and holds if nobody has it.
    pub(super) fn try_in_transaction(self) -> String {
        format!("pg_catalog.pg_try_advisory_xact_lock({})", self.key)
    }

    /// A condition that holds while somebody has the lock, for those who only want to know.
    pub(crate) fn is_held(self) -> String {
        is_advisory_lock_held(self.key)
    }

    /// Works while nobody else does: takes the lock, and gives it back however the work ends. A future that is
    /// dropped meanwhile leaves the lock to its session, so that has to end.
    pub(super) async fn hold<T>(
        self,
        connection: &mut PgConnection,
        schema: &SchemaName,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
    ) -> Result<T> {
        self.take(connection, schema).await?;
        let result = work(connection).await;
        let released = self.release(connection).await;
        // Where both fail, the work that lost the connection says more.
        let done = result?;
        released?;
        Ok(done)
    }

    /// Polls for the lock. A session that blocked on it could deadlock with `CREATE INDEX
    /// CONCURRENTLY`, which waits for every open snapshot.
    pub(crate) async fn take(self, connection: &mut PgConnection, schema: &SchemaName) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.try_take(connection).await? {
            if Instant::now() > deadline {
                let message = format!("another process works on schema `{schema}`");
                return Err(Error::new(ErrorKind::Conflict, message).with_hint("wait for it, then try again"));
            }
            tokio::time::sleep(jittered(Duration::from_millis(40))).await;
        }
        Ok(())
    }

    pub(crate) async fn release(self, connection: &mut PgConnection) -> Result<()> {
        sqlx::query("SELECT pg_advisory_unlock($1)").bind(self.key).execute(connection).await?;
        Ok(())
    }
}

/// Between a half and one and a half times the pause, so that pollers do not march in step.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let [random, ..] = uuid::Uuid::new_v4().into_bytes();
    pause / 2 + pause * u32::from(random) / 255
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlx::Connection as _;
    use tenantry_embedded::ScratchDatabase;

    use super::*;

    #[tokio::test]
    async fn the_lock_is_held_while_the_work_lasts_and_given_back_however_it_ends() {
        let database = ScratchDatabase::create().await.unwrap();
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let mut other = PgConnection::connect(database.url()).await.unwrap();
        let schema = SchemaName::parse("acme").unwrap();
        let lock = SchemaLock::of(&schema);
        for ends_well in [true, false] {
            let work = async |_: &mut PgConnection| {
                assert!(!lock.try_take(&mut other).await?);
                if ends_well { Ok(()) } else { Err(Error::new(ErrorKind::Migration, "a file failed")) }
            };
            assert_eq!(lock.hold(&mut connection, &schema, work).await.is_ok(), ends_well);
            assert!(lock.try_take(&mut other).await.unwrap());
            lock.release(&mut other).await.unwrap();
        }
    }
}
