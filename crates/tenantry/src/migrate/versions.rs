//! Tells what the files make at each version: by a replay, which is kept, so that it is made once per set of files.

use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};

use super::scratch::{Scratch, Workshop, check_wanted, in_scratch, remove_leftovers};
use crate::error::{Error, ErrorKind, Result};
use crate::migration::{FOREIGN_LEDGERS, MigrationSet};
use crate::observe::{Step, Steps};
use crate::registry::replays;
use crate::structure::{Fingerprint, History, Objects, StructurePart, Subject, question};
use crate::tenant::Digest;

/// The structure of a schema at each version of its files, as far as they can be replayed.
///
/// Rows are no part of it, and where two versions differ in rows only, or in who owns and may use what, they have the
/// same structure. The latter is known of each version beside it.
#[derive(Debug)]
pub(crate) struct Versions {
    pub(crate) history: History,
    /// Tables of other tools, which do not count. What the files make themselves is none.
    left_out: Vec<String>,
    /// The reason why there are no more.
    pub(crate) obstacle: Option<Obstacle>,
}

/// A file that no empty schema takes: it needs rows of a tenant, say, or code that only an application has.
#[derive(Clone, Debug)]
pub(crate) struct Obstacle {
    pub(crate) version: i64,
    pub(crate) reason: String,
}

impl Versions {
    fn of(history: History, obstacle: Option<Obstacle>) -> Self {
        let others = FOREIGN_LEDGERS.iter().map(|ledger| ledger.table.to_owned());
        let left_out = others.filter(|table| !history.makes_relation(table)).collect();
        Self { history, left_out, obstacle }
    }

    /// The part of a schema's structure that the files decide.
    pub(crate) fn extent(&self) -> StructurePart<'_> {
        StructurePart::Shape(&self.left_out)
    }

    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The reason why nothing is known of a version.
    pub(crate) fn obstacle_to(&self, version: i64) -> Option<&Obstacle> {
        self.obstacle.as_ref().filter(|obstacle| obstacle.version <= version)
    }
}

/// Tells what these files make, from what was kept, or else by a replay.
///
/// What cannot be replayed is told, and then nothing is kept: what was in the way may be gone the next time.
pub(crate) async fn versions(
    workshop: Workshop<'_>,
    files: &MigrationSet,
    steps: &dyn Steps,
) -> Result<Versions> {
    let mut connection = workshop.connect().await?;
    let environment = environment(&mut connection, workshop).await?;
    if let Some(kept) = find(&mut connection, files, &environment).await? {
        return Ok(kept);
    }
    remove_leftovers(workshop).await?;
    let versions = in_scratch(workshop, async |scratch| replay(scratch, files, steps).await).await?;
    if versions.obstacle.is_none() {
        let history = serde_json::to_string(&versions.history).map_err(|error| {
            Error::new(ErrorKind::Migration, "a replay cannot be kept").with_source(error)
        })?;
        let mut tx = connection.begin().await?;
        replays::keep(&mut tx, &files.digest(), &environment, &history).await?;
        tx.commit().await?;
    }
    connection.close().await?;
    Ok(versions)
}

/// Tells the same from what was kept; `None` if nothing was.
pub(crate) async fn kept_versions(workshop: Workshop<'_>, files: &MigrationSet) -> Result<Option<Versions>> {
    let mut connection = workshop.connect().await?;
    let environment = environment(&mut connection, workshop).await?;
    let found = find(&mut connection, files, &environment).await?;
    connection.close().await?;
    Ok(found)
}

/// The text of the question is part of it: another release may ask for more.
async fn environment(connection: &mut PgConnection, workshop: Workshop<'_>) -> Result<Digest> {
    let program = Sha256::digest(question());
    let application = workshop.holders().application;
    replays::environment(connection, workshop.layout, application, &program).await
}

async fn find(
    connection: &mut PgConnection,
    files: &MigrationSet,
    environment: &Digest,
) -> Result<Option<Versions>> {
    let found = replays::find(connection, &files.digest(), environment).await?;
    // What cannot be read is as if it were not there.
    let history = found.and_then(|found| serde_json::from_str(&found).ok());
    Ok(history.map(|history| Versions::of(history, None)))
}

/// Replays the files one by one, and looks at the schema after each.
async fn replay(scratch: &mut Scratch<'_>, files: &MigrationSet, steps: &dyn Steps) -> Result<Versions> {
    let mut history = History::default();
    look(scratch, None, &mut history).await?;
    for (number, migration) in files.iter().enumerate() {
        check_wanted(steps)?;
        steps.step(Step::new("replaying migrations", number, Some(files.len())));
        let version = migration.version();
        match scratch.migrate_to(&files.through(version)).await {
            Ok(()) => look(scratch, Some(version), &mut history).await?,
            Err(error) if error.kind() == ErrorKind::Migration => {
                let obstacle = Obstacle { version, reason: error.to_string() };
                return Ok(Versions::of(history, Some(obstacle)));
            }
            Err(error) => return Err(error),
        }
    }
    steps.step(Step::new("replaying migrations", files.len(), Some(files.len())));
    Ok(Versions::of(history, None))
}

/// Everything that is there counts: whatever it is called, the files have made it.
async fn look(scratch: &mut Scratch<'_>, version: Option<i64>, history: &mut History) -> Result<()> {
    let holders = scratch.holders();
    let Scratch { connection, schema, .. } = scratch;
    let (subject, extent) = (Subject { schema, own_role: None }, StructurePart::Shape(&[]));
    let mut tx = connection.begin().await?;
    let fingerprint = Fingerprint::within(&mut tx, subject, extent).await?;
    let permissions = Objects::permissions(&mut tx, subject, holders, &[]).await?;
    let objects = match history.newest_fingerprint() {
        Some(newest) if newest == fingerprint => None,
        _ => Some(Objects::within(&mut tx, subject, extent).await?),
    };
    history.push(version, fingerprint, objects, permissions);
    Ok(tx.rollback().await?)
}

#[cfg(test)]
mod tests;
