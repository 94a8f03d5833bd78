//! Has the source keep changes, and lets it forget them again.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::sleep;

use crate::error::{Error, Result, sqlstate};
use crate::lifecycle::contents::{members, qualified};
use crate::lifecycle::relocate::fence::is_held_up;
use crate::lifecycle::relocate::work::Relocation;
use crate::migrate::jittered;
use crate::registry::{LEDGER, moves};
use crate::sql::Identifier;
use crate::tenant::SchemaName;

/// The wait for a lock, behind which others wait.
const LOCK_TIMEOUT: &str = "250ms";
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(100);
/// The longest wait for transactions of the server that were open before.
const OPEN_TRANSACTIONS: &str = "10min";
/// The longest wait for a process that died and still reads the slot.
const IN_USE: Duration = Duration::from_secs(10);

/// Tables in which nothing that the log has tells one row from another. Parts are as their whole.
const WITHOUT_KEY: &str = "relkind IN ('r', 'p') AND relpersistence = 'p' AND relreplident = 'd'
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_index
        WHERE indrelid = coalesce(pg_catalog.pg_partition_root(c.oid), c.oid)
            AND indisprimary AND indimmediate AND indisvalid)";

impl Relocation<'_> {
    /// Makes the publication and the slot. Rows without a key are told by all that is in them, and that comes first: of
    /// a table that is published without, nobody could change a row.
    pub(super) async fn begin_following(
        &self,
        registry: &mut PgConnection,
        source: &mut PgConnection,
    ) -> Result<()> {
        let schema = self.tenant.schema();
        let without_key = names(source, schema, WITHOUT_KEY).await?;
        moves::note_full_identity(registry, self.record.id, &without_key).await?;
        for table in &without_key {
            let full = format!("ALTER TABLE {} REPLICA IDENTITY FULL", qualified(schema, table));
            self.alter(source, &full).await?;
        }
        let published = format!(
            "relkind IN ('r', 'p') AND relpersistence = 'p' AND NOT relispartition AND relname <> '{LEDGER}'"
        );
        let tables = names(source, schema, &published).await?;
        let tables: Vec<_> = tables.iter().map(|name| qualified(schema, name)).collect();
        let tables =
            if tables.is_empty() { String::new() } else { format!("FOR TABLE {}", tables.join(", ")) };
        let name = Identifier(self.slot());
        self.alter(source, &format!("CREATE PUBLICATION {name} {tables}")).await?;
        self.step("waiting for open transactions of the server")?;
        self.send(source, &format!("SET statement_timeout TO '{OPEN_TRANSACTIONS}'")).await?;
        sqlx::query("SELECT pg_catalog.pg_create_logical_replication_slot($1::name, 'pgoutput')")
            .bind(self.slot())
            .execute(&mut *source)
            .await
            .map_err(|error| {
                Error::from(error).with_hint(format!(
                    "a slot waits for all transactions of the server that are open, for up to {OPEN_TRANSACTIONS}"
                ))
            })?;
        self.send(source, "SET statement_timeout TO 0").await
    }

    /// The name of the slot and of the publication. It is that of what is kept, which no other move has.
    pub(super) fn slot(&self) -> &str {
        self.record.kept_schema.as_str()
    }

    /// Changes a table, without making others wait for long.
    async fn alter(&self, source: &mut PgConnection, sql: &str) -> Result<()> {
        let mut attempt = 0;
        loop {
            let statement = format!("BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; {sql}; COMMIT");
            let Err(error) = self.send(source, &statement).await else { return Ok(()) };
            // It is the first that says why.
            let _ = self.send(source, "ROLLBACK").await;
            if attempt == ATTEMPTS || !is_held_up(&error) {
                return Err(error);
            }
            self.step("waiting for locks")?;
            attempt += 1;
            sleep(jittered(PAUSE)).await;
        }
    }

    /// Drops the slot and the publication, and lets rows be told as before. `schema` is what the schema is called by
    /// now. Repeating it does nothing.
    pub(super) async fn end_following(
        &self,
        source: &mut PgConnection,
        schema: &SchemaName,
        full_identity: &[String],
    ) -> Result<()> {
        let deadline = Instant::now() + IN_USE;
        let drop = "SELECT pg_catalog.pg_drop_replication_slot(slot_name) \
                    FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
        while let Err(error) = sqlx::query(drop).bind(self.slot()).execute(&mut *source).await {
            let error = Error::from(error);
            let is_in_use = error.database_code().is_some_and(|code| code == sqlstate::OBJECT_IN_USE);
            if !is_in_use || Instant::now() > deadline {
                return Err(error);
            }
            sleep(jittered(PAUSE)).await;
        }
        let drop = format!("DROP PUBLICATION IF EXISTS {}", Identifier(self.slot()));
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *source).await?;
        let still = names(source, schema, "relkind IN ('r', 'p') AND relreplident = 'f'").await?;
        for table in full_identity.iter().filter(|table| still.contains(table)) {
            let as_before = format!("ALTER TABLE {} REPLICA IDENTITY DEFAULT", qualified(schema, table));
            self.alter(source, &as_before).await?;
        }
        Ok(())
    }
}

async fn names(connection: &mut PgConnection, schema: &SchemaName, condition: &str) -> Result<Vec<String>> {
    let names = sqlx::query_scalar(AssertSqlSafe(members(condition))).bind(schema.as_str());
    Ok(names.persistent(false).fetch_all(connection).await?)
}
