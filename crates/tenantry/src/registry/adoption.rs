//! The statements about schemas that may become tenants.

use sqlx::PgConnection;

use crate::error::Result;
use crate::tenant::Alias;

/// Picks the schemas of a database that belong to a tenant or a spare.
pub(crate) async fn owned(
    registry: &mut PgConnection,
    database: &Alias,
    schemas: &[&str],
) -> Result<Vec<String>> {
    let owned = sqlx::query_scalar(
        "SELECT schema_name FROM tenantry.tenant WHERE schema_name = ANY ($1) AND database = $2
         UNION ALL SELECT schema_name FROM tenantry.spare WHERE schema_name = ANY ($1) AND $2 = 'default'",
    );
    Ok(owned.bind(schemas).bind(database.as_str()).fetch_all(registry).await?)
}
