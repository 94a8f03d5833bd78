//! Tenants that are entered, and whose making has not ended.

use sqlx::PgConnection;

use crate::error::{Error, ErrorKind, Result};
use crate::registry::{AuditState, audit, store};
use crate::tenant::{Tenant, Verb};

/// The verbs that make a tenant, as far as they may be interrupted behind its entry in the registry.
const MAKING: [Verb; 3] = [Verb::Create, Verb::Clone, Verb::Import];

/// Returns true if what a verb was to make is there. A copy is committed whole, together with what it has applied, and
/// behind its entry in the registry.
pub(crate) async fn is_filled(workplace: &mut PgConnection, tenant: &Tenant) -> Result<bool> {
    let applied = store::applied(workplace, &[tenant.schema().as_str()]).await?;
    Ok(applied.contains_key(tenant.schema()))
}

/// Enters that the tenant is made, whichever verb had begun it.
pub(crate) async fn end_making(connection: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    for verb in MAKING {
        audit::end(&mut *connection, tenant.id(), verb, AuditState::Done).await?;
    }
    Ok(())
}

/// Refuses to make an empty schema where a copy was to be.
pub(super) async fn refuse_other_verb(
    registry: &mut PgConnection,
    workplace: &mut PgConnection,
    tenant: &Tenant,
) -> Result<()> {
    let Some(verb) = begun_copy(registry, tenant).await? else { return Ok(()) };
    if is_filled(workplace, tenant).await? {
        return Ok(());
    }
    let slug = tenant.slug();
    let message = format!("tenant `{slug}` was to be made by `{verb}`, which was interrupted");
    Err(Error::new(ErrorKind::Conflict, message)
        .with_tenant(slug)
        .with_hint(format!("repeat that command, or give it up: `tenantry create {slug} --abort`")))
}

/// The verb that was to make the tenant of something else than files, if one has not ended.
async fn begun_copy(registry: &mut PgConnection, tenant: &Tenant) -> Result<Option<Verb>> {
    for verb in [Verb::Clone, Verb::Import] {
        if audit::begun(&mut *registry, tenant.id(), verb).await?.is_some() {
            return Ok(Some(verb));
        }
    }
    Ok(None)
}
