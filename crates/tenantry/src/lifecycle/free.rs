//! Looks whether a tenant that is to be made can have what it asks for.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::error::{Error, ErrorKind, Result};
use crate::provision::{NewTenant, already_exists};
use crate::registry::store;
use crate::sql::advisory_key;
use crate::tenant::{Slug, Tenant};

/// The longest wait for somebody else who makes a tenant of the same slug. A process that died a moment ago is gone
/// by then.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(40);

/// Reserves a slug for a session of the registry's database.
///
/// So of two that copy at once under one slug, one does the work, and the other learns at its beginning that it is in
/// vain. The reservation goes with the session.
pub(super) async fn reserve(registry: &mut PgConnection, slug: &Slug) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !try_reserve(registry, slug).await? {
        if Instant::now() > deadline {
            let message = format!("tenant `{slug}` is being made by another process");
            let error = Error::new(ErrorKind::Conflict, message).with_tenant(slug);
            return Err(error.with_hint("wait for it, or choose another slug"));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn try_reserve(connection: &mut PgConnection, slug: &Slug) -> Result<bool> {
    let reserve = sqlx::query_scalar("SELECT pg_catalog.pg_try_advisory_lock($1)");
    let key = advisory_key(&format!("tenantry slug {slug}"));
    Ok(reserve.bind(key).persistent(false).fetch_one(connection).await?)
}

/// Looks before the work whether somebody has the slug or a domain. The registry will say so again.
pub(super) async fn check_free(
    connection: &mut PgConnection,
    new: &NewTenant,
    tenant: &Tenant,
) -> Result<()> {
    if let Some(known) = store::tenant_by_slug(&mut *connection, tenant.slug()).await? {
        return Err(already_exists(&known));
    }
    for domain in new.domains() {
        if store::tenant_by_domain(&mut *connection, domain).await?.is_some() {
            let message = format!("domain `{domain}` already belongs to a tenant");
            return Err(Error::new(ErrorKind::AlreadyExists, message).with_tenant(tenant.slug()));
        }
    }
    Ok(())
}
