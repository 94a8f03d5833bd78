//! The statements about spares, one function each.

use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;

use crate::error::Result;
use crate::tenant::{Alias, Digest, SchemaName, TypeName};

/// The key of the advisory lock under which spares are made: "tenantsp" in ASCII.
const FILL_LOCK: i64 = 0x7465_6e61_6e74_7370;

/// A schema that waits to become a tenant's.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Spare {
    /// The database it waits in.
    pub database: Alias,
    /// The schema it waits in.
    pub schema: SchemaName,
    /// The type of the tenants that it may become, if it is up to date and they have one.
    #[serde(rename = "type")]
    pub type_name: Option<TypeName>,
    /// True if it has what the migrations make by now. A stale one is never handed out.
    pub is_current: bool,
    /// The time at which it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Waits until nobody else makes spares, and keeps others from it until the transaction ends.
pub(crate) async fn lock(connection: &mut PgConnection) -> Result<()> {
    let take = "SELECT pg_try_advisory_xact_lock($1)";
    while !sqlx::query_scalar(take).bind(FILL_LOCK).fetch_one(&mut *connection).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The number of those that have applied this.
pub(crate) async fn count(connection: &mut PgConnection, digest: &Digest) -> Result<i64> {
    let count = "SELECT count(*) FROM tenantry.spare WHERE digest = $1";
    Ok(sqlx::query_scalar(count).bind(digest.as_bytes().as_slice()).fetch_one(connection).await?)
}

pub(crate) async fn insert(
    connection: &mut PgConnection,
    schema: &SchemaName,
    digest: &Digest,
) -> Result<()> {
    sqlx::query("INSERT INTO tenantry.spare (schema_name, digest) VALUES ($1, $2)")
        .bind(schema.as_str())
        .bind(digest.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes what one has applied that was made step by step.
pub(crate) async fn complete(
    connection: &mut PgConnection,
    schema: &SchemaName,
    digest: &Digest,
) -> Result<()> {
    sqlx::query("UPDATE tenantry.spare SET digest = $2 WHERE schema_name = $1")
        .bind(schema.as_str())
        .bind(digest.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes the oldest spare that has applied this out of the list, unless somebody else is taking it. It is
/// back if the transaction fails.
pub(crate) async fn take(connection: &mut PgConnection, digest: &Digest) -> Result<Option<SchemaName>> {
    let take = "DELETE FROM tenantry.spare WHERE schema_name = (
                    SELECT schema_name FROM tenantry.spare WHERE digest = $1
                    ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED
                ) RETURNING schema_name";
    schema(sqlx::query_scalar(take).bind(digest.as_bytes().as_slice()).fetch_optional(connection).await?)
}

/// Takes one out of the list that has applied anything else than these and is as old as this.
pub(crate) async fn take_stale(
    connection: &mut PgConnection,
    current: &[Digest],
    age: Duration,
) -> Result<Option<SchemaName>> {
    let take = "DELETE FROM tenantry.spare WHERE schema_name = (
                    SELECT schema_name FROM tenantry.spare
                    WHERE digest <> ALL ($1) AND created_at <= pg_catalog.now() - pg_catalog.make_interval(secs => $2)
                    LIMIT 1 FOR UPDATE SKIP LOCKED
                ) RETURNING schema_name";
    let current: Vec<_> = current.iter().map(|digest| digest.as_bytes().as_slice()).collect();
    let taken = sqlx::query_scalar(take).bind(current).bind(age.as_secs_f64());
    schema(taken.fetch_optional(connection).await?)
}

fn schema(name: Option<String>) -> Result<Option<SchemaName>> {
    Ok(name.map(|name| SchemaName::parse(&name)).transpose()?)
}

pub(crate) async fn delete(connection: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    sqlx::query("DELETE FROM tenantry.spare WHERE schema_name = $1")
        .bind(schema.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// A function of the schema whose text or settings hold the schema's name.
pub(crate) async fn function_that_names(
    connection: &mut PgConnection,
    schema: &SchemaName,
) -> Result<Option<String>> {
    let find = "SELECT proname::text FROM pg_catalog.pg_proc
                JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pronamespace
                WHERE nspname = $1
                  AND (pg_catalog.strpos(prosrc, $1) > 0 OR pg_catalog.strpos(proconfig::text, $1) > 0)
                ORDER BY 1 LIMIT 1";
    Ok(sqlx::query_scalar(find).bind(schema.as_str()).fetch_optional(connection).await?)
}

/// The spares of a database, the oldest first. `current` is what those that are up to date have applied, for tenants
/// of which type.
pub(crate) async fn list(
    connection: &mut PgConnection,
    database: &Alias,
    current: &[(Option<&TypeName>, Digest)],
) -> Result<Vec<Spare>> {
    let list = "SELECT schema_name, digest, created_at FROM tenantry.spare ORDER BY created_at, schema_name";
    let rows = sqlx::query(list).fetch_all(connection).await?;
    let spare = |row: &sqlx::postgres::PgRow| {
        let digest = Digest::from_bytes(row.try_get("digest")?);
        let current = current.iter().find(|(_, current)| *current == digest);
        Ok(Spare {
            database: database.clone(),
            schema: SchemaName::parse(row.try_get("schema_name")?)?,
            type_name: current.and_then(|(type_name, _)| type_name.cloned()),
            is_current: current.is_some(),
            created_at: row.try_get("created_at")?,
        })
    };
    rows.iter().map(spare).collect()
}
