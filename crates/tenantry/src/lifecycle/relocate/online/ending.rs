//! Removes what the move needed, for a tenant that is served by now.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Result;
use crate::lifecycle::contents::qualified;
use crate::lifecycle::relocate::work::Relocation;
use crate::observe::Step;
use crate::registry::{MoveMethod, moves};
use crate::sql::Identifier;
use crate::tenant::SchemaName;

/// The foreign keys of the schema `$1` that hold, or do not need to, as `$2` says: their tables and names.
const FOREIGN_KEYS: &str = "SELECT relname::text, conname::text FROM pg_catalog.pg_constraint
    JOIN pg_catalog.pg_class ON pg_class.oid = conrelid
    WHERE connamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
        AND contype = 'f' AND conparentid = 0 AND convalidated = $2";

impl Relocation<'_> {
    /// Has the source, where the schema is called by this name, forget what it keeps of changes. Of a move that keeps
    /// none, there is nothing to do.
    pub(in crate::lifecycle) async fn forget_changes(
        &self,
        registry: &mut PgConnection,
        source: &mut PgConnection,
        schema: &SchemaName,
    ) -> Result<()> {
        if self.record.method == MoveMethod::Offline {
            return Ok(());
        }
        let full_identity = moves::full_identity(registry, self.record.id).await?;
        self.end_following(source, schema, &full_identity).await
    }

    /// Leaves nothing of the move but the copy that is kept. Repeating it after any interruption goes on.
    pub(in crate::lifecycle) async fn finish_online(
        &self,
        registry: &mut PgConnection,
        target: &mut PgConnection,
    ) -> Result<()> {
        self.steps.step(Step::new("forgetting changes", 0, None));
        let mut source = self.context.databases.unlimited_owner_connection(&self.record.source).await?;
        let kept = &self.record.kept_schema;
        self.forget_changes(registry, &mut source, kept).await?;
        let were_valid = foreign_keys(&mut source, kept, true).await?;
        let schema = self.tenant.schema();
        for (table, key) in foreign_keys(target, schema, false).await? {
            // One that need not hold there need not hold here.
            if were_valid.contains(&(table.clone(), key.clone())) {
                let validate = format!(
                    "ALTER TABLE {} VALIDATE CONSTRAINT {}",
                    qualified(schema, &table),
                    Identifier(&key)
                );
                self.send(target, &validate).await?;
            }
        }
        Ok(())
    }
}

async fn foreign_keys(
    connection: &mut PgConnection,
    schema: &SchemaName,
    is_valid: bool,
) -> Result<Vec<(String, String)>> {
    let keys = sqlx::query_as(AssertSqlSafe(FOREIGN_KEYS)).bind(schema.as_str()).bind(is_valid);
    Ok(keys.persistent(false).fetch_all(connection).await?)
}
