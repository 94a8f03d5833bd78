//! Warnings about the files that a fleet is about to apply.
//!
//! Which these are is not asked of every schema: schemas with the same digest have applied the same, so
//! one ledger per digest is read.

use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;

use super::fleet::{Fleet, PAGE, is_migrated, named};
use super::ledger;
use super::lint::{self, Home, Warning};
use super::set::{Migration, MigrationSet};
use super::source::Migrations;
use crate::error::Result;
use crate::pool::{Databases, Layout};
use crate::registry::{store, with_applied};
use crate::tenant::{Alias, Digest, SchemaName, Tenant};

/// Warns of the files that some schema of the fleet has not applied.
///
/// # Errors
/// If the registry or the ledger of the master schema cannot be read, or a tenant that is named cannot be
/// migrated. A database of tenants that is away does not count: all files are pending there.
pub(crate) async fn lint_pending(
    databases: &Databases,
    layout: &Layout,
    migrations: &Migrations,
    fleet: &Fleet,
) -> Result<Vec<Warning>> {
    let master = warnings(migrations.master(), Home::Master);
    let tenant = warnings(migrations.tenant(), Home::Tenant { extensions: &layout.extension_schemas });
    // The usual case, in which nobody needs to be asked.
    if master.is_empty() && tenant.is_empty() {
        return Ok(Vec::new());
    }
    let mut registry = databases.owner_connection(&Alias::default()).await?;
    let mut pending = BTreeSet::new();
    if fleet.only.is_none() {
        pending = not_applied(&mut registry, &layout.master_schema, migrations.master()).await?;
    }
    let mut warnings = of_versions(master, &pending);
    if !tenant.is_empty() {
        let pending = pending_in_tenants(databases, &mut registry, migrations.tenant(), fleet).await?;
        warnings.extend(of_versions(tenant, &pending));
    }
    Ok(warnings)
}

/// About what would be applied; what would undo it is not run.
fn warnings(files: &MigrationSet, home: Home<'_>) -> Vec<Warning> {
    files.iter().flat_map(|migration| lint::lint(migration.up(), home)).collect()
}

fn of_versions(mut warnings: Vec<Warning>, versions: &BTreeSet<i64>) -> Vec<Warning> {
    warnings.retain(|warning| versions.contains(&warning.version()));
    warnings
}

async fn not_applied(
    connection: &mut PgConnection,
    schema: &SchemaName,
    files: &MigrationSet,
) -> Result<BTreeSet<i64>> {
    let applied: BTreeSet<_> =
        ledger::read(connection, schema).await?.iter().map(|row| row.version).collect();
    Ok(files.iter().map(Migration::version).filter(|version| !applied.contains(version)).collect())
}

async fn pending_in_tenants(
    databases: &Databases,
    registry: &mut PgConnection,
    files: &MigrationSet,
    fleet: &Fleet,
) -> Result<BTreeSet<i64>> {
    let mut pending = BTreeSet::new();
    for (digest, tenant) in one_per_digest(databases, registry, files.digest(), fleet).await? {
        let missing = match digest {
            Some(_) => not_applied_by(databases, &tenant, files).await,
            // Nothing is known of it, nor of others like it.
            None => Ok(files.iter().map(Migration::version).collect()),
        };
        pending.extend(missing.unwrap_or_else(|_| files.iter().map(Migration::version).collect()));
    }
    Ok(pending)
}

async fn not_applied_by(
    databases: &Databases,
    tenant: &Tenant,
    files: &MigrationSet,
) -> Result<BTreeSet<i64>> {
    let mut connection = databases.owner_connection(tenant.database()).await?;
    not_applied(&mut connection, tenant.schema(), files).await
}

/// A tenant for each digest in the fleet that is not the one of the files.
async fn one_per_digest(
    databases: &Databases,
    registry: &mut PgConnection,
    current: Digest,
    fleet: &Fleet,
) -> Result<HashMap<Option<Digest>, Tenant>> {
    let mut found = HashMap::new();
    let mut add = |tenants: Vec<Tenant>| {
        let behind = tenants.into_iter().filter(|tenant| tenant.digest() != Some(&current));
        found.extend(behind.map(|tenant| (tenant.digest().copied(), tenant)));
    };
    if let Some(slugs) = &fleet.only {
        add(complete(databases, named(registry, slugs).await?).await);
        return Ok(found);
    }
    let mut after = String::new();
    loop {
        let mut page = store::tenants_after(&mut *registry, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.slug().as_str().to_owned();
        page.retain(is_migrated);
        add(complete(databases, page).await);
    }
}

async fn complete(databases: &Databases, tenants: Vec<Tenant>) -> Vec<Tenant> {
    with_applied(databases, tenants.clone()).await.unwrap_or(tenants)
}
