//! Refuses to make a tenant of files that are not those of the fleet.
//!
//! A tenant that is made of fewer files than others have applied, or of a file that was changed since, is served by
//! programs that expect something else, and no later state of the files suits all.

use sqlx::PgConnection;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::migrate::{Goal, plan, read_ledger, sentence};
use crate::migration::MigrationSet;
use crate::registry::{store, with_applied};
use crate::tenant::Tenant;

/// Tenants that are compared. However many there are, making one more costs the same.
const SAMPLE: i64 = 16;
/// Compares the files with what tenants chosen at random have applied. Those that have applied the first of them and
/// nothing else agree without being asked.
///
/// # Errors
/// [`ErrorKind::Migration`] naming a tenant that has applied a file that was changed since, or is not there.
pub(super) async fn check(context: &Context, registry: &mut PgConnection) -> Result<()> {
    // An application that leaves its tables to something else has no files to compare.
    if context.migrations.is_none() || context.agreement.is_valid() {
        return Ok(());
    }
    let sample = store::some_tenants(registry, SAMPLE).await?;
    // What a database that is away has applied is not known, and does not keep the others from growing.
    let sample = with_applied(&context.databases, sample.clone()).await.unwrap_or(sample);
    for tenant in &sample {
        let Some(digest) = tenant.digest().copied() else { continue };
        // Of an unknown type it is not known which files are right.
        let Some(files) = context.migrations.of_type(tenant.type_name()) else { continue };
        if files.version_of(&digest).is_none() && !context.agreement.knows(&digest) {
            match compare(context, tenant, files).await {
                Ok(()) => context.agreement.add(digest),
                // It was there a moment ago.
                Err(error) if error.kind() == ErrorKind::DatabaseUnavailable => {}
                Err(error) => return Err(error),
            }
        }
    }
    context.agreement.confirm();
    Ok(())
}

async fn compare(context: &Context, tenant: &Tenant, files: &MigrationSet) -> Result<()> {
    let mut connection = context.databases.owner_connection(tenant.database()).await?;
    let rows = read_ledger(&mut connection, tenant.schema()).await?;
    let conflicts = plan(Goal::latest(files), &rows).err().unwrap_or_default();
    let past: Vec<_> = conflicts.iter().filter(|conflict| conflict.is_of_the_past()).collect();
    let Some(first) = past.first() else { return Ok(()) };
    let hint = first.hint();
    let message = format!(
        "a new tenant would not be like tenant `{}`: {}",
        tenant.slug(),
        sentence(past.iter().copied())
    );
    Err(Error::new(ErrorKind::Migration, message).with_hint(hint))
}
