//! Makes a clone anonymous.

use sqlx::PgConnection;

use super::pair::Pair;
use crate::error::{Error, ErrorKind, Result};
use crate::migrate::{Message, send};
use crate::migration::Script;
use crate::observe::Step;

impl Pair<'_> {
    /// Runs the operator's SQL in the clone, and asks which tables it has written to.
    pub(super) async fn anonymize(&self, tx: &mut PgConnection, script: &Script) -> Result<()> {
        self.check_wanted()?;
        self.steps.step(Step::new("making the clone anonymous", 0, None));
        let site = self.site();
        let mut message = Message::new();
        message.push_own(&format!("SET LOCAL search_path TO {}", site.path()));
        message.push_file(script.text());
        message.push_own("SET CONSTRAINTS ALL IMMEDIATE");
        send(tx, site, &message).await?;
        // A foreign key locks a shared table in another mode.
        let outside: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT pg_catalog.concat_ws('.', n.nspname, c.relname) FROM pg_catalog.pg_locks AS l
             JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
                 AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                 AND n.nspname NOT IN ($1, 'pg_catalog', 'pg_toast') AND n.oid <> pg_catalog.pg_my_temp_schema()
                 AND l.relation <> ALL ($2::pg_catalog.regclass[])",
        )
        .bind(self.clone.schema().as_str())
        .bind(["tenantry.applied", "tenantry.applied_pkey"].map(str::to_owned).to_vec())
        .persistent(false)
        .fetch_all(&mut *tx)
        .await?;
        match outside.first() {
            None => Ok(()),
            Some(table) => {
                let message = format!("{} changes `{table}`, which is not in the clone", script.file());
                Err(Error::new(ErrorKind::InvalidInput, message).with_tenant(self.clone.slug()))
            }
        }
    }
}
