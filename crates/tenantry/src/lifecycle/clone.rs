//! Makes a tenant as a copy of another one.
//!
//! The copy is one transaction, whose first statement locks the tables of the source against a change of their
//! structure, and whose snapshot is taken behind that: writers go on, and none of what they do meanwhile is in the
//! copy. A migration of the source waits, because the session holds the lock of the source's schema. What is
//! interrupted leaves nothing.

mod anonymize;
mod look;
mod options;
mod pair;
mod proof;
mod rows;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};

use self::look::check_names;
pub use self::options::CloneOptions;
use self::pair::Pair;
use super::contents::{lockable, qualified, tables};
use super::free::check_free;
use super::making::make_tables;
use super::source::{ReadFor, begin, check_source, notes, whole_ledger};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::migrate::{Ledger, SchemaLock, commit, read_ledger, send_own};
use crate::migration::Script;
use crate::observe::{Step, Steps};
use crate::provision::{NewTenant, enter};
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, LEDGER, kept_files, store};
use crate::structure::{Structure, Subject};
use crate::tenant::{Alias, Status, Tenant, Verb};

/// A tenant that was made as a copy of another one.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Cloned {
    /// The new tenant, which can be served.
    pub tenant: Tenant,
    /// The rows that were copied, without those of the ledger.
    pub rows: u64,
    /// True if the structure was known, so that nothing had to be dumped.
    pub structure_was_kept: bool,
    /// Things that the clone is without, or has beyond its source: indexes that are not valid, publications.
    pub notes: Vec<String>,
}

/// Makes the tenant, or nothing at all. `dump` gives what `pg_dump` says of the database with these arguments, and is
/// called where nobody has cloned this structure before.
pub(crate) async fn clone<E: From<Error>>(
    context: &Context,
    source: &Tenant,
    new: &NewTenant,
    options: &CloneOptions,
    steps: &dyn Steps,
    dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
) -> Result<Cloned, E> {
    check_order(source, new)?;
    let script = options.script()?;
    let clone = draft(context, source, new)?;
    let mut connection = context.databases.unlimited_owner_connection(source.database()).await?;
    check_free(&mut connection, new, &clone).await?;
    // 1. The lock of the source's schema, which goes with the session.
    SchemaLock::of(source.schema()).take(&mut connection, source.schema()).await?;
    check_source(&mut connection, source, ReadFor::Clone).await?;
    whole_ledger(&mut connection, source, ReadFor::Clone).await?;
    let work = Cloning {
        pair: Pair { context, source, clone: &clone, options, steps },
        script: script.as_ref(),
        new,
    };
    // 2. Everything else, in one transaction that undoes itself.
    let statement = "BEGIN ISOLATION LEVEL REPEATABLE READ";
    let mut tx = begin(&mut connection, context, source, ReadFor::Clone, statement).await?;
    let (structure, cloned) = work.copy(&mut tx, dump).await?;
    commit(tx, work.pair.site()).await?;
    fail_point::reached(FailPoint::AfterClone);
    // 3. What the clone can do without. It is served by now.
    if let Err(error) = work.aftercare(&mut connection, &structure).await {
        tracing::warn!(%error, tenant = %clone.slug(), "Made a clone, and did not come to all that follows: {error}");
    }
    let _ = connection.close().await;
    Ok(cloned)
}

fn check_order(source: &Tenant, new: &NewTenant) -> Result<()> {
    let unsupported = |message: &str, hint: &str| {
        let message = format!("tenant `{}` cannot be cloned: {message}", source.slug());
        Err(Error::new(ErrorKind::Unsupported, message).with_tenant(source.slug()).with_hint(hint))
    };
    if *source.database() != Alias::default() {
        return unsupported(
            "it lives in another database than the registry, and a clone is one transaction in both",
            "copy it with `pg_dump`, and register what you restore with `tenantry create --schema`",
        );
    }
    if new.type_name().is_some_and(|given| source.type_name() != Some(given)) {
        return unsupported(
            "a clone is of the type of its source",
            "clone it first, and change the type of the clone with `tenantry set CLONE --type TYPE`",
        );
    }
    if !new.is_in(source.database()) || new.registers_existing() {
        return unsupported(
            "a clone gets a new schema in the database of its source",
            "leave out which one it gets",
        );
    }
    Ok(())
}

/// The tenant that is made. It has the type and the settings of its source, but for the name, where the order has no
/// other.
fn draft(context: &Context, source: &Tenant, new: &NewTenant) -> Result<Tenant> {
    let inherited = source.settings().as_object().into_iter().flatten().filter(|(key, _)| *key != "name");
    let new = match source.type_name() {
        Some(type_name) => new.clone().of_type(type_name.clone()),
        None => new.clone(),
    };
    new.with_defaults(inherited).draft(context, Status::Active)
}

/// A clone that is being made.
struct Cloning<'a> {
    pair: Pair<'a>,
    script: Option<&'a Script>,
    new: &'a NewTenant,
}

impl Cloning<'_> {
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
        let Pair { context, source, clone, options, .. } = self.pair;
        self.pair.check_wanted()?;
        // After the operator's SQL, which is judged by the tables that the transaction has written to.
        kept_files::copy(tx, source.schema(), clone.schema()).await?;
        enter(tx, clone, self.new.domains()).await?;
        let mut told = options.told();
        told["source"] = json!(source.slug());
        let action = Action { options: told, ..Action::new(Verb::Clone, &context.operator) };
        audit::enter(tx, clone, &action, AuditState::Done).await
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
