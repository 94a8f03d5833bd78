//! Reads a schema as it is at one moment.

use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use super::purpose::ReadFor;
use super::refusal::refuse;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::lockable;
use crate::lifecycle::locks::check_readable;
use crate::migrate::{Applied, Site, read_ledger, send_own};
use crate::registry::{kept_files, store};
use crate::tenant::Tenant;

/// Looks under the lock of its schema whether a tenant is what it was. `registry` leads to the registry.
pub(in crate::lifecycle) async fn check_source(
    registry: &mut PgConnection,
    source: &Tenant,
    purpose: ReadFor,
) -> Result<Tenant> {
    let now = store::tenant_by_id(registry, source.id()).await?;
    let is_same = |now: &Tenant| now.schema() == source.schema() && now.type_name() == source.type_name();
    let Some(now) = now.filter(is_same) else {
        let message = format!("tenant `{}` was just removed, moved or given another type", source.slug());
        return Err(Error::new(ErrorKind::Conflict, message).with_tenant(source.slug()));
    };
    if !purpose.allows(now.status()) {
        let reason = format!("it is {}", now.status());
        return Err(purpose.refused(source, ErrorKind::TenantUnavailable, reason));
    }
    Ok(now)
}

/// Reads what a tenant has applied.
///
/// # Errors
/// [`ErrorKind::Migration`] if a migration was interrupted in it, [`ErrorKind::Conflict`] if its type is being changed.
pub(in crate::lifecycle) async fn whole_ledger(
    connection: &mut PgConnection,
    source: &Tenant,
    purpose: ReadFor,
) -> Result<Vec<Applied>> {
    let ledger_type = kept_files::ledger_type(connection, source.schema(), source.type_name()).await?;
    if ledger_type.as_ref() != source.type_name() {
        return Err(purpose
            .refused(source, ErrorKind::Conflict, "its type is being changed")
            .with_hint("`tenantry doctor` has the command that finishes the change"));
    }
    let rows = read_ledger(connection, source.schema()).await?;
    match rows.iter().find(|row| !row.success) {
        None => Ok(rows),
        Some(row) => {
            let reason = format!("migration {} was interrupted", row.version);
            Err(purpose
                .refused(source, ErrorKind::Migration, reason)
                .with_hint("`tenantry migrate` finishes it"))
        }
    }
}

/// Refuses what cannot be carried, then locks the tables before the transaction has a snapshot: with an older one, it
/// would find a table empty that was written anew since.
pub(in crate::lifecycle) async fn begin<'c>(
    connection: &'c mut PgConnection,
    context: &Context,
    source: &Tenant,
    purpose: ReadFor,
    statement: &'static str,
) -> Result<Transaction<'c, Postgres>> {
    let mut glance = connection.begin().await?;
    refuse(&mut glance, &context.layout, source, purpose).await?;
    glance.rollback().await?;
    let names = lockable(connection, source.schema()).await?;
    check_readable(connection, &purpose.sentence(source), names.len())
        .await
        .map_err(|error| error.with_tenant(source.slug()))?;
    let mut tx = connection.begin_with(statement).await?;
    if !names.is_empty() {
        let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
        send_own(&mut tx, Site::of_tenant(&context.layout, source), &lock).await?;
    }
    if lockable(&mut tx, source.schema()).await? != names {
        let message = format!("tables of tenant `{}` came or went at this moment", source.slug());
        return Err(Error::new(ErrorKind::Conflict, message).with_tenant(source.slug()));
    }
    Ok(tx)
}
