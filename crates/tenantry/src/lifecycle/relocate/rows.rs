//! Copies the rows over several connections, and compares those that arrived with those that set out.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join_all;

use super::porter::{Stuck, TablePorter, place};
use super::row_sum::RowSum;
use super::work::Relocation;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{Guard, stands};
use crate::lifecycle::contents::SourceTable;
use crate::lifecycle::rounds::Rounds;
use crate::observe::Step;

/// Pairs of connections at most. One server reads while the other writes, and an index is made behind all rows.
const PAIRS: usize = 4;

/// The tables that nobody has taken yet, the largest first.
type TableQueue<'a> = Mutex<VecDeque<&'a SourceTable>>;

/// The tables that one connection has carried, and those that it could not.
#[derive(Default)]
struct Shipment<'a> {
    sums: BTreeMap<&'a str, RowSum>,
    stuck: Vec<(&'a SourceTable, Error)>,
}

impl<'a> Shipment<'a> {
    fn add(&mut self, table: &'a SourceTable, sum: RowSum) {
        *self.sums.entry(place(table)).or_default() += sum;
    }
}

impl Relocation<'_> {
    /// Copies the rows of all tables as the fence sees them, and answers with their number.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if other rows arrived than set out.
    pub(super) async fn copy_rows(&self, snapshot: &str, tables: &[SourceTable]) -> Result<u64> {
        let mut porters = self.porters(snapshot, tables).await?;
        let set_out = self.carry_all(&mut porters, tables).await?;
        self.compare_with(&mut porters, tables, &set_out).await?;
        Ok(rows_of(&set_out))
    }

    /// Does the same for tables that are compared later, together with what was written meanwhile.
    pub(super) async fn carry_rows(&self, snapshot: &str, tables: &[SourceTable]) -> Result<u64> {
        let mut porters = self.porters(snapshot, tables).await?;
        Ok(rows_of(&self.carry_all(&mut porters, tables).await?))
    }

    /// Compares the rows of the source, as this snapshot sees them, with those that are in the target now.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if they are other ones.
    pub(super) async fn compare_rows(&self, snapshot: &str, tables: &[SourceTable]) -> Result<()> {
        let mut porters = self.porters(snapshot, tables).await?;
        let queue: TableQueue<'_> = Mutex::new(tables.iter().collect());
        let set_out = try_join_all(porters.iter_mut().map(|porter| self.read_source(porter, &queue))).await?;
        let set_out = summed(set_out.into_iter().flatten());
        self.compare_with(&mut porters, tables, &set_out).await
    }

    /// Opens as many pairs of sessions as there is work for.
    async fn porters(&self, snapshot: &str, tables: &[SourceTable]) -> Result<Vec<TablePorter<'_>>> {
        let mut porters = Vec::new();
        for _ in 0..PAIRS.min(tables.len()) {
            porters.push(TablePorter::open(self, snapshot).await?);
        }
        Ok(porters)
    }

    async fn carry_all<'q>(
        &self,
        porters: &mut [TablePorter<'_>],
        tables: &'q [SourceTable],
    ) -> Result<BTreeMap<&'q str, RowSum>> {
        let total = tables.len();
        let queue: TableQueue<'_> = Mutex::new(tables.iter().collect());
        let carried =
            try_join_all(porters.iter_mut().map(|porter| self.carry(porter, &queue, total))).await?;
        let (mut sums, mut stuck) = (Vec::new(), Vec::new());
        for done in carried {
            sums.extend(done.sums);
            stuck.extend(done.stuck);
        }
        if let Some(porter) = porters.first_mut() {
            sums.extend(self.carry_again(porter, stuck).await?.sums);
        }
        Ok(summed(sums))
    }

    async fn compare_with(
        &self,
        porters: &mut [TablePorter<'_>],
        tables: &[SourceTable],
        set_out: &BTreeMap<&str, RowSum>,
    ) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        self.step("comparing rows")?;
        // A part of a table is compared with all of it.
        let mut seen = HashSet::new();
        let wholes = tables.iter().filter(|table| seen.insert(place(table)));
        let queue: TableQueue<'_> = Mutex::new(wholes.collect());
        let arrived = try_join_all(porters.iter_mut().map(|porter| self.read_back(porter, &queue))).await?;
        self.compare(set_out, arrived.into_iter().flatten())
    }

    /// Takes one table after the other.
    async fn carry<'q>(
        &self,
        porter: &mut TablePorter<'_>,
        queue: &TableQueue<'q>,
        total: usize,
    ) -> Result<Shipment<'q>> {
        let mut done = Shipment::default();
        while let Some((table, left)) = next(queue) {
            self.check_wanted()?;
            self.steps.step(Step::new("copying tables", total - left - 1, Some(total)));
            match porter.carry(table).await? {
                Ok(sum) => done.add(table, sum),
                Err(Stuck(error)) => done.stuck.push((table, error)),
            }
        }
        Ok(done)
    }

    /// Tries again what failed: a condition may ask a table whose rows came later.
    async fn carry_again<'q>(
        &self,
        porter: &mut TablePorter<'_>,
        stuck: Vec<(&'q SourceTable, Error)>,
    ) -> Result<Shipment<'q>> {
        let mut done = Shipment::default();
        let mut rounds = Rounds::of(stuck.into_iter().map(|(table, _)| table).collect());
        while let Some(table) = rounds.next()? {
            self.check_wanted()?;
            match porter.carry(table).await? {
                Ok(sum) => done.add(table, sum),
                Err(Stuck(error)) => rounds.put_back(table, error),
            }
        }
        Ok(done)
    }

    async fn read_source<'q>(
        &self,
        porter: &mut TablePorter<'_>,
        queue: &TableQueue<'q>,
    ) -> Result<Vec<(&'q str, RowSum)>> {
        let mut set_out = Vec::new();
        while let Some((table, _)) = next(queue) {
            self.check_wanted()?;
            set_out.push((place(table), porter.read_source(table).await?));
        }
        Ok(set_out)
    }

    async fn read_back<'q>(
        &self,
        porter: &mut TablePorter<'_>,
        queue: &TableQueue<'q>,
    ) -> Result<Vec<(&'q str, RowSum)>> {
        let mut arrived = Vec::new();
        while let Some((table, _)) = next(queue) {
            self.check_wanted()?;
            arrived.push((place(table), porter.read_back(table).await?));
        }
        Ok(arrived)
    }

    fn compare<'q>(
        &self,
        set_out: &BTreeMap<&str, RowSum>,
        arrived: impl Iterator<Item = (&'q str, RowSum)>,
    ) -> Result<()> {
        for (name, is) in arrived {
            let should_be = set_out.get(name).copied().unwrap_or_default();
            if is != should_be && stands(Guard::MoveProof) {
                let (slug, database) = (self.tenant.slug(), &self.record.target);
                let message = format!(
                    "table `{name}` of tenant `{slug}` did not arrive in database `{database}` as it set out: \
                     {} rows of {}, or other ones",
                    is.rows, should_be.rows
                );
                return Err(Error::new(ErrorKind::Conflict, message).with_tenant(slug).with_hint(
                    "the move was undone; a rule, trigger or type of the table changes what is written",
                ));
            }
        }
        Ok(())
    }
}

/// The sums of tables, those of parts with their whole.
fn summed<'q>(sums: impl IntoIterator<Item = (&'q str, RowSum)>) -> BTreeMap<&'q str, RowSum> {
    let mut all: BTreeMap<&str, RowSum> = BTreeMap::new();
    for (name, sum) in sums {
        *all.entry(name).or_default() += sum;
    }
    all
}

fn rows_of(sums: &BTreeMap<&str, RowSum>) -> u64 {
    sums.values().map(|sum| sum.rows).sum()
}

/// The next table, and how many are left behind it.
fn next<'q>(queue: &TableQueue<'q>) -> Option<(&'q SourceTable, usize)> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.pop_front().map(|table| (table, queue.len()))
}
