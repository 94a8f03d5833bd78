//! Compares what an archive needs with what there is.

use sqlx::PgConnection;

use super::order::FromArchive;
use crate::archive::Manifest;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::archived::{applied, needed_extension};
use crate::lifecycle::needs::{Here, Needs};
use crate::migrate::{Goal, plan, sentence};
use crate::tenant::Tenant;

/// Returns true if the same structure has the same fingerprint here.
pub(super) fn has_fingerprints_of(here: &Here, manifest: &Manifest) -> bool {
    here.major() == manifest.server_major() && here.owner == manifest.owner
}

/// Returns true if the files go on where the archive ends.
///
/// # Errors
/// [`ErrorKind::Migration`] if they do not lead there: a version is not there, or its file was changed.
pub(super) fn behind(context: &Context, tenant: &Tenant, manifest: &Manifest) -> Result<bool> {
    let applied = applied(manifest)?;
    if context.migrations.is_none() {
        return Ok(false);
    }
    let goal = Goal::latest(context.migrations.files_of(tenant.type_name())?.set());
    let plan = plan(goal, &applied).map_err(|conflicts| {
        let hint = conflicts.first().map(|conflict| conflict.hint().to_string()).unwrap_or_default();
        refused(tenant, ErrorKind::Migration, sentence(&conflicts)).with_hint(hint)
    })?;
    Ok(!plan.steps.is_empty())
}

/// # Errors
/// [`ErrorKind::Unsupported`] with what is missing here. Nothing was made yet.
pub(super) async fn check_needs(
    connection: &mut PgConnection,
    context: &Context,
    tenant: &Tenant,
    order: &FromArchive,
    (manifest, here): (&Manifest, &Here),
) -> Result<()> {
    let leave_out = "leave privileges out: `--no-privileges`";
    if order.has_privileges() && manifest.has_own_role && context.role.is_none() {
        let reason = "it had a role of its own, and tenants have none here";
        return Err(refused(tenant, ErrorKind::Unsupported, reason).with_hint(leave_out));
    }
    let needs = Needs {
        server_major: manifest.server_major(),
        encoding: manifest.encoding.clone(),
        extensions: manifest.extensions.iter().map(needed_extension).collect(),
        roles: if order.has_privileges() { manifest.roles.clone() } else { Vec::new() },
        tablespaces: manifest.tablespaces.clone(),
        servers: Vec::new(),
        shared: Vec::new(),
    };
    let whose = format!("tenant `{}` cannot be imported", tenant.slug());
    let checked = needs.check(connection, here, &whose, &format!("create them, or {leave_out}")).await;
    checked.map_err(|error| error.with_tenant(tenant.slug()))
}

pub(super) fn refused(tenant: &Tenant, kind: ErrorKind, reason: impl std::fmt::Display) -> Error {
    let message = format!("tenant `{}` cannot be imported: {reason}", tenant.slug());
    Error::new(kind, message).with_tenant(tenant.slug())
}
