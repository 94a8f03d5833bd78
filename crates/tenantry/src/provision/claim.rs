//! Makes a tenant of a spare.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::register::enter;
use super::whereabouts::lead_to_node;
use crate::context::Context;
use crate::error::{Error, Result, sqlstate};
use crate::fail_point::{self, FailPoint};
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, applied, spares};
use crate::sql::Identifier;
use crate::tenant::{Alias, DomainName, SchemaName, Tenant, Verb};

/// Makes a tenant of a spare. `false` if there is none, and then nothing has happened.
pub(super) async fn claim(
    context: &Context,
    registry: &mut PgConnection,
    tenant: &Tenant,
    domains: &[DomainName],
) -> Result<bool> {
    if context.role.is_some() {
        return Ok(false);
    }
    loop {
        let mut tx = registry.begin().await?;
        let digest = context.migrations.files_of(tenant.type_name())?.set().digest();
        let Some(spare) = spares::take(&mut tx, &digest).await? else {
            // At once, and not with the next statement: what follows takes a while elsewhere.
            tx.rollback().await?;
            return Ok(false);
        };
        enter(&mut tx, tenant, domains).await?;
        audit::enter(&mut tx, tenant, &Action::new(Verb::Create, &context.operator), AuditState::Done)
            .await?;
        match rename(&mut tx, &spare, tenant.schema()).await {
            Ok(()) => {
                lead_to_node(context, &mut tx, tenant).await?;
                fail_point::reached(FailPoint::BeforeClaim);
                tx.commit().await?;
                fail_point::reached(FailPoint::AfterClaim);
                context.spares_taken.note(&Alias::default());
                return Ok(true);
            }
            Err(error) if is_gone(&error) => {
                tx.rollback().await?;
                spares::delete(registry, &spare).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes the schema of a tenant that was entered of a spare in its own database. `false` if there is none, and then
/// nothing has happened. Should the process die, the spare is the tenant's schema or is still a spare.
pub(super) async fn claim_there(
    context: &Context,
    workplace: &mut PgConnection,
    tenant: &Tenant,
) -> Result<bool> {
    if context.role.is_some() {
        return Ok(false);
    }
    let digest = context.migrations.files_of(tenant.type_name())?.set().digest();
    loop {
        let mut tx = workplace.begin().await?;
        let Some(spare) = spares::take(&mut tx, &digest).await? else {
            tx.rollback().await?;
            return Ok(false);
        };
        match rename(&mut tx, &spare, tenant.schema()).await {
            Ok(()) => {
                fail_point::reached(FailPoint::BeforeClaim);
                tx.commit().await?;
                fail_point::reached(FailPoint::AfterClaim);
                context.spares_taken.note(tenant.database());
                return Ok(true);
            }
            Err(error) if is_gone(&error) => {
                tx.rollback().await?;
                spares::delete(workplace, &spare).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Returns true for the error of a spare that somebody dropped by hand. The next one may be there.
fn is_gone(error: &Error) -> bool {
    error.database_code().is_some_and(|code| code == sqlstate::INVALID_SCHEMA_NAME)
}

async fn rename(connection: &mut PgConnection, spare: &SchemaName, schema: &SchemaName) -> Result<()> {
    let (from, to) = (Identifier(spare.as_str()), Identifier(schema.as_str()));
    let rename = format!("ALTER SCHEMA {from} RENAME TO {to}");
    sqlx::raw_sql(AssertSqlSafe(rename)).execute(&mut *connection).await?;
    applied::rename(connection, spare, schema).await
}
