//! The settings of a tenant, for its own people: its name, its address, and leaving.

use askama::Template;
use axum::Form;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tenantry::registry::FormerSlug;
use tenantry::tenant::Status;
use tenantry::{Error, ErrorKind, Result, Tenancy, Tenant, TenantDb};

use crate::farewell;
use crate::page::{Port, render};

/// The former addresses that an account may keep at a time. Each is taken for 30 days, so that without a limit one
/// account could take all of them.
const MOST_FORMER_ADDRESSES: usize = 3;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    tenant: &'a Tenant,
    former: Vec<FormerSlug>,
    name: &'a str,
    address: &'a str,
    refusal: Option<Refusal>,
}

/// The reason why one of the forms was refused.
struct Refusal {
    form: &'static str,
    status: StatusCode,
    text: String,
}

#[derive(Deserialize)]
pub(crate) struct Typed {
    #[serde(default)]
    text: String,
}

/// `GET /settings`
pub(crate) async fn page(tenancy: Tenancy, db: TenantDb) -> Result<Response> {
    show(&tenancy, db.tenant(), "", None).await
}

/// `POST /settings/name`
pub(crate) async fn set_name(tenancy: Tenancy, db: TenantDb, Form(typed): Form<Typed>) -> Result<Response> {
    let form = "name";
    let tenant = db.tenant();
    if let Some(refusal) = unless_active(tenant, form) {
        return show(&tenancy, tenant, &typed.text, Some(refusal)).await;
    }
    match tenancy.set_name(tenant, &typed.text).await {
        Ok(_) => Ok(Redirect::to("/settings").into_response()),
        Err(error) => show(&tenancy, tenant, &typed.text, Some(refusal(error, form)?)).await,
    }
}

/// `POST /settings/address`: the old address leads to the new one for a while.
pub(crate) async fn set_address(
    tenancy: Tenancy,
    db: TenantDb,
    port: Port,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let form = "address";
    let tenant = db.tenant();
    if let Some(refusal) = unless_active(tenant, form).or(too_often(&tenancy, tenant, form).await?) {
        return show(&tenancy, tenant, &typed.text, Some(refusal)).await;
    }
    match tenancy.rename(tenant, typed.text.trim()).await {
        Ok(tenant) => Ok(Redirect::to(&format!("{}settings", port.url_of(tenant.slug()))).into_response()),
        Err(error) => show(&tenancy, tenant, &typed.text, Some(refusal(error, form)?)).await,
    }
}

/// `POST /settings/delete`: nothing is lost yet, and the page that comes next has the way back.
pub(crate) async fn delete(
    tenancy: Tenancy,
    db: TenantDb,
    port: Port,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let form = "delete";
    let tenant = db.tenant();
    let refusal = unless_active(tenant, form).or_else(|| {
        let is_it = typed.text.trim().eq_ignore_ascii_case(tenant.slug().as_str());
        let text = format!("To delete the account, type its address: {}", tenant.slug());
        (!is_it).then_some(Refusal { form, status: StatusCode::BAD_REQUEST, text })
    });
    if let Some(refusal) = refusal {
        return show(&tenancy, tenant, "", Some(refusal)).await;
    }
    let deleted = tenancy.delete(tenant).await?;
    let link = farewell::link(&tenancy, &deleted, port).await?;
    Ok(Redirect::to(link.as_deref().unwrap_or("/")).into_response())
}

/// A tenant that may only be read has a handle, and these changes do not go through it.
fn unless_active(tenant: &Tenant, form: &'static str) -> Option<Refusal> {
    let text = "This account can only be read at the moment.".to_owned();
    let refusal = Refusal { form, status: StatusCode::SERVICE_UNAVAILABLE, text };
    (tenant.status() != Status::Active).then_some(refusal)
}

async fn too_often(tenancy: &Tenancy, tenant: &Tenant, form: &'static str) -> Result<Option<Refusal>> {
    let former = tenancy.former_slugs(tenant).await?.len();
    let text = "The address was changed too often. Try again in a month.".to_owned();
    let refusal = Refusal { form, status: StatusCode::TOO_MANY_REQUESTS, text };
    Ok((former >= MOST_FORMER_ADDRESSES).then_some(refusal))
}

/// Tells people what they can mend; all else is an error like any other.
fn refusal(error: Error, form: &'static str) -> Result<Refusal> {
    let text = match error.kind() {
        ErrorKind::InvalidInput => error.to_string(),
        ErrorKind::AlreadyExists => "This address is taken.".to_owned(),
        _ => return Err(error),
    };
    Ok(Refusal { form, status: error.status(), text })
}

/// Shows the page, with what was typed into the form that was refused.
async fn show(tenancy: &Tenancy, tenant: &Tenant, typed: &str, refusal: Option<Refusal>) -> Result<Response> {
    let form = refusal.as_ref().map(|refusal| refusal.form);
    let page = SettingsPage {
        tenant,
        former: tenancy.former_slugs(tenant).await?,
        name: if form == Some("name") { typed } else { tenant.name() },
        address: if form == Some("address") { typed } else { tenant.slug().as_str() },
        refusal,
    };
    Ok(render(page.status(), &page))
}

impl SettingsPage<'_> {
    fn status(&self) -> StatusCode {
        self.refusal.as_ref().map_or(StatusCode::OK, |refusal| refusal.status)
    }

    /// The text above one of the forms.
    fn wrong(&self, form: &str) -> Option<&str> {
        self.refusal.as_ref().filter(|refusal| refusal.form == form).map(|refusal| refusal.text.as_str())
    }
}
