//! Makes what a tenant has once more, in another database or by another session.
//!
//! A reader sees the source at one moment ([`source::begin`](super::source::begin)), a writer makes the tenant in a
//! transaction of its own: `plan`, `make_tables`, `copy_rows`, `copy_ledger`, `make_the_rest`, `finish`. Nothing here
//! knows the registry's tenants: who calls it enters what was made.
//!
//! | file | what it does |
//! | --- | --- |
//! | `plan` | reads what there is to carry, and compares what it needs with what is there |
//! | `in_pieces` | makes all of it in several transactions, where the locks do not fit one or several sessions do it |
//! | `crew` | shares the work on tables among several sessions |
//! | `rows` | carries rows, positions of sequences, and fills materialized views |
//! | `copy` | carries rows as text, from one connection to another |
//! | `proof` | proves that what was made is what it should be |

mod copy;
mod crew;
mod in_pieces;
mod plan;
mod proof;
mod rows;

use sqlx::PgConnection;

pub(super) use self::copy::{AS_TEXT, Broken, CopyStatements, insertion, read_as, read_as_owner};
pub(super) use self::crew::Crew;
pub(super) use self::plan::TransferPlan;
pub(super) use self::rows::RowCarrier;
use super::contents::{SourceTable, lockable, qualified};
use super::making::make_tables;
use super::source::ReadFor;
use crate::context::Context;
use crate::error::Result;
use crate::migrate::{Ledger, Site, read_ledger, send_own};
use crate::observe::{Step, Steps};
use crate::registry::{LEDGER, kept_files};
use crate::structure::with_role;
use crate::tenant::Tenant;

const LEDGER_COLUMNS: &str = "(version, description, installed_on, success, checksum, execution_time)";

/// A tenant, and the one that is made of it: another tenant, or the same in another database.
#[derive(Clone, Copy)]
pub(super) struct Transfer<'a> {
    pub(super) context: &'a Context,
    pub(super) source: &'a Tenant,
    pub(super) target: &'a Tenant,
    pub(super) purpose: ReadFor,
    pub(super) steps: &'a dyn Steps,
}

impl<'a> Transfer<'a> {
    pub(super) fn site(&self) -> Site<'a> {
        Site::of_tenant(&self.context.layout, self.target)
    }

    pub(super) fn carrier(&self) -> RowCarrier<'a> {
        let (from, to) = (self.source.schema(), self.target);
        RowCarrier { from, to, site: self.site(), steps: self.steps }
    }

    /// The role that only this one of the two has, if tenants have any.
    fn role_of(&self, tenant: &Tenant) -> Option<String> {
        self.context.role.as_ref().map(|role| role.name_for(tenant.schema()))
    }

    /// The role of the application, where the source is and where the target is.
    fn application_roles(&self) -> Result<[&'a str; 2]> {
        let databases = &self.context.databases;
        let [from, to] = [self.source, self.target].map(|tenant| databases.config(tenant.database()));
        Ok([from?.application_role(), to?.application_role()])
    }

    /// Ends work that was cancelled. Its transaction takes everything back.
    pub(super) fn check_wanted(&self) -> Result<()> {
        self.carrier().check_wanted()
    }

    /// Fills materialized views, proves that all is as it should be, and takes along the files of former types.
    pub(super) async fn finish(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        plan: &TransferPlan,
    ) -> Result<()> {
        self.check_wanted()?;
        self.carrier().refresh(reader, writer).await?;
        self.prove(reader, writer, plan).await?;
        self.check_wanted()?;
        // To compare, the path had the tenant's schema in front: nothing of it may stand for what the server has.
        self.enter(writer, self.target).await?;
        let kept = kept_files::all(reader, self.source.schema()).await?;
        kept_files::restore(writer, self.target.schema(), &kept).await
    }

    /// Makes the schema, the tables and an empty ledger.
    pub(super) async fn make_tables(&self, writer: &mut PgConnection, plan: &TransferPlan) -> Result<()> {
        self.check_wanted()?;
        self.steps.step(Step::new("making tables", 0, None));
        let role = self.role_of(self.target);
        let [from, to] = self.application_roles()?;
        let tables = plan.structure.before_rows(self.target.schema(), role.as_deref());
        make_tables(writer, self.context, self.target, &with_role(&tables, from, to)?).await
    }

    /// Copies rows and positions of sequences; without tables, neither.
    pub(super) async fn copy_rows(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        tables: Option<Vec<&SourceTable>>,
    ) -> Result<u64> {
        let Some(tables) = tables else { return Ok(0) };
        self.enter(reader, self.source).await?;
        let rows = self.carrier().copy(reader, writer, tables).await?;
        self.carrier().set_sequences(reader, writer).await?;
        Ok(rows)
    }

    async fn enter(&self, connection: &mut PgConnection, tenant: &Tenant) -> Result<()> {
        let site = Site::of_tenant(&self.context.layout, tenant);
        send_own(connection, site, &format!("SET LOCAL search_path TO {}", site.path())).await?;
        Ok(())
    }

    /// Fills the ledger, and notes what it says.
    pub(super) async fn copy_ledger(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
    ) -> Result<()> {
        let rows = read_ledger(reader, self.source.schema()).await?;
        let copy = CopyStatements {
            from: format!("COPY {} {LEDGER_COLUMNS} TO STDOUT", qualified(self.source.schema(), LEDGER)),
            to: format!("COPY {} {LEDGER_COLUMNS} FROM STDIN", qualified(self.target.schema(), LEDGER)),
        };
        if !rows.is_empty() {
            copy.run(reader, writer).await.map_err(sqlx::Error::from)?;
        }
        let ledger = Ledger::of(self.target.schema(), &rows);
        send_own(writer, self.site(), &ledger.summarise()).await?;
        Ok(())
    }

    /// Indexes, keys, triggers, policies and privileges. Foreign keys to shared tables come last of them: they lock
    /// those against writers until the end.
    pub(super) async fn make_the_rest(&self, writer: &mut PgConnection, plan: &TransferPlan) -> Result<()> {
        self.check_wanted()?;
        self.steps.step(Step::new("making indexes and keys", 0, None));
        let role = self.role_of(self.target);
        let [from, to] = self.application_roles()?;
        let rest = plan.structure.behind_rows(self.target.schema(), role.as_deref());
        let rest = with_role(&rest, from, to)?;
        let site = self.site();
        send_own(writer, site, &format!("SET LOCAL search_path TO {};\n{rest}", site.path())).await?;
        Ok(())
    }

    /// Has the planner know of the rows. The tenant is whole without it.
    pub(super) async fn gather_statistics(
        &self,
        writer: &mut PgConnection,
        crew: Option<&mut Crew<'_>>,
    ) -> Result<()> {
        let names = lockable(writer, self.target.schema()).await?;
        if names.is_empty() || self.steps.is_cancelled() {
            return Ok(());
        }
        if let Some(crew) = crew {
            return crew.analyze(&names).await;
        }
        self.steps.step(Step::new("gathering statistics", 0, None));
        let analyze = format!("ANALYZE {}", names.join(", "));
        sqlx::raw_sql(sqlx::AssertSqlSafe(analyze)).execute(writer).await?;
        Ok(())
    }
}
