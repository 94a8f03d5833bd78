//! Warnings about the files that a run is about to apply.

use std::collections::BTreeSet;

use super::lint::{self, Home, Warning};
use super::options::MigrateOptions;
use super::plan::{Change, Direction};
use super::preview::{Preview, preview};
use super::set::{Migration, MigrationSet};
use super::source::Migrations;
use crate::database::Layout;
use crate::error::Result;
use crate::pool::Databases;

/// Warns of the files that some schema of the fleet has not applied.
///
/// # Errors
/// If the registry cannot be read, or a tenant that is named cannot be migrated. A schema that cannot be
/// looked at does not count: all files are pending there.
pub(crate) async fn lint_pending(
    databases: &Databases,
    layout: &Layout,
    migrations: &Migrations,
    options: &MigrateOptions,
) -> Result<Vec<Warning>> {
    let master = warnings(migrations.master(), Home::Master);
    let tenant = warnings(migrations.tenant(), Home::Tenant { extensions: &layout.extension_schemas });
    // The usual case, in which nobody needs to be asked.
    if master.is_empty() && tenant.is_empty() {
        return Ok(Vec::new());
    }
    let (mut in_master, mut in_tenants) = (BTreeSet::new(), BTreeSet::new());
    let collect = |preview: Preview<'_>| match preview.tenant {
        None => in_master.extend(pending(&preview, migrations.master())),
        Some(_) => in_tenants.extend(pending(&preview, migrations.tenant())),
    };
    preview(databases, layout, migrations, options, collect).await?;
    let mut warnings = of_versions(master, &in_master);
    warnings.extend(of_versions(tenant, &in_tenants));
    Ok(warnings)
}

/// About what would be applied; what would undo it was written when that was.
fn warnings(files: &MigrationSet, home: Home<'_>) -> Vec<Warning> {
    files.iter().flat_map(|migration| lint::lint(migration.up(), home)).collect()
}

fn of_versions(mut warnings: Vec<Warning>, versions: &BTreeSet<i64>) -> Vec<Warning> {
    warnings.retain(|warning| versions.contains(&warning.version()));
    warnings
}

fn pending(preview: &Preview<'_>, files: &MigrationSet) -> Vec<i64> {
    match &preview.changes {
        Ok(changes) => {
            let applied = changes.iter().filter(|change| change.direction() == Direction::Up);
            applied.map(Change::migration).map(Migration::version).collect()
        }
        Err(_) => files.iter().map(Migration::version).collect(),
    }
}
