//! The copy of a tenant in the default database, where schema and registry are one transaction.
//!
//! Its first statement locks the tables of the source against a change of their structure, and its snapshot is taken
//! behind that. What is interrupted leaves nothing.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};

use super::look::check_names;
use super::pair::Pair;
use super::{Cloned, Cloning};
use crate::error::{Error, Result};
use crate::fail_point::{self, FailPoint};
use crate::lifecycle::contents::{lockable, qualified, tables};
use crate::lifecycle::free::{check_free, reserve};
use crate::lifecycle::locks::fits_transaction;
use crate::lifecycle::making::make_tables;
use crate::lifecycle::source::{ReadFor, begin, check_source, notes, whole_ledger};
use crate::migrate::{Ledger, SchemaLock, commit, read_ledger, send_own};
use crate::observe::Step;
use crate::provision::enter;
use crate::registry::{AuditState, LEDGER, audit, kept_files, store};
use crate::structure::{Structure, Subject};

impl Cloning<'_> {
    /// Makes the tenant, or nothing at all. Answers with none where the locks of so many tables do not fit one
    /// transaction, and where several sessions are sooner done.
    pub(super) async fn within<E: From<Error>>(
        &self,
        dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Option<Cloned>, E> {
        let Pair { context, source, clone, .. } = self.pair;
        let mut connection = context.databases.unlimited_owner_connection(source.database()).await?;
        let tables = lockable(&mut connection, source.schema()).await?.len();
        let fits = fits_transaction(&mut connection, tables).await?;
        if !fits || self.is_for_several(&mut connection).await? {
            return Ok(None);
        }
        reserve(&mut connection, clone.slug()).await?;
        // Several sessions, or a server with fewer locks, may have begun it.
        if let Some(cloned) = self.go_on(&mut connection).await? {
            return Ok(Some(cloned));
        }
        check_free(&mut connection, self.new, clone).await?;
        // 1. The lock of the source's schema, which goes with the session.
        SchemaLock::of(source.schema()).take(&mut connection, source.schema()).await?;
        check_source(&mut connection, source, ReadFor::Clone).await?;
        whole_ledger(&mut connection, source, ReadFor::Clone).await?;
        // 2. Everything else, in one transaction that undoes itself.
        let statement = "BEGIN ISOLATION LEVEL REPEATABLE READ";
        let mut tx = begin(&mut connection, context, source, ReadFor::Clone, statement).await?;
        let (structure, cloned) = self.copy(&mut tx, dump).await?;
        commit(tx, self.pair.site()).await?;
        fail_point::reached(FailPoint::AfterClone);
        // 3. What the clone can do without. It is served by now.
        if let Err(error) = self.aftercare(&mut connection, &structure).await {
            let slug = clone.slug();
            tracing::warn!(%error, tenant = %slug, "Made a clone, and did not come to all that follows: {error}");
        }
        let _ = connection.close().await;
        Ok(Some(cloned))
    }

    /// The steps of the transaction.
    async fn copy<E: From<Error>>(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<(Structure, Cloned), E> {
        let Pair { source, clone, options, steps, .. } = self.pair;
        steps.step(Step::new("looking at the source", 0, None));
        let tables = tables(tx, source.schema()).await?;
        check_names(options, &tables)?;
        let notes = notes(tx, source.schema()).await?;
        let own_role = self.pair.role_of(source);
        let subject = Subject { schema: source.schema(), own_role: own_role.as_deref() };
        let structure = Structure::of(tx, subject, dump).await?;
        self.make_tables(tx, &structure).await?;
        fail_point::reached(FailPoint::CloneBegun);
        let rows = self.pair.copy_rows(tx, &tables).await?;
        if options.has_rows() {
            self.pair.set_sequences(tx).await?;
        }
        self.copy_ledger(tx).await?;
        fail_point::reached(FailPoint::CloneFilled);
        self.make_the_rest(tx, &structure).await?;
        if let Some(script) = self.script {
            self.pair.anonymize(tx, script).await?;
        }
        self.pair.refresh(tx).await?;
        self.pair.prove(tx, &structure).await?;
        fail_point::reached(FailPoint::CloneProven);
        self.enter(tx).await?;
        fail_point::reached(FailPoint::BeforeClone);
        let tenant = store::tenant_by_id(&mut **tx, clone.id()).await?.unwrap_or_else(|| clone.clone());
        let structure_was_kept = structure.is_kept();
        Ok((structure, Cloned { tenant, rows, structure_was_kept, notes }))
    }

    async fn make_tables(&self, tx: &mut Transaction<'_, Postgres>, structure: &Structure) -> Result<()> {
        let Pair { context, clone, steps, .. } = self.pair;
        self.pair.check_wanted()?;
        steps.step(Step::new("making tables", 0, None));
        let tables = structure.before_rows(clone.schema(), self.pair.role_of(clone).as_deref());
        make_tables(tx, context, clone, &tables).await
    }

    async fn copy_ledger(&self, tx: &mut Transaction<'_, Postgres>) -> Result<()> {
        let Pair { source, clone, .. } = self.pair;
        let rows = read_ledger(tx, source.schema()).await?;
        let ledger = Ledger::of(clone.schema(), &rows);
        let columns = "version, description, installed_on, success, checksum, execution_time";
        let (from, to) = (qualified(source.schema(), LEDGER), qualified(clone.schema(), LEDGER));
        let copy = format!("INSERT INTO {to} ({columns}) SELECT {columns} FROM {from}");
        let copy =
            if rows.is_empty() { ledger.summarise() } else { format!("{copy}; {}", ledger.summarise()) };
        send_own(tx, self.pair.site(), &copy).await?;
        Ok(())
    }

    /// Indexes, keys, triggers, policies and privileges. Foreign keys to shared tables come last of them: they lock
    /// those against writers until the end.
    async fn make_the_rest(&self, tx: &mut Transaction<'_, Postgres>, structure: &Structure) -> Result<()> {
        let Pair { clone, steps, .. } = self.pair;
        self.pair.check_wanted()?;
        steps.step(Step::new("making indexes and keys", 0, None));
        let rest = structure.behind_rows(clone.schema(), self.pair.role_of(clone).as_deref());
        let site = self.pair.site();
        send_own(tx, site, &format!("SET LOCAL search_path TO {};\n{rest}", site.path())).await?;
        Ok(())
    }

    /// Enters the clone in the registry.
    async fn enter(&self, tx: &mut Transaction<'_, Postgres>) -> Result<()> {
        let Pair { source, clone, .. } = self.pair;
        self.pair.check_wanted()?;
        // After the operator's SQL, which is judged by the tables that the transaction has written to.
        kept_files::copy(tx, source.schema(), clone.schema()).await?;
        enter(tx, clone, self.new.domains()).await?;
        audit::enter(tx, clone, &self.action(), AuditState::Done).await
    }

    /// Keeps the structure for the next clone, and has the planner know of the rows.
    async fn aftercare(&self, connection: &mut PgConnection, structure: &Structure) -> Result<()> {
        let clone = self.pair.clone;
        structure.keep(connection).await?;
        fail_point::reached(FailPoint::StructureKept);
        let names = lockable(connection, clone.schema()).await?;
        if !names.is_empty() && !self.pair.steps.is_cancelled() {
            self.pair.steps.step(Step::new("gathering statistics", 0, None));
            sqlx::raw_sql(AssertSqlSafe(format!("ANALYZE {}", names.join(", ")))).execute(connection).await?;
        }
        Ok(())
    }
}
