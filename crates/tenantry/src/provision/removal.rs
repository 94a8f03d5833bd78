//! Removes what was made for a tenant outside of the registry.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::migrate::{Dependents, Patience, drop_schema, empty_schema, refuse_dependents};
use crate::observe::Steps;
use crate::sql::{Identifier, VOID_SCHEMA};
use crate::tenant::{SchemaName, Tenant};

/// Drops the schema of a tenant in parts, forgets what it had applied, and drops its role. Repeating it after any
/// interruption goes on.
pub(crate) async fn remove_schema(
    context: &Context,
    workplace: &mut PgConnection,
    tenant: &Tenant,
    dependents: Dependents,
    steps: &dyn Steps,
) -> Result<()> {
    empty_schema(workplace, tenant.schema(), dependents, steps).await?;
    let mut patience = Patience::of_removal();
    loop {
        match remove_rest(context, workplace, tenant, dependents).await {
            Err(error) if patience.rest(&error, tenant.schema()).await => {}
            result => return result,
        }
    }
}

/// Drops what is left, with all that says that it was there, or nothing.
async fn remove_rest(
    context: &Context,
    workplace: &mut PgConnection,
    tenant: &Tenant,
    dependents: Dependents,
) -> Result<()> {
    let mut tx = workplace.begin().await?;
    if dependents == Dependents::Refuse {
        refuse_dependents(&mut tx, tenant.schema()).await?;
    }
    drop_schema(&mut tx, tenant.schema()).await?;
    if let Some(role) = &context.role {
        let drop = format!("DROP ROLE IF EXISTS {}", Identifier(&role.name_for(tenant.schema())));
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *tx).await?;
    }
    fail_point::reached(FailPoint::BeforeDrop);
    tx.commit().await?;
    fail_point::reached(FailPoint::AfterDrop);
    Ok(())
}

/// Refuses the schemas that are nobody's alone.
pub(crate) fn refuse_shared(context: &Context, schema: &SchemaName) -> Result<()> {
    let layout = &context.layout;
    let is_shared = *schema == layout.master_schema
        || layout.extension_schemas.contains(schema)
        || schema.as_str() == VOID_SCHEMA;
    if is_shared {
        let message = format!("schema `{schema}` is shared and cannot be a tenant's");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}
