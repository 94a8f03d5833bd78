//! Enters in the diary what a run did and did not come to write down.
//!
//! A run writes what became of its schemas a little after they were committed, so one that is killed has done more than
//! it wrote. The ledgers say what that was: they note when each migration was applied.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use super::fleet::tenants;
use super::ledger::{self, Dated};
use super::options::MigrateOptions;
use super::workers::Workers;
use crate::context::Context;
use crate::error::Result;
use crate::migration::{MigrationSet, digest_of};
use crate::registry::diary::{ChangedSchema, Entered, changed_since, known};
use crate::registry::{Run, RunEntry, runs};
use crate::tenant::{Alias, Digest, SchemaName, Tenant};

/// Tenants whose ledgers are compared with the diary at a time.
const PAGE: usize = 1_000;

/// Completes the diary of each run that was interrupted, and of the one that goes on. The caller holds the lock of
/// whoever migrates the fleet, so none of them is under way.
///
/// What cannot be read is left out and logged: the ledgers are the truth, and a gap in the diary stops nobody.
pub(super) async fn catch_up(
    context: &Context,
    workers: &Workers<'_>,
    session: &mut PgConnection,
    resumed: Option<i64>,
) -> Result<()> {
    for run in runs::with_gaps(session, resumed).await? {
        let may_undo = MigrateOptions::resuming(&run).is_ok_and(|options| options.to.is_some());
        let gaps = Gaps { context, workers, run: &run, may_undo };
        if let Err(error) = gaps.fill(session).await {
            tracing::warn!(run = run.id, %error, "The diary of run {} may have gaps: {error}", run.id);
        }
    }
    Ok(())
}

/// A run whose diary may have gaps.
struct Gaps<'a> {
    context: &'a Context,
    workers: &'a Workers<'a>,
    run: &'a Run,
    /// It was to bring tenants to a version, which may be an earlier one.
    may_undo: bool,
}

/// A schema that the run may have changed.
struct Member {
    /// Empty for the master schema.
    slug: String,
    schema: SchemaName,
    database: Alias,
    known: Entered,
}

impl Gaps<'_> {
    async fn fill(&self, session: &mut PgConnection) -> Result<()> {
        let options = MigrateOptions::resuming(self.run)?;
        if options.has_master() {
            let schema = self.context.layout.master_schema.clone();
            let files = self.context.migrations.master();
            let goal = (files, files.digest());
            self.fill_page(session, vec![(String::new(), schema, Alias::default())], goal).await?;
        }
        // With other files than the run was begun with, no tenant is where it was to be.
        let goals = options.goals(&self.context.migrations).ok();
        let goals = goals.filter(|goals| goals.digest() == self.run.digest);
        let all = tenants(&self.context.databases, self.workers, &options.fleet);
        let mut pages = std::pin::pin!(all.try_chunks(PAGE));
        while let Some(page) = pages.try_next().await.map_err(|error| error.1)? {
            // What was made since the run began has applied its files when it was made.
            let meant = page.iter().filter(|tenant| tenant.created_at() < self.run.started_at);
            let mut by_type: BTreeMap<_, Vec<&Tenant>> = BTreeMap::new();
            meant.for_each(|tenant| by_type.entry(tenant.type_name()).or_default().push(tenant));
            for (type_name, tenants) in by_type {
                let goal = goals.as_ref().and_then(|goals| goals.of_tenant(tenants.first()?).ok());
                let digest = goal.map_or(self.run.digest, |goal| goal.digest());
                let files = self.context.migrations.of_type(type_name);
                let goal = (files.unwrap_or(self.context.migrations.tenant()), digest);
                let schemas = tenants.into_iter().map(|tenant| {
                    (tenant.slug().to_string(), tenant.schema().clone(), tenant.database().clone())
                });
                self.fill_page(session, schemas.collect(), goal).await?;
            }
        }
        Ok(())
    }

    async fn fill_page(
        &self,
        session: &mut PgConnection,
        schemas: Vec<(String, SchemaName, Alias)>,
        goal: (&MigrationSet, Digest),
    ) -> Result<()> {
        let slugs: Vec<_> = schemas.iter().map(|(slug, ..)| slug.as_str()).collect();
        let mut known = known(session, self.run.id, &slugs).await?;
        let members = schemas.into_iter().map(|(slug, schema, database)| {
            let known = known.remove(&slug).unwrap_or_default();
            Member { slug, schema, database, known }
        });
        let members: Vec<_> = members.filter(|member| !member.known.is_migrated).collect();
        let databases: BTreeSet<_> = members.iter().map(|member| &member.database).collect();
        for alias in databases {
            let there = members.iter().filter(|member| member.database == *alias).collect::<Vec<_>>();
            let look =
                async |connection: &mut PgConnection| self.missing_entries(connection, &there, goal).await;
            match self.workers.with(alias, look).await {
                Ok(entries) if entries.is_empty() => {}
                Ok(entries) => runs::insert_entries(session, self.run.id, &entries).await?,
                Err(error) => {
                    tracing::warn!(database = %alias, %error, "The diary has gaps in database `{alias}`");
                }
            }
        }
        Ok(())
    }

    async fn missing_entries(
        &self,
        connection: &mut PgConnection,
        members: &[&Member],
        goal: (&MigrationSet, Digest),
    ) -> Result<Vec<RunEntry>> {
        let schemas: Vec<_> = members.iter().map(|member| member.schema.as_str()).collect();
        let mut entries = Vec::new();
        for changed in changed_since(connection, &schemas, self.run.started_at).await? {
            let Some(member) = members.iter().find(|member| member.schema.as_str() == changed.schema) else {
                continue;
            };
            let rows = ledger::history(connection, &member.schema).await?;
            entries.extend(self.entry(member, &changed, &rows, goal));
        }
        Ok(entries)
    }

    /// The entry that a schema lacks, if any.
    fn entry(
        &self,
        member: &Member,
        changed: &ChangedSchema,
        rows: &[Dated],
        (files, goal): (&MigrationSet, Digest),
    ) -> Option<RunEntry> {
        let is_there = |row: &&Dated| row.applied.success;
        let (new, old): (Vec<_>, Vec<_>) =
            rows.iter().filter(is_there).partition(|row| row.began_at >= self.run.started_at);
        let applied = new.iter().map(|row| row.applied.version);
        let applied: Vec<_> = applied.filter(|version| !member.known.applied.contains(version)).collect();
        let mut undone = if self.may_undo { changed.undone.clone() } else { Vec::new() };
        undone.retain(|version| !member.known.undone.contains(version));
        // What was applied again since then is in the ledger.
        undone.retain(|version| !rows.iter().filter(is_there).any(|row| row.applied.version == *version));
        if applied.is_empty() && undone.is_empty() {
            return None;
        }
        let is_done = changed.digest == goal;
        let gone = undone.iter().filter_map(|version| Some((*version, files.get(*version)?.checksum())));
        let before: BTreeMap<_, _> = old
            .iter()
            .map(|row| (row.applied.version, row.applied.checksum.as_slice()))
            .chain(gone)
            .collect();
        let nanoseconds = new.iter().map(|row| u64::try_from(row.nanoseconds).unwrap_or_default()).sum();
        let interrupted = || "it was interrupted".to_owned();
        Some(RunEntry {
            slug: Some(member.slug.clone()).filter(|slug| !slug.is_empty()),
            wave: self.run.wave,
            from_version: files.version_of(&digest_of(before)),
            applied,
            undone,
            error: (!is_done).then(|| member.known.error.clone().unwrap_or_else(interrupted)),
            elapsed: Duration::from_nanos(nanoseconds),
            finished_at: changed.applied_at,
        })
    }
}
