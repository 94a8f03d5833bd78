//! Warnings about the files that a run is about to apply.

use sqlx::PgConnection;

use super::options::MigrateOptions;
use super::survey::{Pending, survey};
use crate::context::Context;
use crate::database::Engine;
use crate::error::Result;
use crate::migration::{Home, Migration, TenantServer, Warning, lint};
use crate::tenant::TypeName;

/// Warns of the files that some schema of the fleet has not applied and is to apply. Where a schema cannot be looked
/// at, all of them may be pending.
///
/// # Errors
/// If it is not known which migrations there are, the registry cannot be read, or a tenant that is named cannot be
/// migrated.
pub(crate) async fn lint_pending(context: &Context, options: &MigrateOptions) -> Result<Vec<Warning>> {
    let Context { layout, migrations, .. } = context;
    migrations.check_files()?;
    let reference_tables = migrations.reference_tables();
    let is_on_citus = has_citus(context).await?;
    let server = if is_on_citus {
        TenantServer::Citus { reference_tables: &reference_tables }
    } else {
        TenantServer::Postgres
    };
    let home = Home::Tenant { extensions: &layout.extension_schemas, server };
    let master = warnings(migrations.master().iter(), Home::Master);
    let mut of_tenants = vec![(None, warnings(migrations.tenant().iter(), home))];
    for (type_name, files) in migrations.types() {
        let own = files.iter().filter(|migration| migration.is_of_type());
        of_tenants.push((Some(type_name), warnings(own, home)));
    }
    // The usual case, in which nobody needs to be asked.
    if master.is_empty() && of_tenants.iter().all(|(_, warnings)| warnings.is_empty()) {
        return Ok(Vec::new());
    }
    let survey = survey(context, options).await?;
    let mut warnings = of_pending(master, &survey.master, None);
    for (type_name, own) in of_tenants {
        warnings.extend(of_pending(own, &survey.tenants, type_name));
    }
    Ok(warnings)
}

/// Returns true if a database is Citus. The default one is asked, as it is in any run.
async fn has_citus(context: &Context) -> Result<bool> {
    let databases = &context.databases;
    databases.with_registry(async |_: &mut PgConnection| Ok(())).await?;
    Ok(databases
        .configs()
        .any(|(alias, config)| config.named_engine() == Engine::Citus || databases.dialect(alias).is_citus()))
}

/// About what would be applied; what would undo it was written when that was.
fn warnings<'a>(files: impl Iterator<Item = &'a Migration>, home: Home<'_>) -> Vec<Warning> {
    let accepted = files.filter(|migration| migration.up().refusals().is_empty());
    accepted.flat_map(|migration| lint(migration.up(), home)).collect()
}

fn of_pending(mut warnings: Vec<Warning>, pending: &Pending, type_name: Option<&TypeName>) -> Vec<Warning> {
    warnings.retain(|warning| pending.has(type_name, warning.version()));
    warnings
}
