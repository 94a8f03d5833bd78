//! The files of types that tenants were of before, one function per statement. Each is in the database of the schema.

use sqlx::{AssertSqlSafe, PgConnection};
use time::OffsetDateTime;

use super::install::LEDGER;
use crate::error::Result;
use crate::sql::{Identifier, Literal};
use crate::tenant::{SchemaName, TypeName};

/// The columns that a kept file has in common with a row of a ledger.
const COLUMNS: &str = "version, description, installed_on, checksum, execution_time";

/// The number of the schema that is bound first.
const NUMBER: &str = "(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)";

/// A file that is kept for a schema, with all that its row in the ledger had.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct KeptFile {
    #[sqlx(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) version: i64,
    pub(crate) description: String,
    pub(crate) installed_on: OffsetDateTime,
    pub(crate) checksum: Vec<u8>,
    pub(crate) execution_time: i64,
}

fn name_of(type_name: Option<&TypeName>) -> &str {
    type_name.map_or(TypeName::NONE, TypeName::as_str)
}

/// The type whose files the ledger of a schema holds: that of the registry, unless it was ever changed.
pub(crate) async fn ledger_type(
    connection: &mut PgConnection,
    schema: &SchemaName,
    of_registry: Option<&TypeName>,
) -> Result<Option<TypeName>> {
    let read = "SELECT ledger_type FROM tenantry.applied WHERE schema_name = $1 AND ledger_type IS NOT NULL";
    let name = sqlx::query_scalar::<_, String>(read).bind(schema.as_str()).fetch_optional(connection).await?;
    // Nobody else writes the column.
    Ok(match name.and_then(|name| TypeName::parse_or_none(&name).ok()) {
        Some(type_name) => type_name,
        None => of_registry.cloned(),
    })
}

/// Returns true if the type whose files the ledger of a schema holds was ever noted.
pub(crate) async fn has_ledger_type(connection: &mut PgConnection, schema: &SchemaName) -> Result<bool> {
    let read =
        "SELECT EXISTS (SELECT FROM tenantry.applied WHERE schema_name = $1 AND ledger_type IS NOT NULL)";
    Ok(sqlx::query_scalar(read).bind(schema.as_str()).fetch_one(connection).await?)
}

/// The condition that no change of type is half-done which took the ledger away from this type, for a message without
/// parameters.
pub(crate) fn is_ledger_of(schema: &SchemaName, type_name: Option<&TypeName>) -> String {
    format!(
        "NOT EXISTS (SELECT FROM tenantry.applied WHERE schema_name = {} AND ledger_type <> {})",
        Literal(schema.as_str()),
        Literal(name_of(type_name)),
    )
}

/// Notes whose files the ledger of a schema holds from now on. The row is there.
pub(crate) async fn set_ledger_type(
    connection: &mut PgConnection,
    schema: &SchemaName,
    type_name: Option<&TypeName>,
) -> Result<()> {
    sqlx::query("UPDATE tenantry.applied SET ledger_type = $2 WHERE schema_name = $1")
        .bind(schema.as_str())
        .bind(name_of(type_name))
        .execute(connection)
        .await?;
    Ok(())
}

/// The files of a type that are kept for a schema: version and checksum.
pub(crate) async fn of_type(
    connection: &mut PgConnection,
    schema: &SchemaName,
    type_name: &TypeName,
) -> Result<Vec<(i64, Vec<u8>)>> {
    let read =
        "SELECT version, checksum FROM tenantry.kept_file WHERE schema_name = $1 AND type = $2 ORDER BY 1";
    Ok(sqlx::query_as(read).bind(schema.as_str()).bind(type_name.as_str()).fetch_all(connection).await?)
}

/// Takes these versions out of the ledger of a schema, and keeps them as files of a type.
pub(crate) async fn keep(
    connection: &mut PgConnection,
    schema: &SchemaName,
    type_name: &TypeName,
    versions: &[i64],
) -> Result<()> {
    let keep = format!(
        "WITH taken AS (DELETE FROM {}.{LEDGER} WHERE version = ANY ($3) RETURNING {COLUMNS})
         INSERT INTO tenantry.kept_file (schema_name, schema_number, type, {COLUMNS})
         SELECT $1, {NUMBER}, $2, {COLUMNS} FROM taken",
        Identifier(schema.as_str())
    );
    sqlx::query(AssertSqlSafe(keep))
        .bind(schema.as_str())
        .bind(type_name.as_str())
        .bind(versions)
        .persistent(false)
        .execute(connection)
        .await?;
    Ok(())
}

/// Puts the files of a type that are kept for a schema back into its ledger.
pub(crate) async fn put_back(
    connection: &mut PgConnection,
    schema: &SchemaName,
    type_name: &TypeName,
) -> Result<()> {
    let put_back = format!(
        "WITH taken AS (DELETE FROM tenantry.kept_file WHERE schema_name = $1 AND type = $2 RETURNING {COLUMNS})
         INSERT INTO {}.{LEDGER} (success, {COLUMNS}) SELECT true, {COLUMNS} FROM taken",
        Identifier(schema.as_str())
    );
    sqlx::query(AssertSqlSafe(put_back))
        .bind(schema.as_str())
        .bind(type_name.as_str())
        .persistent(false)
        .execute(connection)
        .await?;
    Ok(())
}

/// Keeps for a copy of a schema what is kept for the schema.
pub(crate) async fn copy(connection: &mut PgConnection, from: &SchemaName, to: &SchemaName) -> Result<()> {
    let copy = format!(
        "INSERT INTO tenantry.kept_file (schema_name, schema_number, type, {COLUMNS})
         SELECT $2, {}, type, {COLUMNS} FROM tenantry.kept_file WHERE schema_name = $1",
        NUMBER.replace("$1", "$2")
    );
    sqlx::query(AssertSqlSafe(copy)).bind(from.as_str()).bind(to.as_str()).execute(connection).await?;
    Ok(())
}

/// All that is kept for a schema, of whatever type.
pub(crate) async fn all(connection: &mut PgConnection, schema: &SchemaName) -> Result<Vec<KeptFile>> {
    let all = format!(
        "SELECT type, {COLUMNS} FROM tenantry.kept_file WHERE schema_name = $1 ORDER BY type, version"
    );
    let all = sqlx::query_as(AssertSqlSafe(all)).bind(schema.as_str()).persistent(false);
    Ok(all.fetch_all(connection).await?)
}

/// Keeps for a schema what was kept for its source, in whatever database. What it has applied is noted already.
pub(crate) async fn restore(
    connection: &mut PgConnection,
    schema: &SchemaName,
    files: &[KeptFile],
) -> Result<()> {
    let restore = format!(
        "INSERT INTO tenantry.kept_file (schema_name, schema_number, type, {COLUMNS})
         VALUES ($1, {NUMBER}, $2, $3, $4, $5, $6, $7)"
    );
    for file in files {
        sqlx::query(AssertSqlSafe(restore.as_str()))
            .bind(schema.as_str())
            .bind(&file.type_name)
            .bind(file.version)
            .bind(&file.description)
            .bind(file.installed_on)
            .bind(&file.checksum)
            .bind(file.execution_time)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Forgets what is kept for a schema that was released, and is not there any more: only its name is.
pub(crate) async fn forget_others(connection: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    let forget =
        format!("DELETE FROM tenantry.kept_file WHERE schema_name = $1 AND schema_number <> {NUMBER}");
    sqlx::query(AssertSqlSafe(forget)).bind(schema.as_str()).execute(connection).await?;
    Ok(())
}
