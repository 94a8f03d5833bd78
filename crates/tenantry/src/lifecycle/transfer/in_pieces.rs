//! Makes a tenant in several transactions: where the locks of all of its tables do not fit the server's table of locks,
//! or where several sessions are sooner done than one.

use std::cmp::Reverse;

use sqlx::PgConnection;

use super::Transfer;
use super::crew::Crew;
use super::plan::TransferPlan;
use crate::error::Result;
use crate::fail_point::{self, FailPoint};
use crate::lifecycle::contents::{SourceTable, sizes};
use crate::lifecycle::in_pieces::InPieces;
use crate::structure::{PerTable, per_table, with_role};

impl Transfer<'_> {
    /// Makes schema, tables, rows, indexes, keys and privileges, and answers with the number of rows. The ledger is
    /// left empty. A crew, which both schemas in one database can have, does what is most of the work.
    pub(in crate::lifecycle) async fn fill_in_pieces(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        plan: &TransferPlan,
        rows: Option<Vec<&SourceTable>>,
        mut crew: Option<&mut Crew<'_>>,
    ) -> Result<u64> {
        let role = self.role_of(self.target);
        let [from, to] = self.application_roles()?;
        let schema = self.target.schema();
        let tables = with_role(&plan.structure.before_rows(schema, role.as_deref()), from, to)?;
        let rest = with_role(&plan.structure.behind_rows(schema, role.as_deref()), from, to)?;
        let pieces = InPieces { context: self.context, tenant: self.target, steps: self.steps };
        pieces.make_tables(writer, &tables).await?;
        fail_point::reached(FailPoint::CloneBegun);
        let mut copied = 0;
        if let Some(mut tables) = rows {
            if let Some(crew) = crew.as_deref_mut() {
                (copied, tables) = self.copy_by_crew(reader, tables, crew).await?;
            }
            self.enter(reader, self.source).await?;
            copied += self.carrier().copy_in_pieces(reader, writer, tables).await?;
        }
        let rest = match crew {
            None => rest,
            Some(crew) => self.build_by_crew(&rest, plan, crew).await?,
        };
        pieces.run(writer, &rest, "making indexes and keys").await?;
        Ok(copied)
    }

    /// Copies rows as the reader sees them, the largest tables first. Answers with their number, and with the tables
    /// that are left.
    async fn copy_by_crew<'t>(
        &self,
        reader: &mut PgConnection,
        tables: Vec<&'t SourceTable>,
        crew: &mut Crew<'_>,
    ) -> Result<(u64, Vec<&'t SourceTable>)> {
        let sizes = sizes(reader, self.source.schema()).await?;
        let (mut left, mut tables): (Vec<_>, Vec<_>) =
            tables.into_iter().partition(|table| table.goes_by_text());
        tables.sort_by_key(|table| Reverse(sizes.get(&table.name)));
        let snapshot: String =
            sqlx::query_scalar("SELECT pg_catalog.pg_export_snapshot()").fetch_one(reader).await?;
        let (copied, failed) = crew.copy(self.source, &snapshot, tables).await?;
        left.extend(failed);
        Ok((copied, left))
    }

    /// Builds the indexes of single tables, and answers with the statements that are left.
    async fn build_by_crew(&self, rest: &str, plan: &TransferPlan, crew: &mut Crew<'_>) -> Result<String> {
        let is_apart =
            |name: &str| plan.tables.iter().any(|table| table.name == name && table.root.is_none());
        let PerTable { indexes, rest } = per_table(rest, is_apart)?;
        crew.build(indexes.into_values().collect()).await?;
        Ok(rest)
    }
}
