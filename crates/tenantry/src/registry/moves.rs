//! The statements about moves of tenants between databases, one function each.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Executor, FromRow, PgConnection, Postgres, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::databases::check_open;
use super::move_method::MoveMethod;
use super::store::parsed;
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::{Alias, SchemaName, Tenant, TenantId};

/// A move of a tenant from one database to another, as the registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct TenantMove {
    /// Counts up; a later move has a higher number.
    pub id: i64,
    /// The tenant, which may be gone.
    pub tenant: TenantId,
    /// The slug it had then.
    pub slug: String,
    /// The name of its schema, which is the same in both databases.
    pub schema: SchemaName,
    /// The database it leaves.
    pub source: Alias,
    /// The database it goes to.
    pub target: Alias,
    /// The name that its schema in the source has once that is closed.
    pub kept_schema: SchemaName,
    /// The way in which it is moved.
    pub method: MoveMethod,
    /// The operator, in the words of [`Builder::operator`](crate::tenancy::Builder::operator).
    pub operator: String,
    /// The step that was noted last.
    pub step: MoveStep,
    /// The time at which it began.
    #[serde(with = "time::serde::rfc3339")]
    pub begun_at: OffsetDateTime,
    /// The time at which it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The time from which on the copy in the source may be dropped, while it is kept.
    #[serde(with = "time::serde::rfc3339::option")]
    pub purge_after: Option<OffsetDateTime>,
}

/// The step that a move has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveStep {
    /// It is recorded, and nothing is made.
    Planned,
    /// The tables are in the target, without rows.
    Made,
    /// Checkouts wait, and writers are locked out of the source.
    Fenced,
    /// The schema has another name in the source. There is no way back.
    Closed,
    /// The tenant is served in the target, and something of the move is left in the source.
    Flipped,
    /// The tenant is in the target.
    Done,
    /// The tenant is where it was.
    Undone,
}

impl MoveStep {
    const ALL: [Self; 7] =
        [Self::Planned, Self::Made, Self::Fenced, Self::Closed, Self::Flipped, Self::Done, Self::Undone];

    /// The name as the registry and the command line write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Made => "made",
            Self::Fenced => "fenced",
            Self::Closed => "closed",
            Self::Flipped => "flipped",
            Self::Done => "done",
            Self::Undone => "undone",
        }
    }
}

impl FromRow<'_, PgRow> for TenantMove {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let step: &str = row.try_get("step")?;
        let step = MoveStep::ALL.into_iter().find(|known| known.as_str() == step);
        let method = MoveMethod::named(row.try_get("method")?);
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get::<Uuid, _>("tenant_id")?.into(),
            slug: row.try_get("slug")?,
            schema: parsed(row, "schema_name", SchemaName::parse)?,
            source: parsed(row, "source", Alias::parse)?,
            target: parsed(row, "target", Alias::parse)?,
            kept_schema: parsed(row, "kept_schema", SchemaName::parse)?,
            method: method.ok_or_else(|| sqlx::Error::ColumnDecode {
                index: "method".to_owned(),
                source: "expected offline or online".into(),
            })?,
            operator: row.try_get("operator")?,
            step: step.ok_or_else(|| sqlx::Error::ColumnDecode {
                index: "step".to_owned(),
                source: "expected planned, made, fenced, closed, flipped, done or undone".into(),
            })?,
            begun_at: row.try_get("begun_at")?,
            ended_at: row.try_get("ended_at")?,
            purge_after: row.try_get("purge_after")?,
        })
    }
}

/// The move of a tenant that has not ended.
pub(crate) async fn under_way(
    executor: impl Executor<'_, Database = Postgres>,
    id: TenantId,
) -> Result<Option<TenantMove>> {
    let found = sqlx::query_as("SELECT * FROM tenantry.move WHERE tenant_id = $1 AND ended_at IS NULL");
    Ok(found.bind(id.as_uuid()).fetch_optional(executor).await?)
}

/// The tenants whose moves away from a database have not ended, and where they go.
pub(crate) async fn under_way_from(
    executor: impl Executor<'_, Database = Postgres>,
    source: &Alias,
) -> Result<HashMap<TenantId, Alias>> {
    let find = "SELECT * FROM tenantry.move WHERE source = $1 AND ended_at IS NULL";
    let found: Vec<TenantMove> = sqlx::query_as(find).bind(source.as_str()).fetch_all(executor).await?;
    Ok(found.into_iter().map(|moved| (moved.tenant, moved.target)).collect())
}

/// Enters a move that is about to begin.
///
/// # Errors
/// [`ErrorKind::DatabaseClosed`] if the target is closed to new tenants, [`ErrorKind::Conflict`] if a move of it is
/// under way.
pub(crate) async fn begin(
    connection: &mut PgConnection,
    tenant: &Tenant,
    (target, kept_schema): (&Alias, &SchemaName),
    (method, keep): (MoveMethod, Duration),
    operator: &str,
) -> Result<TenantMove> {
    let entered = sqlx::query_as(
        "INSERT INTO tenantry.move
             (tenant_id, slug, schema_name, source, target, kept_schema, keep_seconds, operator, method,
              step)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, 'planned'
         WHERE NOT EXISTS (SELECT FROM tenantry.database WHERE alias = $5 AND closed_at IS NOT NULL)
         ON CONFLICT (tenant_id) WHERE ended_at IS NULL DO NOTHING RETURNING *",
    )
    .bind(tenant.id().as_uuid())
    .bind(tenant.slug().as_str())
    .bind(tenant.schema().as_str())
    .bind(tenant.database().as_str())
    .bind(target.as_str())
    .bind(kept_schema.as_str())
    .bind(i64::try_from(keep.as_secs()).unwrap_or(i64::MAX))
    .bind(operator)
    .bind(method.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(entered) = entered {
        return Ok(entered);
    }
    check_open(connection, target, tenant.slug()).await?;
    let message = format!("tenant `{}` is being moved by somebody else", tenant.slug());
    Err(Error::new(ErrorKind::Conflict, message).with_tenant(tenant.slug()))
}

/// Notes the step that a move has come to.
pub(crate) async fn note(connection: &mut PgConnection, id: i64, step: MoveStep) -> Result<()> {
    sqlx::query("UPDATE tenantry.move SET step = $2 WHERE id = $1 AND ended_at IS NULL")
        .bind(id)
        .bind(step.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Has checkouts of the tenant wait, and remembers what it was. One that waits already stays as it is.
pub(crate) async fn gate(connection: &mut PgConnection, tenant: &Tenant, source: &Alias) -> Result<()> {
    let update = sqlx::query(
        "UPDATE tenantry.tenant
         SET status = 'moving', status_before = CASE status WHEN 'moving' THEN status_before ELSE status END
         WHERE id = $1 AND database = $2 AND status IN ('active', 'suspended', 'moving')",
    );
    let update = update.bind(tenant.id().as_uuid()).bind(source.as_str());
    only(update.execute(connection).await?.rows_affected(), tenant)
}

/// Leads to the target from now on.
pub(crate) async fn flip(connection: &mut PgConnection, tenant: &Tenant, moved: &TenantMove) -> Result<()> {
    let update = sqlx::query(
        "UPDATE tenantry.tenant SET database = $3, status = coalesce(status_before, 'active'),
             status_before = NULL, epoch = epoch + 1, last_error = NULL
         WHERE id = $1 AND database = $2 AND status = 'moving'",
    );
    let update = update.bind(tenant.id().as_uuid()).bind(moved.source.as_str()).bind(moved.target.as_str());
    only(update.execute(&mut *connection).await?.rows_affected(), tenant)?;
    note(connection, moved.id, MoveStep::Flipped).await
}

/// Ends a move of which nothing is left but what is kept in the source, and dates the end of that.
pub(crate) async fn end_done(connection: &mut PgConnection, id: i64) -> Result<()> {
    let end = "UPDATE tenantry.move SET step = 'done', ended_at = pg_catalog.now(),
                   purge_after = pg_catalog.now() + pg_catalog.make_interval(secs => keep_seconds)
               WHERE id = $1";
    sqlx::query(end).bind(id).execute(connection).await?;
    Ok(())
}

/// Notes the tables whose rows are about to be told by all that is in them. Repeated, it adds some.
pub(crate) async fn note_full_identity(
    connection: &mut PgConnection,
    id: i64,
    tables: &[String],
) -> Result<()> {
    let add = "UPDATE tenantry.move SET full_identity = full_identity || $2 WHERE id = $1";
    sqlx::query(add).bind(id).bind(tables).execute(connection).await?;
    Ok(())
}

/// The tables that were noted so.
pub(crate) async fn full_identity(connection: &mut PgConnection, id: i64) -> Result<Vec<String>> {
    let read = "SELECT full_identity FROM tenantry.move WHERE id = $1";
    Ok(sqlx::query_scalar(read).bind(id).fetch_one(connection).await?)
}

/// Makes the tenant what it was, where it was.
pub(crate) async fn ungate(connection: &mut PgConnection, moved: &TenantMove) -> Result<()> {
    sqlx::query(
        "UPDATE tenantry.tenant SET status = coalesce(status_before, 'active'), status_before = NULL
         WHERE id = $1 AND database = $2 AND status = 'moving'",
    )
    .bind(moved.tenant.as_uuid())
    .bind(moved.source.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a move of which nothing is left.
pub(crate) async fn end_undone(connection: &mut PgConnection, id: i64) -> Result<()> {
    let end = "UPDATE tenantry.move SET step = 'undone', ended_at = pg_catalog.now() WHERE id = $1";
    sqlx::query(end).bind(id).execute(connection).await?;
    Ok(())
}

/// The copies that are kept of a tenant, oldest first.
pub(crate) async fn kept_of(
    executor: impl Executor<'_, Database = Postgres>,
    id: TenantId,
) -> Result<Vec<TenantMove>> {
    let kept = "SELECT * FROM tenantry.move WHERE tenant_id = $1 AND purge_after IS NOT NULL ORDER BY id";
    Ok(sqlx::query_as(kept).bind(id.as_uuid()).fetch_all(executor).await?)
}

/// Up to `limit` moves whose copies are to be dropped now, in the order of their numbers, after this one.
pub(crate) async fn due_after(
    executor: impl Executor<'_, Database = Postgres>,
    after: i64,
    limit: i64,
) -> Result<Vec<TenantMove>> {
    let due =
        "SELECT * FROM tenantry.move WHERE purge_after <= pg_catalog.now() AND id > $1 ORDER BY id LIMIT $2";
    Ok(sqlx::query_as(due).bind(after).bind(limit).fetch_all(executor).await?)
}

/// Notes that the copy in the source is gone.
pub(crate) async fn forget_copy(connection: &mut PgConnection, id: i64) -> Result<()> {
    let forget = sqlx::query("UPDATE tenantry.move SET purge_after = NULL WHERE id = $1");
    forget.bind(id).execute(connection).await?;
    Ok(())
}

fn only(rows: u64, tenant: &Tenant) -> Result<()> {
    if rows == 1 {
        return Ok(());
    }
    let message = format!("tenant `{}` was changed or removed while it was moved", tenant.slug());
    Err(Error::new(ErrorKind::Conflict, message).with_tenant(tenant.slug()))
}
