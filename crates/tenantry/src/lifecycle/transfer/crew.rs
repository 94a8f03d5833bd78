//! Several sessions that share the work on the tables of one schema.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use sqlx::PgConnection;

use super::copy::{AS_TEXT, insertion};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::SourceTable;
use crate::lifecycle::making::before_tables;
use crate::migrate::{Site, send_own};
use crate::observe::{Step, Steps};
use crate::sql::Literal;
use crate::tenant::Tenant;

/// Lets a commit on the way not wait for the disk: the last transaction of the whole waits for all of them.
const BY_THE_WAY: &str = "SET LOCAL synchronous_commit = off";

/// Several sessions that share the work on the tables of one schema. Each piece of it is a transaction.
pub(in crate::lifecycle) struct Crew<'a> {
    context: &'a Context,
    target: &'a Tenant,
    sessions: Vec<PgConnection>,
    steps: &'a dyn Steps,
}

/// The end of shared work of which a piece has failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The others are done nevertheless.
    One,
    /// No other piece is begun.
    All,
}

impl<'a> Crew<'a> {
    /// Opens so many sessions to the database of the tenant.
    pub(in crate::lifecycle) async fn of(
        context: &'a Context,
        target: &'a Tenant,
        count: usize,
        steps: &'a dyn Steps,
    ) -> Result<Self> {
        let mut sessions = Vec::new();
        for _ in 0..count {
            sessions.push(context.databases.unlimited_owner_connection(target.database()).await?);
        }
        Ok(Self { context, target, sessions, steps })
    }

    fn site(&self) -> Site<'a> {
        Site::of_tenant(&self.context.layout, self.target)
    }

    /// Copies rows from another schema of the database, as a snapshot has them. Answers with their number, and with the
    /// tables that failed, because a `CHECK` may ask another table.
    pub(super) async fn copy<'t>(
        &mut self,
        source: &Tenant,
        snapshot: &str,
        tables: Vec<&'t SourceTable>,
    ) -> Result<(u64, Vec<&'t SourceTable>)> {
        let site = self.site();
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT {}; {BY_THE_WAY}; {AS_TEXT}; \
             SET LOCAL search_path TO {}",
            Literal(snapshot),
            site.path()
        );
        let copy = |table: &&SourceTable| {
            let insert = insertion(table, source.schema(), self.target.schema());
            format!("{begin}; {insert}; COMMIT")
        };
        let texts: Vec<_> = tables.iter().map(copy).collect();
        let done = self.share("copying tables", &texts, Failure::One).await?;
        let rows = done.iter().filter_map(|rows| rows.as_ref().ok()).sum();
        let failed = tables.into_iter().zip(done).filter(|(_, done)| done.is_err());
        Ok((rows, failed.map(|(table, _)| table).collect()))
    }

    /// Builds indexes and keys, as one text for each table.
    pub(super) async fn build(&mut self, indexes: Vec<String>) -> Result<()> {
        let begin = before_tables(self.site());
        let whole = |indexes: String| format!("BEGIN; {BY_THE_WAY}; {begin};\n{indexes}COMMIT");
        let texts: Vec<_> = indexes.into_iter().map(whole).collect();
        let done = self.share("making indexes and keys", &texts, Failure::All).await?;
        done.into_iter().collect::<Result<Vec<_>>>().map(drop)
    }

    /// Has the planner know of the rows of tables, which are named with their schema.
    pub(super) async fn analyze(&mut self, tables: &[String]) -> Result<()> {
        let texts: Vec<_> = tables.iter().map(|table| format!("ANALYZE {table}")).collect();
        let done = self.share("gathering statistics", &texts, Failure::All).await?;
        done.into_iter().collect::<Result<Vec<_>>>().map(drop)
    }

    /// Sends each text by whichever session is free. Answers with the rows that each has touched; those that were not
    /// begun are missing at the end.
    async fn share(&mut self, step: &str, texts: &[String], failed: Failure) -> Result<Vec<Result<u64>>> {
        let (site, steps) = (self.site(), self.steps);
        let next = AtomicUsize::new(0);
        let work = self.sessions.iter_mut().map(async |session| {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(text) = texts.get(index).filter(|_| !steps.is_cancelled()) else { return done };
                steps.step(Step::new(step, index, Some(texts.len())));
                let result = send_own(session, site, text).await;
                if result.is_err() {
                    // Where the connection is what failed, the next piece fails, too.
                    let _ = send_own(session, site, "ROLLBACK").await;
                    if failed == Failure::All {
                        next.store(texts.len(), Ordering::Relaxed);
                    }
                }
                done.push((index, result));
            }
        });
        let mut done: Vec<_> = join_all(work).await.into_iter().flatten().collect();
        if steps.is_cancelled() {
            let cancelled = Error::new(ErrorKind::Conflict, "it was cancelled");
            return Err(cancelled.with_tenant(self.target.slug()));
        }
        steps.step(Step::new(step, texts.len(), Some(texts.len())));
        done.sort_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    }
}
