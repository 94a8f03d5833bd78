//! The statements about slugs that tenants had before, one function each.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Executor, FromRow, PgConnection, Postgres, Row as _};
use time::OffsetDateTime;

use super::store::{self, SELECT_TENANT, TenantRow, taken};
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::{Slug, Tenant, TenantId, TenantRecord};

/// A slug that a tenant had before it was renamed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct FormerSlug {
    /// The slug, which no other tenant gets until then.
    pub slug: Slug,
    /// The time until which requests are redirected, where the application asks for that.
    #[serde(with = "time::serde::rfc3339")]
    pub redirect_until: OffsetDateTime,
}

impl FromRow<'_, PgRow> for FormerSlug {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let slug: &str = row.try_get("slug")?;
        let slug = Slug::parse(slug)
            .map_err(|error| sqlx::Error::ColumnDecode { index: "slug".to_owned(), source: error.into() })?;
        Ok(Self { slug, redirect_until: row.try_get("redirect_until")? })
    }
}

/// Gives a tenant another slug, and keeps the one it had for a while. A slug that it had before is its own.
pub(crate) async fn rename(
    connection: &mut PgConnection,
    tenant: &Tenant,
    slug: &Slug,
    keep: Duration,
) -> Result<()> {
    let update = sqlx::query("UPDATE tenantry.tenant SET slug = $3 WHERE id = $1 AND slug = $2")
        .bind(tenant.id().as_uuid())
        .bind(tenant.slug().as_str())
        .bind(slug.as_str())
        .execute(&mut *connection)
        .await;
    let renamed = Tenant::from(TenantRecord { slug: slug.clone(), ..tenant.to_record() });
    let updated = update.map_err(|error| taken(&error, &renamed).unwrap_or_else(|| error.into()))?;
    if updated.rows_affected() == 0 {
        let message = format!("tenant `{}` was renamed or removed meanwhile", tenant.slug());
        return Err(Error::new(ErrorKind::Conflict, message).with_tenant(tenant.slug()));
    }
    sqlx::query(
        "DELETE FROM tenantry.former_slug WHERE tenant_id = $1 AND redirect_until <= pg_catalog.clock_timestamp()",
    )
    .bind(tenant.id().as_uuid())
    .execute(&mut *connection)
    .await?;
    if keep.is_zero() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO tenantry.former_slug (slug, tenant_id, redirect_until)
         VALUES ($1, $2, pg_catalog.now() + pg_catalog.make_interval(secs => $3))",
    )
    .bind(tenant.slug().as_str())
    .bind(tenant.id().as_uuid())
    .bind(keep.as_secs_f64())
    .execute(connection)
    .await?;
    Ok(())
}

/// The slugs that a tenant had and that lead to it, the newest first.
pub(crate) async fn of_tenant(
    executor: impl Executor<'_, Database = Postgres>,
    id: TenantId,
) -> Result<Vec<FormerSlug>> {
    let select = "SELECT slug, redirect_until FROM tenantry.former_slug
                  WHERE tenant_id = $1 AND redirect_until > pg_catalog.now() ORDER BY renamed_at DESC, slug";
    Ok(sqlx::query_as(select).bind(id.as_uuid()).fetch_all(executor).await?)
}

/// The tenant that had this slug before.
pub(super) async fn tenant_formerly(
    executor: impl Executor<'_, Database = Postgres>,
    slug: &Slug,
) -> Result<Option<Tenant>> {
    let select = format!(
        "{SELECT_TENANT} WHERE tenant.id = (SELECT tenant_id FROM tenantry.former_slug \
             WHERE slug = $1 AND redirect_until > pg_catalog.now())"
    );
    let row = sqlx::query_as::<_, TenantRow>(sqlx::AssertSqlSafe(select)).bind(slug.as_str());
    let row = row.fetch_optional(executor).await.map_err(store::unreadable)?;
    Ok(row.map(TenantRow::into_tenant))
}
