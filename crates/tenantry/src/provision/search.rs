//! The search for the database of a tenant that names none.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection as _, PgConnection};

use super::new_tenant::NewTenant;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::placement::{DatabaseFigures, KnownDatabases, Measured, Newcomer, estimate};
use crate::pool::Databases;
use crate::registry::databases::{self, DatabaseRow};
use crate::registry::store;
use crate::tenant::{Alias, Status, Tenant, TenantRecord};

/// The longest that a sign-up waits for sizes of which older ones are known. They are measured to the end all the same.
const PATIENCE: Duration = Duration::from_millis(250);

/// The databases that are left to choose from.
pub(super) struct Search<'a> {
    context: &'a Context,
    around: KnownDatabases,
}

impl<'a> Search<'a> {
    /// Reads what is known of each database. What is too old is counted or measured anew.
    pub(super) async fn begin(
        context: &'a Context,
        registry: &mut PgConnection,
        draft: &Tenant,
    ) -> Result<Self> {
        let around = known_databases(context, registry).await?;
        // One that did not answer a moment ago is not asked again, and passed over all the same.
        let with_all = KnownDatabases { away: BTreeSet::new(), ..around.clone() };
        if let Ok(alias) = context.placement.place(&Newcomer::from(draft), &with_all)
            && let Some(error) = context.databases.away().lately(&alias)
        {
            tell(draft, &alias, &error);
        }
        Ok(Self { context, around })
    }

    /// Chooses a database, and answers with the tenant as it would be there.
    pub(super) fn choose(&self, draft: &Tenant) -> Result<Tenant> {
        let database = self.context.placement.place(&Newcomer::from(draft), &self.around)?;
        Ok(Tenant::from(TenantRecord { database, ..draft.to_record() }))
    }

    /// Returns true if a tenant may be made elsewhere after this error of its database.
    pub(super) fn passes_over(&mut self, draft: &Tenant, error: &Error) -> bool {
        let alias = draft.database();
        let passed = match error.kind() {
            ErrorKind::DatabaseClosed => &mut self.around.closed,
            ErrorKind::DatabaseUnavailable if *alias != Alias::default() => &mut self.around.away,
            _ => return false,
        };
        passed.insert(alias.clone());
        tell(draft, alias, error);
        true
    }
}

/// Counts the tenant no more where it was sent, if nothing was begun there. What was begun is finished there, by the
/// same command.
pub(super) async fn take_back(registry: &mut PgConnection, draft: &Tenant) -> bool {
    if !matches!(store::tenant_by_slug(&mut *registry, draft.slug()).await, Ok(None)) {
        return false;
    }
    let alias = draft.database();
    if let Err(error) = databases::take_back(registry, alias).await {
        tracing::debug!(database = %alias, %error, "A tenant that did not come counts until the next count");
    }
    true
}

/// The tenant in the database that it names, or that the placement has for it and that answers. One that was begun
/// stays where it was begun.
pub(crate) async fn look(context: &Context, registry: &mut PgConnection, new: &NewTenant) -> Result<Tenant> {
    if !is_placed(context, new) {
        let draft = new.draft(context, Status::Active)?;
        context.databases.config(draft.database())?;
        return Ok(draft);
    }
    let draft = new.outline(context, Status::Active)?;
    if let Some(known) = store::tenant_by_slug(&mut *registry, draft.slug()).await? {
        let database = known.database().clone();
        return Ok(Tenant::from(TenantRecord { database, ..draft.to_record() }));
    }
    let mut search = Search::begin(context, registry, &draft).await?;
    loop {
        let draft = search.choose(&draft)?;
        match context.databases.owner_connection(draft.database()).await {
            Ok(connection) => {
                let _ = connection.close().await;
                return Ok(draft);
            }
            Err(error) if search.passes_over(&draft, &error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Does the same for a tenant that is sent there.
pub(crate) async fn place(context: &Context, registry: &mut PgConnection, new: &NewTenant) -> Result<Tenant> {
    let draft = look(context, registry, new).await?;
    if is_placed(context, new) {
        databases::send(registry, draft.database()).await?;
    }
    Ok(draft)
}

/// Returns true if the placement chooses the tenant's database.
pub(super) fn is_placed(context: &Context, new: &NewTenant) -> bool {
    new.chosen_database().is_none() && !context.placement.is_default()
}

/// Says that a database was the first choice, and why it is not the one.
fn tell(draft: &Tenant, alias: &Alias, error: &Error) {
    let (slug, hint) = (draft.slug(), error.hint());
    tracing::warn!(
        target: "tenantry::placement",
        database = %alias, %error, hint,
        "Database `{alias}` is passed over for tenant `{slug}`: {error}"
    );
}

/// The databases as whoever chooses one is to see them.
pub(crate) async fn known_databases(
    context: &Context,
    registry: &mut PgConnection,
) -> Result<KnownDatabases> {
    let rows = database_rows(context, registry).await?;
    let figures =
        rows.iter().map(|row| (row.tenants, row.size.map(|(bytes, tenants)| Measured { bytes, tenants })));
    let sizes = estimate(&figures.collect::<Vec<_>>());
    let candidate = |(row, bytes): (&DatabaseRow, Option<u64>)| {
        let candidate = DatabaseFigures::new(row.alias.clone(), row.tenants).with_turn(row.turn);
        bytes.map_or(candidate.clone(), |bytes| candidate.with_bytes(bytes))
    };
    let mut known: Vec<_> = rows.iter().zip(sizes).map(candidate).collect();
    known.sort_by_key(|figures| figures.alias != Alias::default());
    let by_file = context.databases.configs().filter(|(_, config)| config.is_closed());
    let by_file = by_file.map(|(alias, _)| alias.clone());
    let closed = rows.iter().filter(|row| row.closed.is_some()).map(|row| row.alias.clone());
    let away = context.databases.aliases().filter(|alias| context.databases.away().lately(alias).is_some());
    Ok(KnownDatabases {
        figures: known,
        closed: by_file.chain(closed).collect(),
        away: away.cloned().collect(),
    })
}

/// The rows of the databases there are, in the order of their aliases, as fresh as the placement needs them.
pub(crate) async fn database_rows(
    context: &Context,
    registry: &mut PgConnection,
) -> Result<Vec<DatabaseRow>> {
    let aliases: Vec<_> = context.databases.aliases().collect();
    let mut rows = read(registry, &aliases).await?;
    if rows.len() < aliases.len() || rows.iter().any(|row| !row.is_counted) {
        databases::count(registry, &aliases).await?;
        rows = read(registry, &aliases).await?;
    }
    if context.placement.needs_sizes() && rows.iter().any(|row| !row.is_measured) {
        measure_old(context, registry, &rows).await?;
        rows = read(registry, &aliases).await?;
    }
    Ok(rows)
}

async fn read(registry: &mut PgConnection, aliases: &[&Alias]) -> Result<Vec<DatabaseRow>> {
    let mut rows = databases::all(registry).await?;
    rows.retain(|row| aliases.contains(&&row.alias));
    Ok(rows)
}

/// Has the databases measured whose size is too old. Only sizes that nobody knows are waited for to the end.
async fn measure_old(context: &Context, registry: &mut PgConnection, rows: &[DatabaseRow]) -> Result<()> {
    let mut claimed = Vec::new();
    for row in rows.iter().filter(|row| !row.is_measured) {
        if databases::claim_measuring(registry, &row.alias).await? {
            claimed.push(row.alias.clone());
        }
    }
    let is_waited_for = rows.iter().any(|row| row.size.is_none() && claimed.contains(&row.alias));
    let measuring = tokio::spawn(measure(context.databases.clone(), claimed));
    if is_waited_for {
        measuring.await.unwrap_or(Ok(()))
    } else {
        // What could not be measured in time is chosen by older figures.
        tokio::time::timeout(PATIENCE, measuring).await.map_or(Ok(()), |measured| measured.unwrap_or(Ok(())))
    }
}

/// Measures databases, all at once, and notes it. One that does not answer keeps the size it had.
pub(crate) async fn measure(databases: Databases, aliases: Vec<Alias>) -> Result<()> {
    let sizes = join_all(aliases.iter().map(|alias| size_of(&databases, alias))).await;
    let mut registry = databases.owner_connection(&Alias::default()).await?;
    for (alias, size) in aliases.iter().zip(sizes) {
        match size {
            Ok(bytes) => databases::note_size(&mut registry, alias, bytes).await?,
            Err(error) => tracing::debug!(database = %alias, %error, "Cannot measure database `{alias}`"),
        }
    }
    Ok(())
}

async fn size_of(databases: &Databases, alias: &Alias) -> Result<i64> {
    let mut connection = databases.owner_connection(alias).await?;
    let size = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())";
    Ok(sqlx::query_scalar(size).fetch_one(&mut connection).await?)
}
