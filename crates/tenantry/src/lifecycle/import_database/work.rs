//! The steps of the transaction that makes the tenant.

use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use super::examine::Findings;
use super::ledger::{UNKNOWN, Version, VersionFound, find, has_files, write_through};
use super::source::{SourceDatabase, enter as enter_path};
use crate::context::Context;
use crate::error::Result;
use crate::fail_point::{self, FailPoint};
use crate::lifecycle::contents::{SourceTable, tables};
use crate::lifecycle::entry::TenantEntering;
use crate::lifecycle::in_pieces::InPieces;
use crate::lifecycle::locks::fits_transaction;
use crate::lifecycle::making::{make_ledger, make_schema};
use crate::lifecycle::transfer::RowCarrier;
use crate::migrate::{Site, Versions, commit, send_own};
use crate::observe::{Step, Steps};
use crate::provision::{NewTenant, grants};
use crate::registry::audit::Action;
use crate::structure::ForeignStructure;
use crate::tenant::{Tenant, Verb};

/// A database that becomes a tenant.
pub(super) struct Import<'a> {
    pub(super) context: &'a Context,
    pub(super) source: &'a SourceDatabase,
    pub(super) tenant: &'a Tenant,
    pub(super) new: &'a NewTenant,
    pub(super) steps: &'a dyn Steps,
    /// The structures that the files make, where they may be needed and are known.
    pub(super) versions: Option<&'a Versions>,
}

/// The content of a tenant that was made.
pub(super) struct ImportedContent {
    pub(super) rows: u64,
    /// The newest migration that the ledger has.
    pub(super) version: Option<i64>,
    pub(super) note: Option<String>,
}

impl Import<'_> {
    pub(super) fn site(&self) -> Site<'_> {
        Site::of_tenant(&self.context.layout, self.tenant)
    }

    fn carrier(&self) -> RowCarrier<'_> {
        RowCarrier { from: self.source.name(), to: self.tenant, site: self.site(), steps: self.steps }
    }

    /// Ends work that was cancelled. Its transaction takes everything back.
    fn check_wanted(&self) -> Result<()> {
        self.carrier().check_wanted()
    }

    /// Makes the tenant, or nothing at all. Where one transaction has no locks for so many tables, several make it
    /// behind its row in the registry.
    pub(super) async fn make(
        &self,
        [registry, reader, writer]: [&mut PgConnection; 3],
        findings: &Findings,
        structure: &ForeignStructure,
        version: &Version<'_>,
    ) -> Result<ImportedContent> {
        enter_path(reader, self.source.name(), &findings.extensions).await?;
        let tables = tables(reader, self.source.name()).await?;
        if !fits_transaction(writer, findings.tables).await? {
            // Undo of all that follows: the same call, or `tenantry create --abort`.
            let entering = self.entering(None);
            let half_made = entering.begin(registry).await?;
            let filled = self.fill_in_pieces([reader, writer], (findings, &tables), structure, version).await;
            return entering.end(registry, writer, &half_made, filled).await;
        }
        let mut tx = writer.begin().await?;
        self.make_tables(&mut tx, structure).await?;
        fail_point::reached(FailPoint::DatabaseTables);
        let carrier = self.carrier();
        let rows = carrier.copy(reader, &mut tx, tables.iter().collect()).await?;
        carrier.set_sequences(reader, &mut tx).await?;
        version.write(reader, &mut tx, self.source, self.site(), self.tenant).await?;
        fail_point::reached(FailPoint::DatabaseRows);
        self.make_the_rest(&mut tx, structure).await?;
        carrier.refresh(reader, &mut tx).await?;
        self.prove(reader, &mut tx, findings).await?;
        let (newest, note) = self.settle_version(&mut tx, version, findings.tables).await?;
        fail_point::reached(FailPoint::DatabaseProven);
        self.enter(registry, tx, rows).await?;
        Ok(ImportedContent { rows, version: newest, note })
    }

    /// Does the same in several transactions, the last of which notes what the schema has applied.
    async fn fill_in_pieces(
        &self,
        [reader, writer]: [&mut PgConnection; 2],
        (findings, tables): (&Findings, &[SourceTable]),
        structure: &ForeignStructure,
        version: &Version<'_>,
    ) -> Result<ImportedContent> {
        let Self { context, tenant, steps, .. } = *self;
        let (pieces, carrier) = (InPieces { context, tenant, steps }, self.carrier());
        pieces.make_schema(writer).await?;
        pieces.run(writer, &structure.before_rows(tenant.schema()), "making tables").await?;
        let mut tx = writer.begin().await?;
        make_ledger(&mut tx, context, tenant).await?;
        commit(tx, self.site()).await?;
        fail_point::reached(FailPoint::DatabaseTables);
        let rows = carrier.copy_in_pieces(reader, writer, tables.iter().collect()).await?;
        fail_point::reached(FailPoint::DatabaseRows);
        pieces.run(writer, &structure.behind_rows(tenant.schema()), "making indexes and keys").await?;
        let mut tx = writer.begin().await?;
        self.leave_to_server(&mut tx).await?;
        self.grant(&mut tx).await?;
        version.write(reader, &mut tx, self.source, self.site(), tenant).await?;
        carrier.refresh(reader, &mut tx).await?;
        self.prove(reader, &mut tx, findings).await?;
        let (newest, note) = self.settle_version(&mut tx, version, findings.tables).await?;
        fail_point::reached(FailPoint::DatabaseProven);
        self.check_wanted()?;
        self.leave_to_server(&mut tx).await?;
        commit(tx, self.site()).await?;
        Ok(ImportedContent { rows, version: newest, note })
    }

    /// Looks which version the tenant is at, if nothing has said it, and answers with that, or with a note.
    async fn settle_version(
        &self,
        tx: &mut PgConnection,
        version: &Version<'_>,
        tables: usize,
    ) -> Result<(Option<i64>, Option<String>)> {
        if !matches!(version, Version::Unknown) || !has_files(self.context, self.tenant) || tables == 0 {
            return Ok((version.newest(), None));
        }
        let Some(versions) = self.versions else {
            let note = format!("nothing says which migrations it has applied: {UNKNOWN}");
            return Ok((None, Some(note)));
        };
        match find(tx, versions, self.tenant).await? {
            VersionFound::Like(version) => {
                self.leave_to_server(tx).await?;
                write_through(self.context, tx, self.site(), self.tenant, version).await?;
                Ok((Some(version), None))
            }
            VersionFound::Unlike(note) => Ok((None, Some(note))),
        }
    }

    /// Lets the server's names come before all others again: to compare, the path had the tenant's schema in front, and
    /// nothing of the customer's may stand for what the server has.
    async fn leave_to_server(&self, tx: &mut PgConnection) -> Result<()> {
        let path = format!("SET LOCAL search_path TO {}", self.site().path());
        send_own(tx, self.site(), &path).await?;
        Ok(())
    }

    /// Makes the schema, the tenant's own role, the tables and the ledger. They keep what the owner lets others do with
    /// whatever it makes, as those of every tenant that the files make: the structure comes from elsewhere.
    async fn make_tables(&self, tx: &mut PgConnection, structure: &ForeignStructure) -> Result<()> {
        let Self { context, tenant, .. } = *self;
        self.check_wanted()?;
        self.steps.step(Step::new("making tables", 0, None));
        make_schema(tx, context, tenant).await?;
        send_own(tx, self.site(), &structure.before_rows(tenant.schema())).await?;
        make_ledger(tx, context, tenant).await
    }

    /// Indexes, keys, triggers, policies, and the privileges that every tenant gives.
    async fn make_the_rest(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        structure: &ForeignStructure,
    ) -> Result<()> {
        let tenant = self.tenant;
        self.check_wanted()?;
        self.steps.step(Step::new("making indexes and keys", 0, None));
        let site = self.site();
        let rest = structure.behind_rows(tenant.schema());
        let path = site.path();
        send_own(tx, site, &format!("{rest}\nSET LOCAL search_path TO {path}")).await?;
        self.grant(tx).await
    }

    async fn grant(&self, tx: &mut PgConnection) -> Result<()> {
        let grants = grants(tx, self.context, self.tenant.database(), self.tenant.schema()).await?;
        send_own(tx, self.site(), &grants.join(";\n")).await?;
        Ok(())
    }

    /// Enters the tenant in the registry, and commits it.
    async fn enter(
        &self,
        registry: &mut PgConnection,
        mut tx: Transaction<'_, Postgres>,
        rows: u64,
    ) -> Result<()> {
        self.check_wanted()?;
        self.leave_to_server(&mut tx).await?;
        self.entering(Some(rows)).commit(registry, tx).await
    }

    fn entering(&self, rows: Option<u64>) -> TenantEntering<'_> {
        let Self { context, source, tenant, new, .. } = *self;
        let mut options = source.told();
        if let Some(rows) = rows {
            options["rows"] = rows.into();
        }
        let action = Action { options, ..Action::new(Verb::Import, &context.operator) };
        let points = [FailPoint::BeforeDatabase, FailPoint::AfterDatabase];
        TenantEntering { context, new, tenant, action, points }
    }
}
