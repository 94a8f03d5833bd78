//! The digests of what tenants have applied, recorded in the database they live in.

use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;

use super::store;
use crate::error::{ErrorKind, Result};
use crate::pool::{Databases, MasterDb};
use crate::sql::{Bytes, Identifier, Literal};
use crate::tenant::{Alias, Digest, SchemaName, Tenant, TenantRecord};

/// Completes tenants that were read from the registry. Those in the default database are complete,
/// since it is the same database; for the others it takes one query per database. Those of a database that does not
/// answer stay as they are.
pub(crate) async fn with_applied(databases: &Databases, mut tenants: Vec<Tenant>) -> Result<Vec<Tenant>> {
    let elsewhere: BTreeSet<Alias> =
        tenants.iter().map(Tenant::database).filter(|alias| **alias != Alias::default()).cloned().collect();
    for alias in elsewhere {
        let is_there = |tenant: &&Tenant| *tenant.database() == alias;
        let schemas: Vec<&str> =
            tenants.iter().filter(is_there).map(|tenant| tenant.schema().as_str()).collect();
        let master = MasterDb::new(databases.pool(&alias)?.clone());
        let applied = match databases.away().ask(&alias, store::applied(&master, &schemas)).await {
            Ok(applied) => applied,
            Err(error) if error.kind() == ErrorKind::DatabaseUnavailable => {
                tracing::debug!(database = %alias, %error, "Cannot tell what the tenants of `{alias}` have applied");
                continue;
            }
            Err(error) => return Err(error),
        };
        for tenant in tenants.iter_mut().filter(|tenant| *tenant.database() == alias) {
            complete(tenant, &applied);
        }
    }
    Ok(tenants)
}

fn complete(tenant: &mut Tenant, applied: &HashMap<SchemaName, (Digest, bool)>) {
    let Some((digest, owns_types)) = applied.get(tenant.schema()) else { return };
    *tenant =
        Tenant::from(TenantRecord { digest: Some(*digest), owns_types: *owns_types, ..tenant.to_record() });
}

/// Notes what a schema has applied, and whether it owns types: a statement for a message without parameters.
///
/// Types are found by what depends on the schema, for which there is an index; `pg_type` has none by
/// schema, and would be read from one end to the other for each tenant. The row type of a table depends
/// on the table.
/// A ledger does not say what was in it once, so what was undone is noted as well.
pub(crate) fn upsert(
    schema: &SchemaName,
    version: Option<i64>,
    digest: Digest,
    undone: &BTreeSet<i64>,
) -> String {
    format!(
        "INSERT INTO tenantry.applied (schema_name, version, digest, owns_types, applied_at, schema_number) \
         SELECT {name}, {version}, {digest}, EXISTS ( \
             SELECT FROM pg_catalog.pg_depend \
             WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass \
               AND refobjid = {namespace}::pg_catalog.regnamespace \
               AND classid = 'pg_catalog.pg_type'::pg_catalog.regclass \
         ), pg_catalog.now(), {namespace}::pg_catalog.regnamespace \
         ON CONFLICT (schema_name) DO UPDATE SET version = excluded.version, digest = excluded.digest, \
             owns_types = excluded.owns_types, applied_at = excluded.applied_at, \
             schema_number = excluded.schema_number{undone}",
        name = Literal(schema.as_str()),
        version = or_null(version),
        digest = Bytes(digest.as_bytes()),
        namespace = Literal(&Identifier(schema.as_str()).to_string()),
        undone = noted_undone(undone),
    )
}

/// Notes the same in the rows, which are there, of schemas whose types stay the same. To find out about types
/// costs more than all else around a small file.
pub(crate) fn update_without_types(
    schemas: &[&SchemaName],
    version: Option<i64>,
    digest: Digest,
    undone: &BTreeSet<i64>,
) -> String {
    let names: Vec<_> = schemas.iter().map(|schema| Literal(schema.as_str()).to_string()).collect();
    format!(
        "UPDATE tenantry.applied SET version = {}, digest = {}, applied_at = pg_catalog.now(){} \
         WHERE schema_name IN ({})",
        or_null(version),
        Bytes(digest.as_bytes()),
        noted_undone(undone),
        names.join(", "),
    )
}

/// One more assignment, if something was undone.
fn noted_undone(versions: &BTreeSet<i64>) -> String {
    if versions.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = versions.iter().map(|version| format!("'{version}', pg_catalog.now()")).collect();
    format!(", undone = applied.undone || pg_catalog.jsonb_build_object({})", pairs.join(", "))
}

fn or_null(version: Option<i64>) -> String {
    version.map_or_else(|| "NULL".to_owned(), |version| version.to_string())
}

/// Notes that a schema that has applied something goes by another name now.
pub(crate) async fn rename(connection: &mut PgConnection, from: &SchemaName, to: &SchemaName) -> Result<()> {
    sqlx::query("UPDATE tenantry.applied SET schema_name = $2 WHERE schema_name = $1")
        .bind(from.as_str())
        .bind(to.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns true if something was noted of a schema of this name, whether it is there or not.
pub(crate) async fn is_noted(connection: &mut PgConnection, schema: &SchemaName) -> Result<bool> {
    let find = "SELECT EXISTS (SELECT FROM tenantry.applied WHERE schema_name = $1)";
    Ok(sqlx::query_scalar(find).bind(schema.as_str()).fetch_one(connection).await?)
}

/// Returns true if a schema is there that has applied something.
pub(crate) async fn is_there(connection: &mut PgConnection, schema: &SchemaName) -> Result<bool> {
    let find = "SELECT EXISTS (SELECT FROM tenantry.applied
                JOIN pg_catalog.pg_namespace ON pg_namespace.oid = schema_number
                WHERE schema_name = $1 AND nspname = $1)";
    Ok(sqlx::query_scalar(find).bind(schema.as_str()).fetch_one(connection).await?)
}

/// Forgets what a schema had applied that is gone, and what was kept for it.
pub(crate) async fn forget(connection: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    sqlx::query("DELETE FROM tenantry.kept_file WHERE schema_name = $1")
        .bind(schema.as_str())
        .execute(&mut *connection)
        .await?;
    release(connection, schema).await
}

/// Forgets what a schema has applied that belongs to nobody any more. Its ledger knows, and what is kept for it stays.
pub(crate) async fn release(connection: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    sqlx::query("DELETE FROM tenantry.applied WHERE schema_name = $1")
        .bind(schema.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Finds the schemas with such a name that are there, or have applied something and are gone.
pub(crate) async fn named_like(connection: &mut PgConnection, pattern: &str) -> Result<Vec<String>> {
    let names = sqlx::query_scalar(
        "SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspname::text ~ $1
         UNION SELECT schema_name FROM tenantry.applied WHERE schema_name ~ $1",
    );
    Ok(names.bind(pattern).fetch_all(connection).await?)
}
