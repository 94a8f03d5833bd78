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
use crate::migration::MigrationSet;
use crate::observe::{Step, Steps};
use crate::registry::audit::{self, Action};
use crate::registry::spares::{self, Spare};
use crate::registry::{AuditState, applied};
use crate::sql::Identifier;
use crate::tenant::{Alias, DomainName, SchemaName, Tenant, Verb};

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
    count: u32,
    stale: Stale,
    steps: &dyn Steps,
) -> Result<SpareSummary> {
    check_possible(context)?;
    let mut connection = context.databases.owner_connection(&Alias::default()).await?;
    agreement::check(context, &mut connection).await?;
    let mut summary =
        SpareSummary { removed: remove_stale(context, &mut connection, stale, steps).await?, made: 0 };
    let there = spares::count(&mut connection, &context.migrations.tenant().digest()).await?;
    let missing = usize::try_from(i64::from(count) - there).unwrap_or_default();
    while !steps.is_cancelled() && make_one(context, &mut connection, count).await? {
        summary.made += 1;
        steps.step(Step::new("making spares", summary.made, Some(missing)));
    }
    // Rolls back the transaction that found enough. The server complains of one that is just left.
    let _ = connection.close().await;
    Ok(summary)
}

pub(super) fn check_possible(context: &Context) -> Result<()> {
    context.migrations.check_creation()?;
    let unsupported = |message: &str| Error::new(ErrorKind::Unsupported, message);
    if context.role.is_some() {
        return Err(unsupported("a spare cannot be made where each tenant has a role of its own")
            .with_hint("the role is named after the tenant's schema, and is made with it"));
    }
    match context.migrations.beyond_baseline().find(|migration| !migration.is_plain()) {
        Some(migration) => Err(unsupported(&format!(
            "a spare cannot be made while `{}` needs a transaction of its own, or none",
            migration.file()
        ))),
        None => Ok(()),
    }
}

async fn remove_stale(
    context: &Context,
    connection: &mut PgConnection,
    stale: Stale,
    steps: &dyn Steps,
) -> Result<usize> {
    let digest = context.migrations.tenant().digest();
    let age = match stale {
        Stale::Now => Duration::ZERO,
        Stale::After(age) => age,
    };
    let mut removed = 0;
    while !steps.is_cancelled() {
        let mut tx = connection.begin().await?;
        let Some(schema) = spares::take_stale(&mut tx, &digest, age).await? else { return Ok(removed) };
        drop_schema(&mut tx, &schema).await?;
        tx.commit().await?;
        removed += 1;
        steps.step(Step::new("removing stale spares", removed, None));
    }
    Ok(removed)
}

/// Answers `false` if there are enough.
async fn make_one(context: &Context, connection: &mut PgConnection, count: u32) -> Result<bool> {
    let mut patience = Patience::of_creation();
    loop {
        match make_at_once_or_stepwise(context, connection, count).await {
            Err(error) if patience.rest(&error, &"a spare").await => {}
            result => return result,
        }
    }
}

async fn make_at_once_or_stepwise(
    context: &Context,
    connection: &mut PgConnection,
    count: u32,
) -> Result<bool> {
    match make_at_once(context, connection, count).await {
        Err(error) if needs_own_transaction(&error) => make_stepwise(context, connection, count).await,
        result => result,
    }
}

async fn make_at_once(context: &Context, connection: &mut PgConnection, count: u32) -> Result<bool> {
    let files = context.migrations.tenant();
    let mut tx = connection.begin().await?;
    if !is_one_missing(context, &mut tx, count).await? {
        return Ok(false);
    }
    let schema = SchemaName::generate_spare();
    let site = Site::spare(&context.layout, &schema);
    let grants = grants(&mut tx, context, &Alias::default(), &schema).await?;
    send(&mut tx, site, &creation_message(site, &context.migrations, &grants)?).await?;
    if stands(Guard::OwnName) {
        refuse_own_name(&mut tx, &schema).await?;
    }
    spares::insert(&mut tx, &schema, &files.digest()).await?;
    fail_point::reached(FailPoint::BeforeFill);
    commit(tx, site).await?;
    fail_point::reached(FailPoint::AfterFill);
    Ok(true)
}

/// Makes one whose files cannot share a transaction. Until it is complete, it counts as one that has applied
/// nothing: nobody takes it, and should this be interrupted, it is removed with those that are stale.
async fn make_stepwise(context: &Context, connection: &mut PgConnection, count: u32) -> Result<bool> {
    // Keeps others from filling, and holds nothing else.
    let mut turn = connection.begin().await?;
    if !is_one_missing(context, &mut turn, count).await? {
        return Ok(false);
    }
    let mut workplace = context.databases.owner_connection(&Alias::default()).await?;
    let schema = SchemaName::generate_spare();
    let site = Site::spare(&context.layout, &schema);
    let result = fill_stepwise(context, &mut workplace, site, &schema).await;
    if result.is_err() {
        let mut tx = workplace.begin().await?;
        drop_schema(&mut tx, &schema).await?;
        spares::delete(&mut tx, &schema).await?;
        tx.commit().await?;
    }
    turn.rollback().await?;
    result.map(|()| true)
}

async fn fill_stepwise(
    context: &Context,
    workplace: &mut PgConnection,
    site: Site<'_>,
    schema: &SchemaName,
) -> Result<()> {
    let files = context.migrations.tenant();
    let mut tx = workplace.begin().await?;
    let grants = grants(&mut tx, context, &Alias::default(), schema).await?;
    send(&mut tx, site, &schema_message(site, &grants)).await?;
    start_from_baseline(&mut tx, site, &context.migrations).await?;
    spares::insert(&mut tx, schema, &MigrationSet::empty().digest()).await?;
    commit(tx, site).await?;
    migrate_schema(workplace, site, Goal::latest(files)).await?;
    if stands(Guard::OwnName) {
        refuse_own_name(workplace, schema).await?;
    }
    spares::complete(workplace, schema, &files.digest()).await
}

/// Asks in the caller's turn, which lasts as long as the transaction.
async fn is_one_missing(context: &Context, turn: &mut PgConnection, count: u32) -> Result<bool> {
    spares::lock(turn).await?;
    Ok(spares::count(turn, &context.migrations.tenant().digest()).await? < i64::from(count))
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
        let digest = context.migrations.tenant().digest();
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
    spares::list(&mut connection, &context.migrations.tenant().digest()).await
}
