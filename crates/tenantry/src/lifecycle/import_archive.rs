//! Makes a tenant of an archive.
//!
//! The archive is read twice: all of it is verified before anything is made, and then it is imported, in one
//! transaction, in the default database with the row of the registry. More tables than one transaction has locks for
//! come in several, behind that row. If its version is not that of the files, the
//! tenant is committed as `provisioning`, and is served when the files are applied; the same call goes on with that.

mod needs;
mod open;
mod order;
mod pass;
mod rows;
mod work;

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use self::needs::{behind, check_needs};
use self::open::{OpenArchive, verified};
pub use self::order::FromArchive;
use self::work::Importing;
use super::entry::{Interrupted, TenantEntering, interrupted, serve, served};
use super::free::{check_free, reserve};
use super::in_pieces::MOST;
use super::locks::fits_transaction;
use super::needs::Here;
use crate::archive::Verified;
use crate::context::Context;
use crate::error::Result;
use crate::fail_point::{self, FailPoint};
use crate::migrate::{Goal, SchemaLock, Site, migrate_schema};
use crate::observe::{Step, Steps};
use crate::provision::{NotOnCitus, place, refuse_on_citus};
use crate::registry::audit::Action;
use crate::registry::{AuditEntry, store};
use crate::tenant::{Alias, Digest, Status, Tenant, TenantRecord, Verb};

/// A tenant that was made of an archive.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ImportedTenant {
    /// The new tenant, which can be served.
    pub tenant: Tenant,
    /// The rows that were imported, without those of the ledger.
    pub rows: u64,
    /// The SHA-256 of the file, which the audit has, too.
    pub sha256: Digest,
    /// The versions that were applied to what was imported.
    pub migrated: Vec<i64>,
    /// True if the structure was compared with the one that was exported, which another major version of the server,
    /// another owner or other privileges do not allow. Rows are always counted.
    pub is_compared: bool,
}

/// Makes the tenant. What fails before the commit leaves nothing; behind it, the same call goes on.
pub(crate) async fn import_archive(
    context: &Context,
    open: OpenArchive,
    order: &FromArchive,
    steps: &dyn Steps,
) -> Result<ImportedTenant> {
    // 1. All of it is read, before anything is made.
    steps.step(Step::new("verifying the archive", 0, None));
    let verified = verified(&open).await?;
    let new = order.tenant_of(&verified.manifest);
    let mut registry = context.databases.unlimited_owner_connection(&Alias::default()).await?;
    let draft = place(context, &mut registry, &new).await?;
    refuse_on_citus(context, NotOnCitus::Import, &[draft.database()]).await?;
    reserve(&mut registry, draft.slug()).await?;
    let is_ours = |entry: &AuditEntry| entry.digest == Some(verified.sha256);
    let found = interrupted(context, &mut registry, &draft, Verb::Import, is_ours).await?;
    if let Interrupted::Filled { tenant, mut workplace } = found {
        return finish(context, [&mut registry, &mut workplace], &tenant, &verified, false).await;
    }
    check_free(&mut registry, &new, &draft).await?;
    let is_behind = behind(context, &draft, &verified.manifest)?;
    let mut connection = context.databases.unlimited_owner_connection(draft.database()).await?;
    SchemaLock::of(draft.schema()).take(&mut connection, draft.schema()).await?;
    let here = Here::of(&mut connection).await?;
    check_needs(&mut connection, context, &draft, order, (&verified.manifest, &here)).await?;
    let status = if is_behind { Status::Provisioning } else { Status::Active };
    let draft = Tenant::from(TenantRecord { status, ..draft.to_record() });
    // 2. Schema and rows are one transaction that undoes itself, with the row of the registry if that is there. Where
    // one cannot hold so many tables, the row comes first; undo of that: the same call, or `tenantry create --abort`.
    let fits = fits_transaction(&mut connection, verified.manifest.tables.len()).await?;
    let most = if fits { None } else { Some(MOST) };
    let work = Importing {
        context,
        tenant: &draft,
        order,
        verified: &verified,
        open: &open,
        here: &here,
        steps,
        most,
    };
    let action = action(context, &verified);
    let points = [FailPoint::BeforeImport, FailPoint::AfterImport];
    let entering = TenantEntering { context, new: &new, tenant: &draft, action, points };
    let is_compared = if fits {
        let mut tx = connection.begin().await?;
        let is_compared = work.run(&mut tx).await?;
        entering.commit(&mut registry, tx).await?;
        is_compared
    } else {
        let half_made = entering.begin(&mut registry).await?;
        let filled = work.run_in_pieces(&mut connection).await;
        entering.end(&mut registry, &mut connection, &half_made, filled).await?
    };
    work.aftercare(&mut connection).await;
    // 3. What the archive does not know yet.
    finish(context, [&mut registry, &mut connection], &draft, &verified, is_compared).await
}

/// The entry in the audit.
fn action<'a>(context: &'a Context, verified: &Verified) -> Action<'a> {
    let options = json!({ "slug": verified.manifest.slug, "rows": verified.manifest.rows() });
    let digest = Some(verified.sha256);
    Action { options, digest, ..Action::new(Verb::Import, &context.operator) }
}

/// Applies what is newer than the archive, and lets the tenant be served.
async fn finish(
    context: &Context,
    [registry, workplace]: [&mut PgConnection; 2],
    tenant: &Tenant,
    verified: &Verified,
    is_compared: bool,
) -> Result<ImportedTenant> {
    let mut migrated = Vec::new();
    if tenant.status() == Status::Provisioning {
        let site = Site::of_tenant(&context.layout, tenant);
        let goal = Goal::latest(context.migrations.files_of(tenant.type_name())?.set());
        match migrate_schema(workplace, site, goal).await {
            Ok(changed) => migrated = changed.applied,
            Err(error) => {
                // What failed says more than that it could not be noted.
                let _ = store::set_last_error(registry, tenant, Some(&error.to_string())).await;
                return Err(error.with_hint("when that is mended, the same command goes on"));
            }
        }
        fail_point::reached(FailPoint::ImportMigrated);
        serve(registry, tenant).await?;
    }
    let tenant = served(context, registry, tenant).await?;
    let (rows, sha256) = (verified.manifest.rows(), verified.sha256);
    Ok(ImportedTenant { tenant, rows, sha256, migrated, is_compared })
}
