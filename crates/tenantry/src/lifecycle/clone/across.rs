//! The copy of a tenant by several sessions: where one of the two lives in another database than the default one, or
//! both, where the locks of so many tables do not fit one transaction, or where there is much to copy.
//!
//! One session reads the source at one moment, another one makes the copy in a transaction. What the registry knows of
//! it is entered when all of it is there and was compared. Several transactions come behind the row instead.

use sqlx::{Connection as _, PgConnection};

use super::look::check_names;
use super::pair::Pair;
use super::{Cloned, Cloning};
use crate::error::{Error, Result};
use crate::fail_point::{self, FailPoint};
use crate::lifecycle::contents::SourceTable;
use crate::lifecycle::entry::{Interrupted, TenantEntering, interrupted, serve, served};
use crate::lifecycle::free::{check_free, reserve};
use crate::lifecycle::locks::fits_transaction;
use crate::lifecycle::source::{ReadFor, begin, check_source, whole_ledger};
use crate::lifecycle::transfer::{Crew, Transfer, TransferPlan};
use crate::migrate::{SchemaLock, commit};
use crate::registry::audit;
use crate::tenant::{Alias, Verb};

impl Cloning<'_> {
    /// Makes the tenant. What fails before it is entered leaves nothing; behind that, the same call goes on.
    pub(super) async fn across<E: From<Error>>(
        &self,
        dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Cloned, E> {
        let context = self.pair.context;
        let (source, clone) = (self.pair.source, self.pair.clone);
        let mut registry = context.databases.unlimited_owner_connection(&Alias::default()).await?;
        reserve(&mut registry, clone.slug()).await?;
        if let Some(cloned) = self.go_on(&mut registry).await? {
            return Ok(cloned);
        }
        check_free(&mut registry, self.new, clone).await?;
        // 1. The locks of both schemas, which go with their sessions.
        let mut reader = context.databases.unlimited_owner_connection(source.database()).await?;
        SchemaLock::of(source.schema()).take(&mut reader, source.schema()).await?;
        check_source(&mut registry, source, ReadFor::Clone).await?;
        whole_ledger(&mut reader, source, ReadFor::Clone).await?;
        let mut writer = context.databases.unlimited_owner_connection(clone.database()).await?;
        SchemaLock::of(clone.schema()).take(&mut writer, clone.schema()).await?;
        // 2. One moment of the source. All that is needed is known before anything is made.
        let statement = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut moment = begin(&mut reader, context, source, ReadFor::Clone, statement).await?;
        let plan = self.transfer().plan(&mut moment, &mut writer, dump).await?;
        check_names(self.pair.options, &plan.tables)?;
        // 3. The schema, in one transaction that undoes itself, then the row. In pieces it is the other way round.
        let fits = fits_transaction(&mut writer, plan.tables.len()).await?;
        self.check_pieces(fits)?;
        let mut crew = self.crew(&mut writer).await?;
        let rows = if fits && crew.is_none() {
            self.make(&mut registry, &mut moment, &mut writer, &plan).await?
        } else {
            self.make_in_pieces(&mut registry, [&mut moment, &mut writer], &plan, crew.as_mut()).await?
        };
        moment.rollback().await.map_err(Error::from)?;
        // 4. What the clone can do without. It is served by now.
        if let Err(error) = self.after_all(&mut reader, &mut writer, &plan, crew.as_mut()).await {
            let slug = clone.slug();
            tracing::warn!(%error, tenant = %slug, "Made a clone, and did not come to all that follows: {error}");
        }
        let tenant = served(context, &mut registry, clone).await?;
        for connection in [registry, reader, writer] {
            let _ = connection.close().await;
        }
        let structure_was_kept = plan.structure.is_kept();
        Ok(Cloned { tenant, rows, structure_was_kept, notes: plan.notes })
    }

    fn transfer(&self) -> Transfer<'_> {
        let Pair { context, source, clone, steps, .. } = self.pair;
        Transfer { context, source, target: clone, purpose: ReadFor::Clone, steps }
    }

    /// The sessions that share the work where they are sooner done than one.
    async fn crew(&self, connection: &mut PgConnection) -> Result<Option<Crew<'_>>> {
        let Pair { context, clone, options, steps, .. } = self.pair;
        if !self.is_for_several(connection).await? {
            return Ok(None);
        }
        Crew::of(context, clone, options.sessions(), steps).await.map(Some)
    }

    async fn make(
        &self,
        registry: &mut PgConnection,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        plan: &TransferPlan,
    ) -> Result<u64> {
        let transfer = self.transfer();
        let mut tx = writer.begin().await?;
        transfer.make_tables(&mut tx, plan).await?;
        fail_point::reached(FailPoint::CloneBegun);
        let rows = transfer.copy_rows(reader, &mut tx, self.meant(plan)).await?;
        transfer.copy_ledger(reader, &mut tx).await?;
        fail_point::reached(FailPoint::CloneFilled);
        transfer.make_the_rest(&mut tx, plan).await?;
        if let Some(script) = self.script {
            self.pair.anonymize(&mut tx, script).await?;
        }
        transfer.finish(reader, &mut tx, plan).await?;
        fail_point::reached(FailPoint::CloneProven);
        self.pair.check_wanted()?;
        self.entering(Some(rows)).commit(registry, tx).await?;
        Ok(rows)
    }

    /// Makes the tenant in several transactions. What fails is removed again.
    async fn make_in_pieces(
        &self,
        registry: &mut PgConnection,
        [reader, writer]: [&mut PgConnection; 2],
        plan: &TransferPlan,
        crew: Option<&mut Crew<'_>>,
    ) -> Result<u64> {
        // Undo of all that follows: the same call, or `tenantry create --abort`.
        let entering = self.entering(None);
        let half_made = entering.begin(registry).await?;
        let filled = self.fill_in_pieces(reader, writer, plan, crew).await;
        entering.end(registry, writer, &half_made, filled).await
    }

    async fn fill_in_pieces(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        plan: &TransferPlan,
        crew: Option<&mut Crew<'_>>,
    ) -> Result<u64> {
        let transfer = self.transfer();
        let rows = transfer.fill_in_pieces(reader, writer, plan, self.meant(plan), crew).await?;
        fail_point::reached(FailPoint::CloneFilled);
        let mut tx = writer.begin().await?;
        if let Some(script) = self.script {
            self.pair.anonymize(&mut tx, script).await?;
        }
        transfer.copy_ledger(reader, &mut tx).await?;
        transfer.finish(reader, &mut tx, plan).await?;
        commit(tx, self.pair.site()).await?;
        Ok(rows)
    }

    /// The tables whose rows are copied.
    fn meant<'p>(&self, plan: &'p TransferPlan) -> Option<Vec<&'p SourceTable>> {
        let options = self.pair.options;
        let is_meant = |table: &&SourceTable| options.includes(&table.name, table.root.as_deref());
        options.has_rows().then(|| plan.tables.iter().filter(is_meant).collect())
    }

    fn entering(&self, rows: Option<u64>) -> TenantEntering<'_> {
        let Pair { context, clone, .. } = self.pair;
        let mut action = self.action();
        if let Some(rows) = rows {
            action.options["rows"] = rows.into();
        }
        let points = [FailPoint::BeforeClone, FailPoint::AfterClone];
        TenantEntering { context, new: self.new, tenant: clone, action, points }
    }

    /// Lets the tenant be served that the same call has made and not come to serve.
    pub(super) async fn go_on(&self, registry: &mut PgConnection) -> Result<Option<Cloned>> {
        let Pair { context, source, clone, .. } = self.pair;
        let mut rows = 0;
        let found = interrupted(context, registry, clone, Verb::Clone, |entry| {
            entry.options["source"] == source.slug().as_str()
        });
        let Interrupted::Filled { tenant, workplace } = found.await? else { return Ok(None) };
        if let Some(entry) = audit::entries_of(&mut *registry, tenant.id(), 1).await?.first() {
            rows = entry.options["rows"].as_u64().unwrap_or_default();
        }
        serve(registry, &tenant).await?;
        let _ = workplace.close().await;
        let tenant = served(context, registry, &tenant).await?;
        Ok(Some(Cloned { tenant, rows, structure_was_kept: true, notes: Vec::new() }))
    }

    /// Keeps the structure for the next clone, and has the planner know of the rows.
    async fn after_all(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        plan: &TransferPlan,
        crew: Option<&mut Crew<'_>>,
    ) -> Result<()> {
        plan.structure.keep(reader).await?;
        fail_point::reached(FailPoint::StructureKept);
        self.transfer().gather_statistics(writer, crew).await
    }
}
