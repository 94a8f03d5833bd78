//! From migrations to a text that was proven, by a replay.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::facts::{Facts, Likeness};
use super::options::FirstRows;
use super::privileges::{self, Privilege};
use super::refusal::{nothing, refuse_changes_outside, refused};
use super::{dump, reading, rows};
use crate::error::{Error, Result};
use crate::migrate::scratch::{Scratch, Workshop, check_wanted, in_scratch};
use crate::migrate::site::Site;
use crate::migration::{Baseline, BaselineHead, MigrationError, MigrationSet, baseline_of};
use crate::observe::{Step, Steps};
use crate::tenant::SchemaName;

/// A schema as the catalogs have it, once it is filled.
pub(super) struct Filled {
    facts: Facts,
    privileges: BTreeSet<Privilege>,
}

pub(super) enum Made {
    Proven {
        text: String,
        /// That of the text.
        filled: Filled,
    },
    /// In these tables, which are not among those whose rows are carried.
    LeavesRows(Vec<String>),
}

/// Migrations on their way to one file.
pub(super) struct Squash<'a> {
    pub(super) workshop: Workshop<'a>,
    pub(super) steps: &'a dyn Steps,
    pub(super) with_rows: &'a [String],
    pub(super) files: MigrationSet,
    /// True if it ends before the version that was wanted, so that tables may not be there yet.
    pub(super) is_partial: bool,
}

/// A replay, as its dump and as the catalogs have it.
struct Replay {
    schema: SchemaName,
    /// The tables whose rows it has.
    with_rows: Vec<String>,
    dump: String,
    filled: Filled,
}

impl Squash<'_> {
    pub(super) async fn make<E: From<Error>>(
        &self,
        dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Made, E> {
        let mut replay = match self.replay(dump).await? {
            Ok(replay) => replay,
            Err(tables) => return Ok(Made::LeavesRows(tables)),
        };
        let mut text = self.text_of(&replay)?;
        let mut filled = self.filled_by(&self.parse(&text)?).await?;
        let privileges = (&filled.privileges, &replay.filled.privileges);
        let statements = privileges::statements_for(&replay.schema, privileges.0, privileges.1);
        if !statements.is_empty() {
            for statement in statements {
                // Writing to a string does not fail.
                let _ = writeln!(replay.dump, "{statement};");
            }
            text = self.text_of(&replay)?;
            filled = self.filled_by(&self.parse(&text)?).await?;
        }
        match filled.difference(&replay.filled, Likeness::InMeaning) {
            None => Ok(Made::Proven { text, filled }),
            Some(difference) => {
                Err(refused(format!("what it makes is not what the migrations make: {difference}"))
                    .with_hint("`pg_dump` does not write this down; take a version before it with `--at`")
                    .into())
            }
        }
    }

    /// Replays the migrations, or names the tables in which they leave rows.
    async fn replay<E: From<Error>>(
        &self,
        dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Result<Replay, Vec<String>>, E> {
        in_scratch(self.workshop, async |scratch| {
            let shared = self.shared_schemas();
            let schema = scratch.schema.clone();
            let before = reading::of_database(&mut scratch.connection, &schema, &shared).await?;
            scratch.migrate(&self.files, self.steps).await?;
            let with_rows = self.tables_there(scratch).await?;
            let tables = self.other_tables_with_rows(scratch).await?;
            if !tables.is_empty() {
                return Ok(Err(tables));
            }
            let filled = read(scratch, &with_rows).await?;
            let after = reading::of_database(&mut scratch.connection, &schema, &shared).await?;
            refuse_changes_outside(&after.changed_since(&before, &filled.facts))?;
            self.begin("writing down what they make")?;
            let dump = dump::dump_of(scratch, &with_rows, dump).await?;
            Ok(Ok(Replay { schema, with_rows, dump, filled }))
        })
        .await
    }

    /// Finds the version from which on there are rows, by replaying the files one by one.
    pub(super) async fn first_rows(&self, tables: Vec<String>) -> Result<FirstRows> {
        in_scratch(self.workshop, async |scratch| {
            let mut first = None;
            for (number, migration) in self.files.iter().enumerate() {
                self.begin("looking for the first rows")?;
                scratch.migrate_to(&self.files.through(migration.version())).await?;
                self.steps.step(Step::new("looking for the first rows", number + 1, Some(self.files.len())));
                let has_rows = !self.other_tables_with_rows(scratch).await?.is_empty();
                first = first.filter(|_| has_rows).or_else(|| has_rows.then_some(migration));
            }
            let first = first
                .ok_or_else(|| refused("the migrations leave rows in one replay and none in another"))?;
            Ok(FirstRows { version: first.version(), file: first.file().to_owned(), tables })
        })
        .await
    }

    async fn other_tables_with_rows(&self, scratch: &mut Scratch<'_>) -> Result<Vec<String>> {
        let site = Site::scratch(self.workshop.layout, self.workshop.alias, &scratch.schema);
        let mut tables = rows::tables_with_rows(&mut scratch.connection, site).await?;
        tables.retain(|table| !self.with_rows.contains(table));
        Ok(tables)
    }

    pub(super) async fn filled_by(&self, baseline: &Baseline) -> Result<Filled> {
        in_scratch(self.workshop, async |scratch| {
            self.begin("applying the text")?;
            scratch.start_from(baseline).await?;
            read(scratch, baseline.with_rows()).await
        })
        .await
    }

    /// Tells what comes next, unless that is not wanted any more.
    fn begin(&self, what: &str) -> Result<()> {
        check_wanted(self.steps)?;
        self.steps.step(Step::new(what, 0, None));
        Ok(())
    }

    /// The tables whose rows are wanted.
    async fn tables_there(&self, scratch: &mut Scratch<'_>) -> Result<Vec<String>> {
        let mut there = Vec::new();
        for table in self.with_rows {
            if rows::is_there(&mut scratch.connection, &scratch.schema, table).await? {
                there.push(table.clone());
            } else if !self.is_partial {
                return Err(nothing(format!(
                    "the migrations make no table `{table}` whose rows could be carried"
                )));
            }
        }
        Ok(there)
    }

    fn text_of(&self, replay: &Replay) -> Result<String> {
        let version = self.files.latest().unwrap_or_default();
        let head = BaselineHead { version, digest: self.files.digest(), rows: replay.with_rows.clone() };
        baseline_of(&replay.dump, &replay.schema, &head)
    }

    fn parse(&self, text: &str) -> Result<Baseline> {
        Baseline::parse("a fresh baseline", text, &self.files)
            .map_err(|errors| Error::from(MigrationError::first_of(errors)))
    }

    /// The schemas beside those of tenants.
    fn shared_schemas(&self) -> Vec<&str> {
        let layout = self.workshop.layout;
        let names = [&layout.master_schema].into_iter().chain(&layout.extension_schemas);
        names.map(SchemaName::as_str).chain(["public"]).collect()
    }
}

async fn read(scratch: &mut Scratch<'_>, with_rows: &[String]) -> Result<Filled> {
    let facts = reading::of_schema(&mut scratch.connection, &scratch.schema, with_rows).await?;
    let privileges = privileges::read(&mut scratch.connection, &scratch.schema).await?;
    Ok(Filled { facts, privileges })
}

impl Filled {
    pub(super) fn difference(&self, should_be: &Self, likeness: Likeness) -> Option<String> {
        let facts = self.facts.difference(&should_be.facts, likeness);
        facts.or_else(|| privileges::difference(&self.privileges, &should_be.privileges))
    }
}
