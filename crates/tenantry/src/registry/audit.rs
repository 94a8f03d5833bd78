//! The statements about what was done to tenants, one function each.

use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Executor, FromRow, PgConnection, Postgres, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::tenant::{Digest, Tenant, TenantId, Verb};

/// An action on a tenant, as the registry keeps it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct AuditEntry {
    /// Counts up; a later entry has a higher number.
    pub id: i64,
    /// The tenant, which may be gone.
    pub tenant: TenantId,
    /// The slug it had then.
    pub slug: String,
    /// The [`Verb`](crate::tenant::Verb); a text, because a newer program may have written one that this does not know.
    pub verb: String,
    /// The operator, in the words of [`Builder::operator`](crate::tenancy::Builder::operator).
    pub operator: String,
    /// The end it came to, or that it has not ended.
    pub state: AuditState,
    /// The particulars of the action, as a JSON object.
    pub options: serde_json::Value,
    /// The digest of the archive that was written or read, if there was one.
    pub digest: Option<Digest>,
    /// The error, if it failed.
    pub error: Option<String>,
    /// The time at which it began.
    #[serde(with = "time::serde::rfc3339")]
    pub begun_at: OffsetDateTime,
    /// The time at which it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
}

/// The end of an action on a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditState {
    /// It is under way, or the process that did it is gone.
    Begun,
    /// All of it is done.
    Done,
    /// It ended with an error.
    Failed,
    /// It was begun, and what it had made was removed again.
    Undone,
}

impl AuditState {
    const ALL: [Self; 4] = [Self::Begun, Self::Done, Self::Failed, Self::Undone];

    /// The name as the registry and the command line write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undone => "undone",
        }
    }
}

impl FromRow<'_, PgRow> for AuditEntry {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let state: &str = row.try_get("state")?;
        let state = AuditState::ALL.into_iter().find(|known| known.as_str() == state);
        let digest: Option<[u8; 32]> = row.try_get("digest")?;
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get::<Uuid, _>("tenant_id")?.into(),
            slug: row.try_get("slug")?,
            verb: row.try_get("verb")?,
            operator: row.try_get("operator")?,
            state: state.ok_or_else(|| sqlx::Error::ColumnDecode {
                index: "state".to_owned(),
                source: "expected begun, done, failed or undone".into(),
            })?,
            options: row.try_get("options")?,
            digest: digest.map(Digest::from_bytes),
            error: row.try_get("error")?,
            begun_at: row.try_get("begun_at")?,
            ended_at: row.try_get("ended_at")?,
        })
    }
}

/// An action on a tenant, and who takes it.
#[derive(Clone, Debug)]
pub(crate) struct Action<'a> {
    pub(crate) verb: Verb,
    pub(crate) operator: &'a str,
    /// The particulars: a JSON object.
    pub(crate) options: serde_json::Value,
    /// The digest of the archive that is written or read, if there is one.
    pub(crate) digest: Option<Digest>,
}

impl<'a> Action<'a> {
    /// An action of which there is no more to say.
    pub(crate) fn new(verb: Verb, operator: &'a str) -> Self {
        Self { verb, operator, options: serde_json::json!({}), digest: None }
    }
}

/// Enters an action: as [`Done`](AuditState::Done) in the one transaction that does it, as
/// [`Begun`](AuditState::Begun) before the first of several.
pub(crate) async fn enter(
    connection: &mut PgConnection,
    tenant: &Tenant,
    action: &Action<'_>,
    state: AuditState,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO tenantry.audit (tenant_id, slug, verb, operator, state, options, digest, ended_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $5 <> 'begun' THEN now() END)",
    )
    .bind(tenant.id().as_uuid())
    .bind(tenant.slug().as_str())
    .bind(action.verb.as_str())
    .bind(action.operator)
    .bind(state.as_str())
    .bind(Json(&action.options))
    .bind(action.digest.as_ref().map(|digest| digest.as_bytes().as_slice()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells how the action ended that was begun on a tenant. Where none was, there is nothing to tell.
pub(crate) async fn end(
    connection: &mut PgConnection,
    id: TenantId,
    verb: Verb,
    ending: AuditState,
) -> Result<()> {
    sqlx::query(
        "UPDATE tenantry.audit SET state = $3, ended_at = now()
         WHERE tenant_id = $1 AND verb = $2 AND state = 'begun'",
    )
    .bind(id.as_uuid())
    .bind(verb.as_str())
    .bind(ending.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells that nothing comes any more of what was begun on a tenant, which is gone.
pub(crate) async fn end_all(connection: &mut PgConnection, id: TenantId) -> Result<()> {
    sqlx::query(
        "UPDATE tenantry.audit SET state = 'undone', ended_at = now() WHERE tenant_id = $1 AND state = 'begun'",
    )
    .bind(id.as_uuid())
    .execute(connection)
    .await?;
    Ok(())
}

/// The particulars of an action that was begun on a tenant and has not ended.
pub(crate) async fn begun(
    connection: &mut PgConnection,
    id: TenantId,
    verb: Verb,
) -> Result<Option<serde_json::Value>> {
    let begun = "SELECT options FROM tenantry.audit WHERE tenant_id = $1 AND verb = $2 AND state = 'begun'
                 ORDER BY id DESC LIMIT 1";
    Ok(sqlx::query_scalar(begun).bind(id.as_uuid()).bind(verb.as_str()).fetch_optional(connection).await?)
}

/// The number of the newest entry; 0 where there is none.
pub(super) async fn newest(executor: impl Executor<'_, Database = Postgres>) -> Result<i64> {
    let newest = "SELECT coalesce(max(id), 0) FROM tenantry.audit";
    Ok(sqlx::query_scalar(newest).fetch_one(executor).await?)
}

/// The entry of this number, if it is done.
pub(super) async fn done(
    executor: impl Executor<'_, Database = Postgres>,
    id: i64,
) -> Result<Option<AuditEntry>> {
    let entry = sqlx::query_as("SELECT * FROM tenantry.audit WHERE id = $1 AND state = 'done'");
    Ok(entry.bind(id).fetch_optional(executor).await?)
}

/// Entries after this number that are done, in the order of their numbers.
pub(super) async fn done_after(
    executor: impl Executor<'_, Database = Postgres>,
    after: i64,
    limit: i64,
) -> Result<Vec<AuditEntry>> {
    let entries =
        sqlx::query_as("SELECT * FROM tenantry.audit WHERE id > $1 AND state = 'done' ORDER BY id LIMIT $2");
    Ok(entries.bind(after).bind(limit).fetch_all(executor).await?)
}

/// The newest entries about a tenant, newest first.
pub(crate) async fn entries_of(
    executor: impl Executor<'_, Database = Postgres>,
    id: TenantId,
    limit: i64,
) -> Result<Vec<AuditEntry>> {
    let entries =
        sqlx::query_as("SELECT * FROM tenantry.audit WHERE tenant_id = $1 ORDER BY id DESC LIMIT $2");
    Ok(entries.bind(id.as_uuid()).bind(limit).fetch_all(executor).await?)
}
