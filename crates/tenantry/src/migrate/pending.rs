//! Warnings about the files that a run is about to apply.

use super::options::MigrateOptions;
use super::survey::{Pending, survey};
use crate::context::Context;
use crate::error::Result;
use crate::migration::{Home, MigrationSet, Warning, lint};

/// Warns of the files that some schema of the fleet has not applied and is to apply. Where a schema cannot be looked
/// at, all of them may be pending.
///
/// # Errors
/// If it is not known which migrations there are, the registry cannot be read, or a tenant that is named cannot be
/// migrated.
pub(crate) async fn lint_pending(context: &Context, options: &MigrateOptions) -> Result<Vec<Warning>> {
    let Context { layout, migrations, .. } = context;
    migrations.check_files()?;
    let master = warnings(migrations.master(), Home::Master);
    let tenant = warnings(migrations.tenant(), Home::Tenant { extensions: &layout.extension_schemas });
    // The usual case, in which nobody needs to be asked.
    if master.is_empty() && tenant.is_empty() {
        return Ok(Vec::new());
    }
    let survey = survey(context, options).await?;
    let mut warnings = of_pending(master, &survey.master);
    warnings.extend(of_pending(tenant, &survey.tenants));
    Ok(warnings)
}

/// About what would be applied; what would undo it was written when that was.
fn warnings(files: &MigrationSet, home: Home<'_>) -> Vec<Warning> {
    let accepted = files.iter().filter(|migration| migration.up().refusals().is_empty());
    accepted.flat_map(|migration| lint(migration.up(), home)).collect()
}

fn of_pending(mut warnings: Vec<Warning>, pending: &Pending) -> Vec<Warning> {
    warnings.retain(|warning| pending.has(warning.version()));
    warnings
}
