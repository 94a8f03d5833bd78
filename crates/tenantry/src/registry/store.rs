//! The statements of the registry, one function each. Names are always qualified.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Executor, FromRow, PgConnection, Postgres, Row as _};

use crate::error::{Error, ErrorKind, Result, sqlstate};
use crate::tenant::{
    Alias, Digest, DomainName, Node, SchemaName, Slug, Status, Suspension, Tenant, TenantId, TenantRecord,
    TypeName,
};

/// The hint where the registry may not be read.
pub(super) const PRIVILEGES: &str =
    "the application's role needs USAGE on the schema `tenantry` and SELECT on its tables";

/// The columns of a tenant. What its schema has applied is known here for the default database only.
macro_rules! select_tenant {
    ($rest:literal) => {
        concat!(
            "SELECT tenant.id, tenant.slug, tenant.schema_name, tenant.database, tenant.node, tenant.type,
                    tenant.status, tenant.suspension, tenant.settings, tenant.epoch, tenant.last_error,
                    tenant.created_at, applied.digest, coalesce(applied.owns_types, false) AS owns_types
             FROM tenantry.tenant
             LEFT JOIN tenantry.applied
                ON applied.schema_name = tenant.schema_name AND tenant.database = 'default' ",
            $rest
        )
    };
}

/// All tenants, as [`TenantRow`]s. A condition may follow.
pub(super) const SELECT_TENANT: &str = select_tenant!("");

/// A row of the registry, read into the types of the domain.
pub(super) struct TenantRow(Tenant);

impl TenantRow {
    pub(super) fn into_tenant(self) -> Tenant {
        self.0
    }
}

impl FromRow<'_, PgRow> for TenantRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let id: TenantId = row.try_get::<uuid::Uuid, _>("id")?.into();
        let nonsense = |error| nonsense(id, error);
        Ok(Self(Tenant::from(TenantRecord {
            id,
            slug: parsed(row, "slug", Slug::parse).map_err(nonsense)?,
            schema: parsed(row, "schema_name", SchemaName::parse).map_err(nonsense)?,
            database: parsed(row, "database", Alias::parse).map_err(nonsense)?,
            node: node(row).map_err(nonsense)?,
            type_name: type_name(row).map_err(nonsense)?,
            status: parsed(row, "status", Status::parse).map_err(nonsense)?,
            suspension: suspension(row).map_err(nonsense)?,
            settings: row.try_get("settings")?,
            epoch: row.try_get("epoch")?,
            digest: digest(row.try_get("digest")?)?,
            owns_types: row.try_get("owns_types")?,
            last_error: row.try_get("last_error")?,
            created_at: row.try_get("created_at")?,
        })))
    }
}

/// Names the row, which nobody else can find: it goes by no slug.
fn nonsense(id: TenantId, error: sqlx::Error) -> sqlx::Error {
    let sqlx::Error::ColumnDecode { index, source } = error else { return error };
    let message = format!("column `{index}` of tenant {id} in `tenantry.tenant` cannot be understood");
    Error::new(ErrorKind::Registry, message).with_hint("correct the row").with_source(source).into()
}

/// Tells a registry that may not be read from a database in trouble.
pub(super) fn unreadable(error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    if code.as_deref() != Some(sqlstate::INSUFFICIENT_PRIVILEGE) {
        return error.into();
    }
    Error::new(ErrorKind::Registry, "the registry cannot be read").with_hint(PRIVILEGES).with_source(error)
}

/// Reads a text column. Whoever wrote the row by hand is told which column is wrong.
pub(super) fn parsed<T, E>(
    row: &PgRow,
    column: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, sqlx::Error>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let text: &str = row.try_get(column)?;
    parse(text).map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() })
}

fn type_name(row: &PgRow) -> Result<Option<TypeName>, sqlx::Error> {
    let text: Option<&str> = row.try_get("type")?;
    text.map(|_| parsed(row, "type", TypeName::parse)).transpose()
}

fn node(row: &PgRow) -> Result<Option<Node>, sqlx::Error> {
    let text: Option<&str> = row.try_get("node")?;
    text.map(|_| parsed(row, "node", str::parse)).transpose()
}

fn suspension(row: &PgRow) -> Result<Option<Suspension>, sqlx::Error> {
    let json: Option<Json<serde_json::Value>> = row.try_get("suspension")?;
    let read = json.map(|Json(json)| serde_json::from_value(json)).transpose();
    read.map_err(|error| sqlx::Error::ColumnDecode { index: "suspension".to_owned(), source: error.into() })
}

fn digest(bytes: Option<Vec<u8>>) -> Result<Option<Digest>, sqlx::Error> {
    let Some(bytes) = bytes else { return Ok(None) };
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| sqlx::Error::ColumnDecode {
        index: "digest".to_owned(),
        source: "a digest has 32 bytes".into(),
    })?;
    Ok(Some(Digest::from_bytes(bytes)))
}

pub(crate) async fn tenant_by_slug(
    executor: impl Executor<'_, Database = Postgres>,
    slug: &Slug,
) -> Result<Option<Tenant>> {
    let row = sqlx::query_as::<_, TenantRow>(select_tenant!("WHERE tenant.slug = $1"))
        .bind(slug.as_str())
        .fetch_optional(executor)
        .await
        .map_err(unreadable)?;
    Ok(row.map(|row| row.0))
}

pub(crate) async fn tenant_by_domain(
    executor: impl Executor<'_, Database = Postgres>,
    domain: &DomainName,
) -> Result<Option<Tenant>> {
    let row = sqlx::query_as::<_, TenantRow>(select_tenant!(
        "WHERE tenant.id = (SELECT tenant_id FROM tenantry.domain WHERE name = $1)"
    ))
    .bind(domain.as_str())
    .fetch_optional(executor)
    .await
    .map_err(unreadable)?;
    Ok(row.map(|row| row.0))
}

pub(crate) async fn tenant_by_id(
    executor: impl Executor<'_, Database = Postgres>,
    id: TenantId,
) -> Result<Option<Tenant>> {
    let row = sqlx::query_as::<_, TenantRow>(select_tenant!("WHERE tenant.id = $1"))
        .bind(id.as_uuid())
        .fetch_optional(executor)
        .await
        .map_err(unreadable)?;
    Ok(row.map(|row| row.0))
}

/// The same, which nobody else changes until the transaction ends.
pub(crate) async fn lock_tenant(connection: &mut PgConnection, id: TenantId) -> Result<Option<Tenant>> {
    let row = sqlx::query_as::<_, TenantRow>(select_tenant!("WHERE tenant.id = $1 FOR UPDATE OF tenant"))
        .bind(id.as_uuid())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.0))
}

/// The first of these slugs that no tenant has.
pub(crate) async fn unknown_slug(
    executor: impl Executor<'_, Database = Postgres>,
    slugs: &[Slug],
) -> Result<Option<String>> {
    let find = "SELECT given.slug FROM unnest($1::text[]) WITH ORDINALITY AS given (slug, number)
                WHERE NOT EXISTS (SELECT FROM tenantry.tenant WHERE tenant.slug = given.slug)
                ORDER BY number LIMIT 1";
    let slugs: Vec<_> = slugs.iter().map(Slug::as_str).collect();
    sqlx::query_scalar(find).bind(slugs).fetch_optional(executor).await.map_err(unreadable)
}

/// All tenants after the one with the given slug, in the order of their slugs, at most `limit`: a
/// fleet is read page by page.
pub(crate) async fn tenants_after(
    executor: impl Executor<'_, Database = Postgres>,
    after: &str,
    limit: i64,
) -> Result<Vec<Tenant>> {
    let rows = sqlx::query_as::<_, TenantRow>(select_tenant!(
        "WHERE tenant.slug > $1 COLLATE \"C\" ORDER BY tenant.slug COLLATE \"C\" LIMIT $2"
    ))
    .bind(after)
    .bind(limit)
    .fetch_all(executor)
    .await
    .map_err(unreadable)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// Some tenants that keep up with the fleet, whichever: their numbers are random.
pub(crate) async fn some_tenants(
    executor: impl Executor<'_, Database = Postgres>,
    limit: i64,
) -> Result<Vec<Tenant>> {
    let rows = sqlx::query_as::<_, TenantRow>(select_tenant!(
        "WHERE tenant.status IN ('active', 'suspended') ORDER BY tenant.id LIMIT $1"
    ))
    .bind(limit)
    .fetch_all(executor)
    .await
    .map_err(unreadable)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// The tenants whose schemas in a database go by these names.
pub(crate) async fn tenants_of_schemas(
    executor: impl Executor<'_, Database = Postgres>,
    database: &Alias,
    schemas: &[&str],
) -> Result<Vec<Tenant>> {
    let rows = sqlx::query_as::<_, TenantRow>(select_tenant!(
        "WHERE tenant.schema_name = ANY ($1) AND tenant.database = $2"
    ))
    .bind(schemas)
    .bind(database.as_str())
    .fetch_all(executor)
    .await
    .map_err(unreadable)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// Reads what schemas of some database have applied, and whether they own types.
pub(crate) async fn applied(
    executor: impl Executor<'_, Database = Postgres>,
    schemas: &[&str],
) -> Result<HashMap<SchemaName, (Digest, bool)>> {
    let rows = sqlx::query(
        "SELECT schema_name, digest, owns_types FROM tenantry.applied WHERE schema_name = ANY ($1)",
    )
    .bind(schemas)
    .fetch_all(executor)
    .await?;
    let read = |row: &PgRow| {
        let schema = parsed(row, "schema_name", SchemaName::parse)?;
        let digest = digest(row.try_get("digest")?)?;
        Ok(digest.map(|digest| Ok((schema, (digest, row.try_get("owns_types")?)))))
    };
    let entries = rows.iter().filter_map(|row| read(row).transpose());
    Ok(entries.map(Result::flatten).collect::<Result<_, sqlx::Error>>()?)
}

/// Enters a tenant. Its slug or schema may be taken, and its database closed.
pub(crate) async fn insert_tenant(connection: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let inserted = sqlx::query(
        "INSERT INTO tenantry.tenant (id, slug, schema_name, database, status, settings, type)
         SELECT $1, $2, $3, $4, $5, $6, $7
         WHERE NOT EXISTS (SELECT FROM tenantry.database WHERE alias = $4 AND closed_at IS NOT NULL)",
    )
    .bind(tenant.id().as_uuid())
    .bind(tenant.slug().as_str())
    .bind(tenant.schema().as_str())
    .bind(tenant.database().as_str())
    .bind(tenant.status().as_str())
    .bind(tenant.settings())
    .bind(tenant.type_name().map(TypeName::as_str))
    .execute(connection)
    .await;
    match inserted {
        Ok(done) if done.rows_affected() == 1 => Ok(()),
        Ok(_) => Err(closed(tenant.database(), tenant.slug())),
        Err(error) => Err(taken(&error, tenant).unwrap_or_else(|| error.into())),
    }
}

/// The error of a tenant that is to come to a database that the registry has as closed.
pub(super) fn closed(alias: &Alias, slug: &Slug) -> Error {
    Error::new(ErrorKind::DatabaseClosed, format!("database `{alias}` is closed to new tenants"))
        .with_tenant(slug)
        .with_hint(format!("`tenantry database open {alias}` opens it again; or name another database"))
}

/// The error that a slug or a schema is somebody else's, if it is that. A slug counts that somebody had until recently.
pub(super) fn taken(error: &sqlx::Error, tenant: &Tenant) -> Option<Error> {
    let message = match error.as_database_error()?.constraint()? {
        "tenant_slug_key" | "former_slug_pkey" => format!("tenant `{}` already exists", tenant.slug()),
        "tenant_database_schema_name_key" => {
            let (schema, database) = (tenant.schema(), tenant.database());
            format!("schema `{schema}` of database `{database}` already belongs to a tenant")
        }
        _ => return None,
    };
    Some(Error::new(ErrorKind::AlreadyExists, message).with_tenant(tenant.slug()))
}

/// Moves a tenant on. Fails if it is not where the caller thinks it is.
pub(crate) async fn set_status(connection: &mut PgConnection, tenant: &Tenant, status: Status) -> Result<()> {
    // A suspension whose end has come is over, and still written down.
    let recorded = tenant.recorded_status();
    if !recorded.can_become(status) {
        let message = format!("tenant `{}` is {recorded} and cannot become {status}", tenant.slug());
        return Err(Error::new(ErrorKind::TenantUnavailable, message).with_tenant(tenant.slug()));
    }
    let updated = sqlx::query(
        "UPDATE tenantry.tenant SET status = $3, last_error = NULL WHERE id = $1 AND status = $2",
    )
    .bind(tenant.id().as_uuid())
    .bind(recorded.as_str())
    .bind(status.as_str())
    .execute(connection)
    .await?;
    if updated.rows_affected() == 1 {
        return Ok(());
    }
    let message = format!("tenant `{}` is no longer {recorded}", tenant.slug());
    Err(Error::new(ErrorKind::Conflict, message).with_tenant(tenant.slug()))
}

/// Gives a tenant another type, and tells that its last command went well.
pub(crate) async fn set_type(
    connection: &mut PgConnection,
    id: TenantId,
    type_name: Option<&TypeName>,
) -> Result<()> {
    sqlx::query("UPDATE tenantry.tenant SET type = $2, last_error = NULL WHERE id = $1")
        .bind(id.as_uuid())
        .bind(type_name.map(TypeName::as_str))
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn set_last_error(
    connection: &mut PgConnection,
    tenant: &Tenant,
    last_error: Option<&str>,
) -> Result<()> {
    sqlx::query(
        "UPDATE tenantry.tenant SET last_error = $2 WHERE id = $1 AND last_error IS DISTINCT FROM $2",
    )
    .bind(tenant.id().as_uuid())
    .bind(last_error)
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes a tenant and its domains.
pub(crate) async fn delete_tenant(connection: &mut PgConnection, id: TenantId) -> Result<()> {
    sqlx::query("DELETE FROM tenantry.tenant WHERE id = $1").bind(id.as_uuid()).execute(connection).await?;
    Ok(())
}

/// Gives a domain to a tenant.
pub(crate) async fn insert_domain(
    connection: &mut PgConnection,
    tenant: &Tenant,
    domain: &DomainName,
) -> Result<()> {
    let inserted = sqlx::query(
        "INSERT INTO tenantry.domain (name, tenant_id) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
    )
    .bind(domain.as_str())
    .bind(tenant.id().as_uuid())
    .execute(connection)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(());
    }
    let message = format!("domain `{domain}` already belongs to a tenant");
    Err(Error::new(ErrorKind::AlreadyExists, message).with_tenant(tenant.slug()))
}

/// Takes a domain from a tenant; answers whether it had it.
pub(crate) async fn delete_domain(
    connection: &mut PgConnection,
    tenant: &Tenant,
    domain: &DomainName,
) -> Result<bool> {
    let deleted = sqlx::query("DELETE FROM tenantry.domain WHERE name = $1 AND tenant_id = $2")
        .bind(domain.as_str())
        .bind(tenant.id().as_uuid())
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected() == 1)
}

pub(crate) async fn domains_of(
    executor: impl Executor<'_, Database = Postgres>,
    id: TenantId,
) -> Result<Vec<String>> {
    let names = sqlx::query_scalar("SELECT name FROM tenantry.domain WHERE tenant_id = $1 ORDER BY name")
        .bind(id.as_uuid())
        .fetch_all(executor)
        .await?;
    Ok(names)
}

/// Commits something for good. PostgreSQL writes its log in order, so what was committed before without
/// waiting for the disk is on disk with it.
pub(crate) async fn commit_to_disk(connection: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql(
        "BEGIN; SET LOCAL synchronous_commit TO on;
         UPDATE tenantry.installed SET installed_at = installed_at WHERE step = 1; COMMIT",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells every cache that what the schemas have applied has changed. Once per run, since a
/// notification in every migration's transaction would serialise their commits.
pub(crate) async fn announce_applied(connection: &mut PgConnection) -> Result<()> {
    sqlx::query("SELECT pg_notify('tenantry', 'fleet')").execute(connection).await?;
    Ok(())
}
