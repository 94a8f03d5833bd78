//! Schemas built ahead of time, so that a sign-up renames one instead of making one.
//!
//! A spare and its row in `tenantry.spare`, which is in its own database, appear in one transaction, so whatever is
//! interrupted leaves both or neither. A tenant that is made of it (`claim`) is one transaction as well in the default
//! database, where the registry is; elsewhere it is entered first, like a tenant that is made step by step.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::agreement;
use super::grants::grants;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::guard::{Guard, stands};
use crate::migrate::{
    Goal, Patience, Site, commit, creation_message, distribute, distribute_alone, drop_schema,
    migrate_schema, needs_own_transaction, schema_message, send, start_from_baseline,
};
use crate::migration::{MigrationSet, TenantFiles};
use crate::observe::{Step, Steps};
use crate::registry::databases;
use crate::registry::spares::{self, Spare};
use crate::tenant::{Alias, Digest, SchemaName, TypeName};

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

/// Removes what is stale, and makes spares until there are this many in each database that new tenants may come to, or
/// until it is cancelled; or only in some of them. Two who fill at once make no more. A database that does not answer
/// is left out.
pub(crate) async fn fill(
    context: &Context,
    only: Option<&BTreeSet<Alias>>,
    type_name: Option<&TypeName>,
    count: u32,
    stale: Stale,
    steps: &dyn Steps,
) -> Result<SpareSummary> {
    check_possible(context, type_name)?;
    let mut registry = context.databases.owner_connection(&Alias::default()).await?;
    agreement::check(context, &mut registry).await?;
    let closed = closed(context, &mut registry).await?;
    registry.close().await?;
    let mut summary = SpareSummary::default();
    for alias in homes(context).filter(|alias| only.is_none_or(|only| only.contains(alias))) {
        let is_closed = closed.contains(alias);
        match fill_in(context, alias, is_closed, type_name, count, stale, steps).await {
            Ok(filled) => summary = summary.and(filled),
            Err(error) if error.kind() == ErrorKind::DatabaseUnavailable && *alias != Alias::default() => {
                tracing::warn!(database = %alias, %error, "No spares are made in database `{alias}`: {error}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(summary)
}

/// Does the same in one database. One that is closed keeps none.
pub(super) async fn fill_in(
    context: &Context,
    alias: &Alias,
    is_closed: bool,
    type_name: Option<&TypeName>,
    count: u32,
    stale: Stale,
    steps: &dyn Steps,
) -> Result<SpareSummary> {
    let order = SpareOrder { context, alias, files: check_possible(context, type_name)?, count };
    let mut connection = context.databases.owner_connection(alias).await?;
    let current = if is_closed { Vec::new() } else { current(context) };
    let removed = remove_stale(&current, &mut connection, stale, steps).await?;
    let mut summary = SpareSummary { removed, made: 0 };
    if is_closed {
        return Ok(summary);
    }
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

/// Removes all spares of a database. Answers with their number.
pub(crate) async fn remove_all(context: &Context, alias: &Alias) -> Result<usize> {
    let mut connection = context.databases.owner_connection(alias).await?;
    remove_stale(&[], &mut connection, Stale::Now, &()).await
}

/// The databases that tenants are made in.
fn homes(context: &Context) -> impl Iterator<Item = &Alias> {
    let is_one = context.placement.is_default();
    context.databases.aliases().filter(move |alias| !is_one || **alias == Alias::default())
}

/// The databases that are closed to new tenants.
async fn closed(context: &Context, registry: &mut PgConnection) -> Result<BTreeSet<Alias>> {
    let by_file = context.databases.configs().filter(|(_, config)| config.is_closed());
    let by_file = by_file.map(|(alias, _)| alias.clone());
    let rows = databases::all(registry).await?;
    let closed = rows.into_iter().filter(|row| row.closed.is_some()).map(|row| row.alias);
    Ok(closed.chain(by_file).collect())
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

/// Removes those that have applied anything else than these.
async fn remove_stale(
    current: &[(Option<&TypeName>, Digest)],
    connection: &mut PgConnection,
    stale: Stale,
    steps: &dyn Steps,
) -> Result<usize> {
    let current: Vec<_> = current.iter().map(|(_, digest)| *digest).collect();
    let age = match stale {
        Stale::Now => Duration::ZERO,
        Stale::After(age) => age,
    };
    let mut removed = 0;
    while !steps.is_cancelled() && remove_one_stale(&current, connection, age).await? {
        removed += 1;
        steps.step(Step::new("removing stale spares", removed, None));
    }
    Ok(removed)
}

/// Answers `false` if there is none.
async fn remove_one_stale(current: &[Digest], connection: &mut PgConnection, age: Duration) -> Result<bool> {
    let mut patience = Patience::of_creation();
    loop {
        match try_to_remove_stale(current, connection, age).await {
            Err(error) if patience.rest(&error, &"a stale spare").await => {}
            result => return result,
        }
    }
}

async fn try_to_remove_stale(
    current: &[Digest],
    connection: &mut PgConnection,
    age: Duration,
) -> Result<bool> {
    let mut tx = connection.begin().await?;
    let Some(schema) = spares::take_stale(&mut tx, current, age).await? else { return Ok(false) };
    drop_schema(&mut tx, &schema).await?;
    tx.commit().await?;
    Ok(true)
}

impl SpareSummary {
    pub(super) fn and(self, other: Self) -> Self {
        Self { made: self.made + other.made, removed: self.removed + other.removed }
    }
}

/// An order for spares of one type in one database.
struct SpareOrder<'a> {
    context: &'a Context,
    alias: &'a Alias,
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
        let site = Site::spare(&context.layout, self.alias, &schema);
        let grants = grants(&mut tx, context, self.alias, &schema).await?;
        send(&mut tx, site, &creation_message(site, self.files, &grants)?).await?;
        distribute(&mut tx, site).await?;
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
        let mut workplace = self.context.databases.owner_connection(self.alias).await?;
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
        let Self { context, alias, files, .. } = self;
        let site = Site::spare(&context.layout, alias, schema);
        let mut tx = workplace.begin().await?;
        let grants = grants(&mut tx, context, alias, schema).await?;
        send(&mut tx, site, &schema_message(site, &grants)).await?;
        start_from_baseline(&mut tx, site, files).await?;
        spares::insert(&mut tx, schema, &MigrationSet::empty().digest()).await?;
        commit(tx, site).await?;
        migrate_schema(workplace, site, Goal::latest(files.set())).await?;
        distribute_alone(workplace, site).await?;
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

/// All spares, database by database, the oldest first. Those of one that does not answer are left out.
pub(crate) async fn list(context: &Context) -> Result<Vec<Spare>> {
    let current = current(context);
    let mut all = Vec::new();
    for alias in context.databases.aliases() {
        match context.databases.owner_connection(alias).await {
            Ok(mut connection) => all.extend(spares::list(&mut connection, alias, &current).await?),
            Err(error) if error.kind() == ErrorKind::DatabaseUnavailable && *alias != Alias::default() => {
                tracing::warn!(database = %alias, %error, "The spares of database `{alias}` are not known");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
