//! The statements that delete a tenant, bring it back and see to what is due, one function each.

use std::time::Duration;

use sqlx::{Executor, PgConnection, Postgres};
use time::OffsetDateTime;

use super::store::{self, SELECT_TENANT, TenantRow};
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::{Alias, Tenant, TenantId};

/// Hides a tenant, remembers what it was, and dates its purge.
pub(crate) async fn delete(connection: &mut PgConnection, tenant: &Tenant, keep: Duration) -> Result<()> {
    let update = sqlx::query(
        "UPDATE tenantry.tenant SET status = 'deleted', status_before = status,
             purge_after = pg_catalog.now() + pg_catalog.make_interval(secs => $3)
         WHERE id = $1 AND status = $2",
    );
    let update =
        update.bind(tenant.id().as_uuid()).bind(tenant.recorded_status().as_str()).bind(keep.as_secs_f64());
    only(update.execute(connection).await?.rows_affected(), tenant)
}

/// Makes a deleted tenant what it was before.
pub(crate) async fn undelete(connection: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let update = sqlx::query(
        "UPDATE tenantry.tenant SET status = coalesce(status_before, 'active'), status_before = NULL,
             purge_after = NULL
         WHERE id = $1 AND status = 'deleted'",
    );
    only(update.bind(tenant.id().as_uuid()).execute(connection).await?.rows_affected(), tenant)
}

/// Marks a deleted tenant as one of which there may be less than all from now on.
pub(crate) async fn begin_purge(connection: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let update = sqlx::query(
        "UPDATE tenantry.tenant SET status = 'purging', epoch = epoch + 1, last_error = NULL
         WHERE id = $1 AND status = 'deleted'",
    );
    only(update.bind(tenant.id().as_uuid()).execute(connection).await?.rows_affected(), tenant)
}

fn only(rows: u64, tenant: &Tenant) -> Result<()> {
    if rows == 1 {
        return Ok(());
    }
    let message = format!("tenant `{}` is no longer {}", tenant.slug(), tenant.status());
    Err(Error::new(ErrorKind::Conflict, message).with_tenant(tenant.slug()))
}

/// The date of a deleted tenant's purge, and whether it has come. One that was deleted by hand has none.
pub(crate) async fn purge_after(
    executor: impl Executor<'_, Database = Postgres>,
    id: TenantId,
) -> Result<Option<(OffsetDateTime, bool)>> {
    let select = "SELECT purge_after, purge_after <= pg_catalog.now() FROM tenantry.tenant
                  WHERE id = $1 AND purge_after IS NOT NULL";
    Ok(sqlx::query_as(select).bind(id.as_uuid()).fetch_optional(executor).await?)
}

/// The tenants to purge now, also those of whom something is gone, after the one with this slug.
pub(crate) async fn due_after(
    executor: impl Executor<'_, Database = Postgres>,
    after: &str,
    limit: i64,
) -> Result<Vec<Tenant>> {
    let select = format!(
        "{SELECT_TENANT} WHERE tenant.status IN ('deleted', 'purging') \
           AND (tenant.status = 'purging' OR tenant.purge_after <= pg_catalog.now()) \
           AND tenant.slug > $1 COLLATE \"C\" ORDER BY tenant.slug COLLATE \"C\" LIMIT $2"
    );
    let rows = sqlx::query_as::<_, TenantRow>(sqlx::AssertSqlSafe(select)).bind(after).bind(limit);
    let rows = rows.fetch_all(executor).await.map_err(store::unreadable)?;
    Ok(rows.into_iter().map(TenantRow::into_tenant).collect())
}

/// The databases in which another row of the registry has a schema of this name.
pub(crate) async fn namesakes(connection: &mut PgConnection, tenant: &Tenant) -> Result<Vec<Alias>> {
    let select = "SELECT database FROM tenantry.tenant WHERE schema_name = $1 AND id <> $2
                  UNION SELECT 'default' FROM tenantry.spare WHERE schema_name = $1";
    let aliases: Vec<String> = sqlx::query_scalar(select)
        .bind(tenant.schema().as_str())
        .bind(tenant.id().as_uuid())
        .fetch_all(connection)
        .await?;
    aliases.iter().map(|alias| Ok(Alias::parse(alias)?)).collect()
}
