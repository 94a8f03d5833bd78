//! Brings one schema up to date: the recipe.

use sqlx::PgConnection;

use super::concurrent_index::{self, Remains};
use super::file::{apply_alone, apply_batch};
use super::ledger::{self, Ledger};
use super::lock::SchemaLock;
use super::message::Message;
use super::plan::{Applied, Changed, Goal, Step, plan};
use super::send::send_whole;
use super::site::Site;
use crate::error::Result;
use crate::migration::MigrationSet;

/// Brings a schema to its goal, and answers with what was done.
///
/// Repeating it after any interruption goes on where it stopped. Dropping the future leaves the
/// schema at the end of some file, or a `-- no-transaction` file marked as interrupted.
pub(crate) async fn migrate_schema(
    connection: &mut PgConnection,
    site: Site<'_>,
    goal: Goal<'_>,
) -> Result<Changed> {
    let migrate = async |connection: &mut PgConnection| {
        let mut rows = ledger::read(connection, site.schema).await?;
        settle_interrupted(connection, site, goal.files(), &mut rows).await?;
        let plan = plan(goal, &rows).map_err(|conflicts| site.conflict(&conflicts))?;
        let mut ledger = Ledger::of(site.schema, &rows);
        if plan.is_empty() {
            // A schema that was migrated by sqlx itself, or restored, has no summary yet.
            let mut message = Message::new();
            message.push_own(&ledger.summarise());
            send_whole(connection, site, &message).await?;
        }
        for step in &plan.steps {
            match step {
                Step::Batch(changes) => apply_batch(connection, site, &mut ledger, changes).await?,
                Step::Alone(change) => apply_alone(connection, site, &mut ledger, *change).await?,
            }
        }
        Ok(plan.changes().collect())
    };
    SchemaLock::of(site.schema).hold(connection, site.schema, migrate).await
}

/// Finds out how far an interrupted `CREATE INDEX CONCURRENTLY` came. Anything else stays marked,
/// and the plan reports it.
async fn settle_interrupted(
    connection: &mut PgConnection,
    site: Site<'_>,
    files: &MigrationSet,
    rows: &mut Vec<Applied>,
) -> Result<()> {
    let ledger = Ledger::empty(site.schema);
    let interrupted: Vec<i64> = rows.iter().filter(|row| !row.success).map(|row| row.version).collect();
    for version in interrupted {
        let Some(migration) = files.get(version) else { continue };
        match concurrent_index::judge(connection, site.schema, migration.up()).await? {
            None => {}
            Some(Remains::Index) => {
                ledger::write(connection, &ledger.finish(version)).await?;
                rows.iter_mut().filter(|row| row.version == version).for_each(|row| row.success = true);
            }
            Some(Remains::Nothing | Remains::InvalidIndex) => {
                ledger::write(connection, &ledger.delete(version)).await?;
                rows.retain(|row| row.version != version);
            }
        }
    }
    Ok(())
}
