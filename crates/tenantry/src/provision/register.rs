//! Enters tenants in the registry, among them those whose schema is already there.

use sqlx::{Connection as _, PgConnection};

use super::grants::grants;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::migrate::{Ledger, read_ledger};
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, store};
use crate::tenant::{Alias, DomainName, Tenant, Verb};

/// Enters the tenant and reads what its schema has applied. No table is changed.
pub(super) async fn register(
    context: &Context,
    registry: &mut PgConnection,
    tenant: &Tenant,
    domains: &[DomainName],
) -> Result<()> {
    if *tenant.database() != Alias::default() {
        // Repeating this is harmless, so it may come before the row.
        let mut connection = context.databases.owner_connection(tenant.database()).await?;
        take_over(context, &mut connection, tenant).await?;
    }
    let mut tx = registry.begin().await?;
    enter(&mut tx, tenant, domains).await?;
    audit::enter(&mut tx, tenant, &Action::new(Verb::Adopt, &context.operator), AuditState::Done).await?;
    if *tenant.database() == Alias::default() {
        take_over(context, &mut tx, tenant).await?;
    }
    Ok(tx.commit().await?)
}

/// Writes the rows of a tenant.
pub(crate) async fn enter(
    connection: &mut PgConnection,
    tenant: &Tenant,
    domains: &[DomainName],
) -> Result<()> {
    store::insert_tenant(connection, tenant).await?;
    for domain in domains {
        store::insert_domain(connection, tenant, domain).await?;
    }
    Ok(())
}

async fn take_over(context: &Context, connection: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let schema = tenant.schema();
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)")
            .bind(schema.as_str())
            .fetch_one(&mut *connection)
            .await?;
    if !exists {
        let message = format!("there is no schema `{schema}` in database `{}`", tenant.database());
        return Err(Error::new(ErrorKind::MissingSchema, message)
            .with_tenant(tenant.slug())
            .with_hint("leave `--schema` out to make a new one"));
    }
    let rows = read_ledger(connection, schema).await?;
    let ledger = Ledger::of(schema, &rows);
    let mut statements = vec![ledger.create(), ledger.summarise()];
    statements.extend(grants(connection, context, tenant.database(), schema).await?);
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.join(";\n"))).execute(connection).await?;
    Ok(())
}
