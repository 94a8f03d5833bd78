//! Enters tenants in the registry, among them those whose schema is already there.

use sqlx::{Connection as _, PgConnection};

use super::grants::grants;
use super::new_tenant::NewTenant;
use super::proof::Proof;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::migrate::{Ledger, read_ledger};
use crate::migration::Migration;
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, kept_files, store};
use crate::tenant::{Alias, DomainName, Tenant, Verb};

/// Enters the tenant and reads what its schema has applied. No table is changed.
pub(super) async fn register(
    context: &Context,
    registry: &mut PgConnection,
    tenant: &Tenant,
    new: &NewTenant,
) -> Result<()> {
    let files = applied_files(context, tenant, new.through())?;
    if *tenant.database() != Alias::default() {
        // Repeating this is harmless, so it may come before the row.
        let mut connection = context.databases.owner_connection(tenant.database()).await?;
        let mut tx = connection.begin().await?;
        take_over(context, &mut tx, tenant, &files, new.proof()).await?;
        tx.commit().await?;
        fail_point::reached(FailPoint::LedgerWritten);
    }
    let options = serde_json::json!({ "schema": tenant.schema(), "through": new.through() });
    let action = Action { options, ..Action::new(Verb::Adopt, &context.operator) };
    let mut tx = registry.begin().await?;
    enter(&mut tx, tenant, new.domains()).await?;
    audit::enter(&mut tx, tenant, &action, AuditState::Done).await?;
    if *tenant.database() == Alias::default() {
        take_over(context, &mut tx, tenant, &files, new.proof()).await?;
    }
    fail_point::reached(FailPoint::BeforeAdopt);
    tx.commit().await?;
    fail_point::reached(FailPoint::AfterAdopt);
    Ok(())
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

/// The files up to a version, which has to be one of theirs.
pub(crate) fn applied_files<'a>(
    context: &'a Context,
    tenant: &Tenant,
    through: Option<i64>,
) -> Result<Vec<&'a Migration>> {
    let Some(version) = through else { return Ok(Vec::new()) };
    let files = context.migrations.files_of(tenant.type_name())?.set();
    if files.get(version).is_none() {
        return Err(Error::new(ErrorKind::InvalidInput, format!("no file has the version {version}"))
            .with_hint("name the version of a file of the tenants' migrations"));
    }
    Ok(files.iter().filter(|file| file.version() <= version).collect())
}

async fn take_over(
    context: &Context,
    connection: &mut PgConnection,
    tenant: &Tenant,
    files: &[&Migration],
    proof: Option<&Proof>,
) -> Result<()> {
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
    if let Some(proof) = proof {
        proof.check(connection, tenant).await?;
    }
    kept_files::forget_others(connection, schema).await?;
    let rows = read_ledger(connection, schema).await?;
    let mut ledger = Ledger::of(schema, &rows);
    let mut statements = vec![ledger.create()];
    if rows.is_empty() {
        for file in files {
            statements.push(ledger.insert(file, true));
            ledger.add(file);
        }
    }
    statements.push(ledger.summarise());
    statements.extend(grants(connection, context, tenant.database(), schema).await?);
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.join(";\n"))).execute(connection).await?;
    Ok(())
}
