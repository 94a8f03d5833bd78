//! The statements that suspend and resume a tenant, one function each.

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::error::Result;
use crate::tenant::{Suspension, TenantId};

/// Writes the terms, whatever they were.
pub(crate) async fn suspend(
    connection: &mut PgConnection,
    id: TenantId,
    suspension: &Suspension,
) -> Result<()> {
    sqlx::query("UPDATE tenantry.tenant SET status = 'suspended', suspension = $2 WHERE id = $1")
        .bind(id.as_uuid())
        .bind(Json(suspension))
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets the terms.
pub(crate) async fn resume(connection: &mut PgConnection, id: TenantId) -> Result<()> {
    sqlx::query("UPDATE tenantry.tenant SET status = 'active', suspension = NULL WHERE id = $1")
        .bind(id.as_uuid())
        .execute(connection)
        .await?;
    Ok(())
}
