//! The way back for those who deleted their account: a link that holds for an hour.
//!
//! A deleted tenant has no pages of its own any more, so the link leads to the master. It is a random token, which the
//! master schema keeps with the deletion that it undoes.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use sqlx::types::Uuid;
use sqlx::types::time::OffsetDateTime;
use tenantry::resolve::TenantKey;
use tenantry::tenant::{Status, TenantId};
use tenantry::{ErrorKind, MasterDb, Result, Tenancy, Tenant};

use crate::page::{Port, render};

#[derive(Template)]
#[template(path = "farewell.html")]
struct FarewellPage<'a> {
    token: Uuid,
    tenant: &'a Tenant,
    kept_until: String,
}

#[derive(Template)]
#[template(path = "farewell_over.html")]
struct OverPage;

/// The deletion that a link undoes, if it still can.
struct Farewell {
    tenant: Tenant,
    purge_after: OffsetDateTime,
}

/// Makes the link for a tenant that was just deleted; `None` if it has been brought back already.
pub(crate) async fn link(tenancy: &Tenancy, tenant: &Tenant, port: Port) -> Result<Option<String>> {
    let Some(purge_after) = tenancy.purge_after(tenant).await? else { return Ok(None) };
    let insert = "WITH old AS (DELETE FROM farewell WHERE valid_until < now())
        INSERT INTO farewell (tenant, purge_after) VALUES ($1, $2) RETURNING token";
    let insert = sqlx::query_scalar::<_, Uuid>(insert).bind(Uuid::from(tenant.id())).bind(purge_after);
    let token = insert.fetch_one(&tenancy.master()).await?;
    Ok(Some(format!("{}farewell/{token}", port.master_url())))
}

/// `GET /farewell/{token}`: shows what the link would do. Programs that look at links before people do change nothing.
pub(crate) async fn page(tenancy: Tenancy, master: MasterDb, Path(token): Path<String>) -> Result<Response> {
    let Some((token, farewell)) = find(&tenancy, &master, &token).await? else { return Ok(over()) };
    let kept_until = farewell.purge_after.date().to_string();
    Ok(render(StatusCode::OK, &FarewellPage { token, tenant: &farewell.tenant, kept_until }))
}

/// `POST /farewell/{token}`, from the button on that page.
pub(crate) async fn undo(
    tenancy: Tenancy,
    master: MasterDb,
    port: Port,
    Path(token): Path<String>,
) -> Result<Response> {
    let Some((_, farewell)) = find(&tenancy, &master, &token).await? else { return Ok(over()) };
    let tenant = tenancy.undelete(&farewell.tenant).await?;
    Ok(Redirect::to(&port.url_of(tenant.slug())).into_response())
}

/// Finds the deletion that belongs to a token, while the tenant is as that has left it.
async fn find(tenancy: &Tenancy, master: &MasterDb, token: &str) -> Result<Option<(Uuid, Farewell)>> {
    let Ok(token) = token.parse::<Uuid>() else { return Ok(None) };
    let select = "SELECT tenant, purge_after FROM farewell WHERE token = $1 AND valid_until > now()";
    let row = sqlx::query_as::<_, (Uuid, OffsetDateTime)>(select).bind(token).fetch_optional(master).await?;
    let Some((id, purge_after)) = row else { return Ok(None) };
    let tenant = match tenancy.find(&TenantKey::Id(TenantId::from(id))).await {
        Err(error) if error.kind() == ErrorKind::UnknownTenant => return Ok(None),
        found => found?,
    };
    let is_that =
        tenant.status() == Status::Deleted && tenancy.purge_after(&tenant).await? == Some(purge_after);
    Ok(is_that.then_some((token, Farewell { tenant, purge_after })))
}

/// One answer for all links that lead nowhere, whatever the reason.
fn over() -> Response {
    render(StatusCode::NOT_FOUND, &OverPage)
}
