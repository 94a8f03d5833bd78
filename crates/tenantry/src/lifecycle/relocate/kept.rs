//! Drops the copies that moves have left behind.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};

use crate::context::Context;
use crate::error::Result;
use crate::migrate::{Dependents, drop_schema, empty_schema};
use crate::observe::Steps;
use crate::registry::{TenantMove, moves};
use crate::sql::{Identifier, Literal};
use crate::tenant::{Alias, SchemaName, TenantId};

/// Drops the copy that a move has left in the database that the tenant went away from. Repeating it after any
/// interruption goes on.
pub(crate) async fn purge_copy(context: &Context, moved: &TenantMove, steps: &dyn Steps) -> Result<()> {
    let mut connection = context.databases.owner_connection(&moved.source).await?;
    empty_schema(&mut connection, &moved.kept_schema, Dependents::Refuse, steps).await?;
    let mut tx = connection.begin().await?;
    drop_schema(&mut tx, &moved.kept_schema).await?;
    drop_unused_role(&mut tx, context, &moved.schema).await?;
    tx.commit().await?;
    let forget = async |registry: &mut PgConnection| moves::forget_copy(registry, moved.id).await;
    context.databases.with_registry(forget).await
}

/// Drops all copies that moves of a tenant have left.
pub(crate) async fn purge_copies(context: &Context, id: TenantId, steps: &dyn Steps) -> Result<()> {
    let mut registry = context.databases.owner_connection(&Alias::default()).await?;
    for moved in moves::kept_of(&mut registry, id).await? {
        purge_copy(context, &moved, steps).await?;
    }
    Ok(())
}

/// Drops the role of a tenant's own if nothing at this server belongs to it or is granted to it: another database may
/// have the tenant.
pub(super) async fn drop_unused_role(
    tx: &mut Transaction<'_, Postgres>,
    context: &Context,
    schema: &SchemaName,
) -> Result<()> {
    let Some(role) = context.role.as_ref().map(|role| role.name_for(schema)) else { return Ok(()) };
    let drop = format!(
        "BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE rolname = {name} AND NOT EXISTS (
             SELECT FROM pg_catalog.pg_shdepend AS d
             WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.refobjid = r.oid))
         THEN DROP ROLE {role}; END IF; END",
        name = Literal(&role),
        role = Identifier(&role),
    );
    sqlx::raw_sql(AssertSqlSafe(format!("DO {}", Literal(&drop)))).execute(&mut **tx).await?;
    Ok(())
}
