//! Works on the schema of a tenant that is being made in several transactions.
//!
//! What is there in between is nobody's: the row says `provisioning`, and the last transaction notes what the schema
//! has applied, which tells a whole one from another.

use sqlx::{Connection as _, PgConnection};

use super::making::{before_tables, end_tables, make_schema};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::migrate::{Site, commit, send_own};
use crate::observe::{Step, Steps};
use crate::structure::pieces;
use crate::tenant::Tenant;

/// Statements, or tables to be filled, of one transaction.
pub(super) const MOST: usize = 50;

/// The schema of a tenant that is being made.
#[derive(Clone, Copy)]
pub(super) struct InPieces<'a> {
    pub(super) context: &'a Context,
    pub(super) tenant: &'a Tenant,
    pub(super) steps: &'a dyn Steps,
}

impl InPieces<'_> {
    fn site(&self) -> Site<'_> {
        Site::of_tenant(&self.context.layout, self.tenant)
    }

    /// Makes the schema and the tenant's own role.
    pub(super) async fn make_schema(&self, writer: &mut PgConnection) -> Result<()> {
        let mut tx = writer.begin().await?;
        make_schema(&mut tx, self.context, self.tenant).await?;
        commit(tx, self.site()).await
    }

    /// Makes schema, tables and an empty ledger from the texts of a structure.
    pub(super) async fn make_tables(&self, writer: &mut PgConnection, tables: &str) -> Result<()> {
        self.make_schema(writer).await?;
        self.run(writer, tables, "making tables").await?;
        let mut tx = writer.begin().await?;
        end_tables(&mut tx, self.context, self.tenant).await?;
        commit(tx, self.site()).await
    }

    /// Runs statements, some at a time.
    pub(super) async fn run(&self, writer: &mut PgConnection, sql: &str, step: &str) -> Result<()> {
        let site = self.site();
        let pieces = pieces(sql, MOST)?;
        for (done, piece) in pieces.iter().enumerate() {
            if self.steps.is_cancelled() {
                let cancelled = Error::new(ErrorKind::Conflict, "it was cancelled");
                return Err(cancelled.with_tenant(self.tenant.slug()));
            }
            self.steps.step(Step::new(step, done, Some(pieces.len())));
            let mut tx = writer.begin().await?;
            send_own(&mut tx, site, &before_tables(site)).await?;
            send_own(&mut tx, site, piece).await?;
            commit(tx, site).await?;
        }
        Ok(())
    }
}
