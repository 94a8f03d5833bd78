//! Makes a tenant in several transactions, where the locks of all of its tables do not fit the server's table of locks.
//!
//! What is there in between is nobody's: the row says `provisioning`, and the last transaction notes what the schema
//! has applied, which tells a whole one from another.

use sqlx::{Connection as _, PgConnection};

use super::Transfer;
use super::plan::TransferPlan;
use crate::error::Result;
use crate::lifecycle::contents::SourceTable;
use crate::lifecycle::making::{before_tables, end_tables, make_schema};
use crate::lifecycle::rounds::Rounds;
use crate::migrate::{commit, send_own};
use crate::observe::Step;
use crate::structure::{pieces, with_role};

/// Statements, or tables to be filled, of one transaction.
const MOST: usize = 50;

impl Transfer<'_> {
    /// Makes schema, tables, rows, indexes, keys and privileges, and answers with the number of rows. The ledger is
    /// left empty.
    pub(in crate::lifecycle) async fn fill_in_pieces(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        plan: &TransferPlan,
        rows: Option<Vec<&SourceTable>>,
    ) -> Result<u64> {
        let role = self.role_of(self.target);
        let [from, to] = self.application_roles()?;
        let schema = self.target.schema();
        let tables = with_role(&plan.structure.before_rows(schema, role.as_deref()), from, to)?;
        let rest = with_role(&plan.structure.behind_rows(schema, role.as_deref()), from, to)?;
        let mut tx = writer.begin().await?;
        make_schema(&mut tx, self.context, self.target).await?;
        commit(tx, self.site()).await?;
        self.run_in_pieces(writer, &tables, "making tables").await?;
        let mut tx = writer.begin().await?;
        end_tables(&mut tx, self.context, self.target).await?;
        commit(tx, self.site()).await?;
        let copied = self.copy_in_pieces(reader, writer, rows).await?;
        self.run_in_pieces(writer, &rest, "making indexes and keys").await?;
        Ok(copied)
    }

    async fn run_in_pieces(&self, writer: &mut PgConnection, sql: &str, step: &str) -> Result<()> {
        let site = self.site();
        let pieces = pieces(sql, MOST)?;
        for (done, piece) in pieces.iter().enumerate() {
            self.check_wanted()?;
            self.steps.step(Step::new(step, done, Some(pieces.len())));
            let mut tx = writer.begin().await?;
            send_own(&mut tx, site, &before_tables(site)).await?;
            send_own(&mut tx, site, piece).await?;
            commit(tx, site).await?;
        }
        Ok(())
    }

    /// Tables whose conditions ask others are filled behind these.
    async fn copy_in_pieces(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        rows: Option<Vec<&SourceTable>>,
    ) -> Result<u64> {
        let Some(tables) = rows else { return Ok(0) };
        self.enter(reader, self.source).await?;
        let mut copied = 0;
        let mut rounds = Rounds::of(tables.chunks(MOST).map(<[_]>::to_vec).collect());
        while let Some(tables) = rounds.next()? {
            let mut tx = writer.begin().await?;
            self.enter(&mut tx, self.target).await?;
            match self.carrier().copy(reader, &mut tx, tables.clone()).await {
                Ok(rows) => {
                    commit(tx, self.site()).await?;
                    copied += rows;
                }
                Err(error) => {
                    // Where a connection is what failed, or the transaction that reads, this fails, too.
                    let is_alive =
                        tx.rollback().await.is_ok() && self.enter(reader, self.source).await.is_ok();
                    if !is_alive {
                        return Err(error);
                    }
                    self.check_wanted()?;
                    rounds.put_back(tables, error);
                }
            }
        }
        let mut tx = writer.begin().await?;
        self.carrier().set_sequences(reader, &mut tx).await?;
        commit(tx, self.site()).await?;
        Ok(copied)
    }
}
