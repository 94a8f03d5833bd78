//! Makes a tenant of an archive.
//!
//! The archive is read twice: all of it is verified before anything is made, and then it is imported, in one
//! transaction with the row of the registry. If its version is not that of the files, the tenant is committed as
//! `provisioning`, and is served when the files are applied; the same call goes on with that.

mod needs;
mod open;
mod order;
mod pass;
mod work;

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use self::needs::{Here, behind, check_needs};
use self::open::{OpenArchive, verified};
pub use self::order::FromArchive;
use self::work::Importing;
use super::free::check_free;
use crate::archive::Verified;
use crate::context::Context;
use crate::error::Result;
use crate::fail_point::{self, FailPoint};
use crate::migrate::{Goal, Site, commit, migrate_schema};
use crate::observe::{Step, Steps};
use crate::provision::{NewTenant, enter};
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, store};
use crate::tenant::{Alias, Digest, Slug, Status, Tenant, TenantRecord, Verb};

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
    let draft = new.draft(context, Status::Active)?;
    let mut connection = context.databases.unlimited_owner_connection(&Alias::default()).await?;
    if let Some(tenant) = half_made(&mut connection, draft.slug(), &verified).await? {
        return finish(context, &mut connection, &tenant, &verified, false).await;
    }
    check_free(&mut connection, &new, &draft).await?;
    let is_behind = behind(context, &draft, &verified.manifest)?;
    let here = Here::of(&mut connection).await?;
    check_needs(&mut connection, context, &draft, order, (&verified.manifest, &here)).await?;
    let status = if is_behind { Status::Provisioning } else { Status::Active };
    let draft = Tenant::from(TenantRecord { status, ..draft.to_record() });
    // 2. Schema, rows and the row of the registry are one transaction that undoes itself.
    let mut tx = connection.begin().await?;
    let work =
        Importing { context, tenant: &draft, order, verified: &verified, open: &open, here: &here, steps };
    let is_compared = work.run(&mut tx).await?;
    store_import(&mut tx, context, &draft, &new, &verified).await?;
    fail_point::reached(FailPoint::BeforeImport);
    commit(tx, Site::of_tenant(&context.layout, &draft)).await?;
    fail_point::reached(FailPoint::AfterImport);
    work.aftercare(&mut connection).await;
    // 3. What the archive does not know yet.
    finish(context, &mut connection, &draft, &verified, is_compared).await
}

/// A tenant that the same call has made of the same file, and not finished.
async fn half_made(
    connection: &mut PgConnection,
    slug: &Slug,
    verified: &Verified,
) -> Result<Option<Tenant>> {
    let known = store::tenant_by_slug(&mut *connection, slug).await?;
    let Some(known) = known.filter(|known| known.status() == Status::Provisioning) else { return Ok(None) };
    let entries = audit::entries_of(connection, known.id(), 1).await?;
    let is_ours = entries.iter().any(|entry| {
        entry.verb == Verb::Import.as_str()
            && entry.state == AuditState::Begun
            && entry.digest == Some(verified.sha256)
    });
    Ok(is_ours.then_some(known))
}

async fn store_import(
    tx: &mut PgConnection,
    context: &Context,
    tenant: &Tenant,
    new: &NewTenant,
    verified: &Verified,
) -> Result<()> {
    enter(tx, tenant, new.domains()).await?;
    let options = json!({ "slug": verified.manifest.slug, "rows": verified.manifest.rows() });
    let digest = Some(verified.sha256);
    let action = Action { options, digest, ..Action::new(Verb::Import, &context.operator) };
    let is_whole = tenant.status() == Status::Active;
    audit::enter(tx, tenant, &action, if is_whole { AuditState::Done } else { AuditState::Begun }).await
}

/// Applies what is newer than the archive, and lets the tenant be served.
async fn finish(
    context: &Context,
    connection: &mut PgConnection,
    tenant: &Tenant,
    verified: &Verified,
    is_compared: bool,
) -> Result<ImportedTenant> {
    let mut migrated = Vec::new();
    if tenant.status() == Status::Provisioning {
        let site = Site::of_tenant(&context.layout, tenant);
        let goal = Goal::latest(context.migrations.files_of(tenant.type_name())?.set());
        match migrate_schema(connection, site, goal).await {
            Ok(changed) => migrated = changed.applied,
            Err(error) => {
                // What failed says more than that it could not be noted.
                let _ = store::set_last_error(connection, tenant, Some(&error.to_string())).await;
                return Err(error.with_hint("when that is mended, the same command goes on"));
            }
        }
        fail_point::reached(FailPoint::ImportMigrated);
        let mut tx = connection.begin().await?;
        store::set_status(&mut tx, tenant, Status::Active).await?;
        audit::end(&mut tx, tenant.id(), Verb::Import, AuditState::Done).await?;
        tx.commit().await?;
    }
    let tenant = store::tenant_by_id(&mut *connection, tenant.id()).await?.unwrap_or_else(|| tenant.clone());
    let (rows, sha256) = (verified.manifest.rows(), verified.sha256);
    Ok(ImportedTenant { tenant, rows, sha256, migrated, is_compared })
}
