//! Brings one schema up to date: the recipe.

use sqlx::PgConnection;

use super::alone::apply_alone;
use super::concurrent_index::{self, Extent};
use super::file::apply_batch;
use super::ledger::{self, Ledger};
use super::lock::SchemaLock;
use super::message::Message;
use super::plan::{Applied, Changed, Goal, Step, plan};
use super::send::send_whole;
use super::site::Site;
use crate::error::{ErrorKind, Result};
use crate::migration::Migration;

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
        check_type(connection, site).await?;
        let mut rows = ledger::read(connection, site.schema).await?;
        let Settled { halves, done, undone } = settle_interrupted(connection, site, goal, &mut rows).await?;
        let plan = plan(goal, &rows).map_err(|conflicts| site.conflict(&conflicts))?;
        let mut ledger = Ledger::of(site.schema, &rows);
        for version in &undone {
            ledger.remove(*version);
        }
        if plan.is_empty() {
            // A schema that was migrated by sqlx itself, or restored, has no summary yet.
            let mut message = Message::new();
            message.push_own(&ledger.summarise());
            send_whole(connection, site, &message).await?;
        }
        for step in &plan.steps {
            match step {
                Step::Batch(changes) => apply_batch(connection, site, &mut ledger, changes).await?,
                Step::Alone(change) => {
                    let resumes = halves.contains(&change.migration().version());
                    apply_alone(connection, site, &mut ledger, *change, resumes).await?;
                }
            }
        }
        let mut changed: Changed = plan.changes().collect();
        changed.applied.splice(0..0, done);
        changed.undone.splice(0..0, undone);
        Ok(changed)
    };
    SchemaLock::of(site.schema).hold(connection, site.schema, migrate).await
}

/// Makes sure that the ledger is that of the tenant's type, which may be half changed, or changed since it was read.
async fn check_type(connection: &mut PgConnection, site: Site<'_>) -> Result<()> {
    let Some(condition) = site.has_type() else { return Ok(()) };
    let ask = sqlx::AssertSqlSafe(format!("SELECT {condition}"));
    if sqlx::query_scalar(ask).persistent(false).fetch_one(connection).await? {
        return Ok(());
    }
    let message = format!("the type of the tenant is being changed, or was just changed ({})", site.whose());
    Err(site.error(ErrorKind::Conflict, message).with_hint(
        "migrate it again; if this stays, `tenantry doctor` has the command that finishes the change",
    ))
}

/// The versions of interrupted files that were judged.
#[derive(Default)]
struct Settled {
    /// Versions to be done again, of which half is there.
    halves: Vec<i64>,
    /// Versions that turned out to be applied.
    done: Vec<i64>,
    /// Versions that are not wanted, and of which nothing is left.
    undone: Vec<i64>,
}

/// Finds out how far interrupted files came that only build and drop indexes. What was done is noted, and what was
/// not, or only half, is pending again. What is half done and not wanted is removed. Anything else stays marked, and
/// the plan reports it.
async fn settle_interrupted(
    connection: &mut PgConnection,
    site: Site<'_>,
    goal: Goal<'_>,
    rows: &mut Vec<Applied>,
) -> Result<Settled> {
    let ledger = Ledger::empty(site.schema);
    let interrupted: Vec<i64> = rows.iter().filter(|row| !row.success).map(|row| row.version).collect();
    let mut settled = Settled::default();
    for version in interrupted {
        let Some(script) = goal.files().get(version).map(Migration::up) else { continue };
        match concurrent_index::judge(connection, site.schema, script).await? {
            Some(Extent::All) => {
                ledger::write(connection, &ledger.finish(site.dialect, version)).await?;
                rows.iter_mut().filter(|row| row.version == version).for_each(|row| row.success = true);
                settled.done.push(version);
            }
            Some(Extent::Nothing) => {
                ledger::write(connection, &ledger.delete(version)).await?;
                rows.retain(|row| row.version != version);
                settled.undone.extend(Some(version).filter(|version| !goal.has(*version)));
            }
            Some(Extent::Part) if goal.has(version) => {
                // Its mark stays until it is made anew.
                rows.retain(|row| row.version != version);
                settled.halves.push(version);
            }
            Some(Extent::Part) if concurrent_index::unmake(connection, site.schema, script).await? => {
                ledger::write(connection, &ledger.delete(version)).await?;
                rows.retain(|row| row.version != version);
                settled.undone.push(version);
            }
            Some(Extent::Part) | None => {}
        }
    }
    Ok(settled)
}
