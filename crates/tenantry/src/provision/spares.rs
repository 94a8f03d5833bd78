//! Schemas built ahead of time, so that a sign-up renames one instead of making one.
//!
//! A spare and its row in `tenantry.spare` appear in one transaction, and so does a tenant that is made
//! of it, so whatever is interrupted leaves both or neither. Only the default database has spares, since
//! only there are the schema and the registry one transaction.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::agreement;
use super::grants::grants;
use super::register::enter;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result, sqlstate};
use crate::fail_point::{self, FailPoint};
use crate::guard::{Guard, stands};
use crate::migrate::{
    Goal, Patience, Site, commit, creation_message, drop_schema, migrate_schema, needs_own_transaction,
    schema_message, send, start_from_baseline,
};
use crate::migration::{MigrationSet, TenantFiles};
use crate::observe::{Step, Steps};
use crate::registry::audit::{self, Action};
use crate::registry::spares::{self, Spare};
use crate::registry::{AuditState, applied};
use crate::sql::Identifier;
use crate::tenant::{Alias, Digest, DomainName, SchemaName, Tenant, TypeName, Verb};

/// The outcome for the spares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SpareSummary {
    /// Spares that were made.
    pub made: usize,
    /// Spares that were removed, because the migrations have changed since.
    pub removed: usize,
}

/// The moment at which a spare that has applied anything else than the files is removed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stale {
    Now,
    /// This long after it was made: until then another version of the application may want it.
    After(Duration),
}

/// Removes what is stale, and makes spares until there are this many, or until it is cancelled. Two who fill at once
/// make no more.
pub(crate) async fn fill(
    context: &Context,
    type_name: Option<&TypeName>,
    count: u32,
    stale: Stale,
    steps: &dyn Steps,
) -> Result<SpareSummary> {
    let order = SpareOrder { context, files: check_possible(context, type_name)?, count };
    let mut connection = context.databases.owner_connection(&Alias::default()).await?;
    agreement::check(context, &mut connection).await?;
    let mut summary =
        SpareSummary { removed: remove_stale(context, &mut connection, stale, steps).await?, made: 0 };
    let there = spares::count(&mut connection, &order.digest()).await?;
    let missing = usize::try_from(i64::from(count) - there).unwrap_or_default();
    while !steps.is_cancelled() && order.make_one(&mut connection).await? {
        summary.made += 1;
        steps.step(Step::new("making spares", summary.made, Some(missing)));
    }
    // Rolls back the transaction that found enough. The server complains of one that is just left.
    let _ = connection.close().await;
    Ok(summary)
}

/// The files that a spare is made of.
pub(super) fn check_possible<'a>(
    context: &'a Context,
    type_name: Option<&TypeName>,
) -> Result<&'a TenantFiles> {
    let files = context.migrations.creation_files(type_name)?;
    let unsupported = |message: &str| Error::new(ErrorKind::Unsupported, message);
    if context.role.is_some() {
        return Err(unsupported("a spare cannot be made where each tenant has a role of its own")
            .with_hint("the role is named after the tenant's schema, and is made with it"));
    }
    match files.beyond_baseline().find(|migration| !migration.is_plain()) {
        Some(migration) => Err(unsupported(&format!(
            "a spare cannot be made while `{}` needs a transaction of its own, or none",
            migration.file()
        ))),
        None => Ok(files),
    }
}

/// The digests of spares that are up to date, for tenants of each type.
fn current(context: &Context) -> Vec<(Option<&TypeName>, Digest)> {
    let of_types = context.migrations.types().map(|(name, files)| (Some(name), files.digest()));
    std::iter::once((None, context.migrations.tenant().digest())).chain(of_types).collect()
}

async fn remove_stale(
    context: &Context,
    connection: &mut PgConnection,
    stale: Stale,
    steps: &dyn Steps,
) -> Result<usize> {
    let current: Vec<_> = current(context).into_iter().map(|(_, digest)| digest).collect();
    let age = match stale {
        Stale::Now => Duration::ZERO,
        Stale::After(age) => age,
    };
    let mut removed = 0;
    while !steps.is_cancelled() {
        let mut tx = connection.begin().await?;
        let Some(schema) = spares::take_stale(&mut tx, &current, age).await? else { return Ok(removed) };
        drop_schema(&mut tx, &schema).await?;
        tx.commit().await?;
        removed += 1;
        steps.step(Step::new("removing stale spares", removed, None));
    }
    Ok(removed)
}

/// An order for spares of one type.
struct SpareOrder<'a> {
    context: &'a Context,
    files: &'a TenantFiles,
    count: u32,
}

impl SpareOrder<'_> {
    fn digest(&self) -> Digest {
        self.files.set().digest()
    }

    /// Answers `false` if there are enough.
    async fn make_one(&self, connection: &mut PgConnection) -> Result<bool> {
        let mut patience = Patience::of_creation();
        loop {
            match self.make_at_once_or_stepwise(connection).await {
                Err(error) if patience.rest(&error, &"a spare").await => {}
                result => return result,
            }
        }
    }

    async fn make_at_once_or_stepwise(&self, connection: &mut PgConnection) -> Result<bool> {
        match self.make_at_once(connection).await {
            Err(error) if needs_own_transaction(&error) => self.make_stepwise(connection).await,
            result => result,
        }
    }

    async fn make_at_once(&self, connection: &mut PgConnection) -> Result<bool> {
        let context = self.context;
        let mut tx = connection.begin().await?;
        if !self.is_one_missing(&mut tx).await? {
            return Ok(false);
        }
        let schema = SchemaName::generate_spare();
        let site = Site::spare(&context.layout, &schema);
        let grants = grants(&mut tx, context, &Alias::default(), &schema).await?;
        send(&mut tx, site, &creation_message(site, self.files, &grants)?).await?;
        if stands(Guard::OwnName) {
            refuse_own_name(&mut tx, &schema).await?;
        }
        spares::insert(&mut tx, &schema, &self.digest()).await?;
        fail_point::reached(FailPoint::BeforeFill);
        commit(tx, site).await?;
        fail_point::reached(FailPoint::AfterFill);
        Ok(true)
    }

    /// Makes one whose files cannot share a transaction. Until it is complete, it counts as one that has applied
    /// nothing: nobody takes it, and should this be interrupted, it is removed with those that are stale.
    async fn make_stepwise(&self, connection: &mut PgConnection) -> Result<bool> {
        // Keeps others from filling, and holds nothing else.
        let mut turn = connection.begin().await?;
        if !self.is_one_missing(&mut turn).await? {
            return Ok(false);
        }
        let mut workplace = self.context.databases.owner_connection(&Alias::default()).await?;
        let schema = SchemaName::generate_spare();
        let result = self.fill_stepwise(&mut workplace, &schema).await;
        if result.is_err() {
            let mut tx = workplace.begin().await?;
            drop_schema(&mut tx, &schema).await?;
            spares::delete(&mut tx, &schema).await?;
            tx.commit().await?;
        }
        turn.rollback().await?;
        result.map(|()| true)
    }

    async fn fill_stepwise(&self, workplace: &mut PgConnection, schema: &SchemaName) -> Result<()> {
        let Self { context, files, .. } = self;
        let site = Site::spare(&context.layout, schema);
        let mut tx = workplace.begin().await?;
        let grants = grants(&mut tx, context, &Alias::default(), schema).await?;
        send(&mut tx, site, &schema_message(site, &grants)).await?;
        start_from_baseline(&mut tx, site, files).await?;
        spares::insert(&mut tx, schema, &MigrationSet::empty().digest()).await?;
        commit(tx, site).await?;
        migrate_schema(workplace, site, Goal::latest(files.set())).await?;
        if stands(Guard::OwnName) {
            refuse_own_name(workplace, schema).await?;
        }
        spares::complete(workplace, schema, &self.digest()).await
    }

    /// Asks in the caller's turn, which lasts as long as the transaction.
    async fn is_one_missing(&self, turn: &mut PgConnection) -> Result<bool> {
        spares::lock(turn).await?;
        Ok(spares::count(turn, &self.digest()).await? < i64::from(self.count))
    }
}

/// A function's body and its settings are text, which a rename of the schema does not reach.
async fn refuse_own_name(connection: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    let Some(function) = spares::function_that_names(connection, schema).await? else { return Ok(()) };
    let message = format!("a spare cannot be made, because the function `{function}` names its own schema");
    Err(Error::new(ErrorKind::Unsupported, message).with_hint(
        "a `SET search_path FROM CURRENT` does that, for example: leave it out, or go without spares",
    ))
}

/// Makes a tenant of a spare. `false` if there is none, and then nothing has happened.
pub(super) async fn claim(
    context: &Context,
    registry: &mut PgConnection,
    tenant: &Tenant,
    domains: &[DomainName],
) -> Result<bool> {
    if context.role.is_some() {
        return Ok(false);
    }
    loop {
        let mut tx = registry.begin().await?;
        let digest = context.migrations.files_of(tenant.type_name())?.set().digest();
        let Some(spare) = spares::take(&mut tx, &digest).await? else {
            // At once, and not with the next statement: what follows takes a while elsewhere.
            tx.rollback().await?;
            return Ok(false);
        };
        enter(&mut tx, tenant, domains).await?;
        audit::enter(&mut tx, tenant, &Action::new(Verb::Create, &context.operator), AuditState::Done)
            .await?;
        match rename(&mut tx, &spare, tenant.schema()).await {
            Ok(()) => {
                fail_point::reached(FailPoint::BeforeClaim);
                tx.commit().await?;
                fail_point::reached(FailPoint::AfterClaim);
                context.spare_taken.notify_one();
                return Ok(true);
            }
            // Somebody dropped it by hand. The next one may be there.
            Err(error) if error.database_code().is_some_and(|code| code == sqlstate::INVALID_SCHEMA_NAME) => {
                tx.rollback().await?;
                spares::delete(registry, &spare).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn rename(connection: &mut PgConnection, spare: &SchemaName, schema: &SchemaName) -> Result<()> {
    let (from, to) = (Identifier(spare.as_str()), Identifier(schema.as_str()));
    let rename = format!("ALTER SCHEMA {from} RENAME TO {to}");
    sqlx::raw_sql(AssertSqlSafe(rename)).execute(&mut *connection).await?;
    applied::rename(connection, spare, schema).await
}

/// All spares, the oldest first.
pub(crate) async fn list(context: &Context) -> Result<Vec<Spare>> {
    let mut connection = context.databases.owner_connection(&Alias::default()).await?;
    spares::list(&mut connection, &current(context)).await
}
