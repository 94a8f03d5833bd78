//! Makes the tables of a tenant from the texts of a structure.

use sqlx::PgConnection;

use crate::context::Context;
use crate::error::Result;
use crate::migrate::{Ledger, Site, send_own};
use crate::provision::own_role;
use crate::sql::Identifier;
use crate::tenant::Tenant;

/// Makes the schema, the tenant's own role, the tables and an empty ledger. What privileges the owner gives to
/// everything that it makes is taken back: the structure says who has which.
pub(super) async fn make_tables(
    tx: &mut PgConnection,
    context: &Context,
    tenant: &Tenant,
    tables: &str,
) -> Result<()> {
    make_schema(tx, context, tenant).await?;
    send_own(tx, Site::of_tenant(&context.layout, tenant), tables).await?;
    end_tables(tx, context, tenant).await
}

/// Makes the schema, and the tenant's own role. The transaction is ready for the tables.
pub(super) async fn make_schema(tx: &mut PgConnection, context: &Context, tenant: &Tenant) -> Result<()> {
    let site = Site::of_tenant(&context.layout, tenant);
    let create = format!("CREATE SCHEMA {}", Identifier(tenant.schema().as_str()));
    send_own(tx, site, &create).await?;
    send_own(tx, site, &format!("SET LOCAL default_tablespace = ''; {}", before_tables(site))).await?;
    let role = own_role(tx, context, tenant.database(), tenant.schema()).await?;
    send_own(tx, site, &role.join(";\n")).await?;
    Ok(())
}

/// The statements that make a transaction ready for tables, in the tablespace that the session was told.
pub(super) fn before_tables(site: Site<'_>) -> String {
    format!("SET LOCAL check_function_bodies = off; SET LOCAL search_path TO {}", site.path())
}

/// Makes an empty ledger.
pub(super) async fn make_ledger(tx: &mut PgConnection, context: &Context, tenant: &Tenant) -> Result<()> {
    let site = Site::of_tenant(&context.layout, tenant);
    let ledger = Ledger::empty(tenant.schema()).create();
    send_own(tx, site, &format!("SET LOCAL search_path TO {}; {ledger}", site.path())).await?;
    Ok(())
}

/// Makes the ledger, and takes back what everything that the owner makes has got.
pub(super) async fn end_tables(tx: &mut PgConnection, context: &Context, tenant: &Tenant) -> Result<()> {
    make_ledger(tx, context, tenant).await?;
    let site = Site::of_tenant(&context.layout, tenant);
    let given = sqlx::query_scalar::<_, String>(
        "SELECT pg_catalog.format('REVOKE ALL ON ALL %s IN SCHEMA %I FROM %s',
             CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' ELSE 'ROUTINES' END, $1,
             CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grantee)) END)
         FROM pg_catalog.pg_default_acl, LATERAL pg_catalog.aclexplode(defaclacl)
         WHERE defaclnamespace = 0 AND defaclrole = current_user::pg_catalog.regrole AND grantee <> defaclrole
             AND defaclobjtype IN ('r', 'S', 'f') AND NOT (defaclobjtype = 'f' AND grantee = 0)",
    );
    let given = given.bind(tenant.schema().as_str()).persistent(false).fetch_all(&mut *tx).await?;
    send_own(tx, site, &given.join(";\n")).await?;
    Ok(())
}
