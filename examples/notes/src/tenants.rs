//! The pages of the master: who is here, and signing up.

use askama::Template;
use axum::Form;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tenantry::tenant::{Status, Tenant};
use tenantry::{ErrorKind, MasterDb, NewTenant, Result, Tenancy};

use crate::line::Line;
use crate::page::{Port, render};

/// Tenants shown on the page.
const MOST: u32 = 100;

#[derive(Template)]
#[template(path = "tenants.html")]
struct TenantsPage<'a> {
    port: Port,
    tenants: Vec<Tenant>,
    sign_ups_today: i64,
    typed: &'a SignUp,
    refusal: Option<&'a str>,
}

/// The form as it was typed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct SignUp {
    slug: String,
    name: String,
}

pub(crate) async fn page(tenancy: &Tenancy, master: &MasterDb, port: Port) -> Result<Response> {
    show(StatusCode::OK, tenancy, master, port, &SignUp::default(), None).await
}

/// Makes a tenant while its customer waits: a schema with all its tables.
pub(crate) async fn sign_up(
    tenancy: Tenancy,
    master: MasterDb,
    port: Port,
    Form(typed): Form<SignUp>,
) -> Result<Response> {
    let (status, refusal) = match new_tenant(&typed) {
        Err(why) => (StatusCode::BAD_REQUEST, format!("The name {why}.")),
        Ok(new) => match tenancy.create(new).await {
            Ok(tenant) => return welcome(&master, port, &tenant).await,
            Err(error) => match error.kind() {
                ErrorKind::InvalidInput => (StatusCode::BAD_REQUEST, error.to_string()),
                ErrorKind::AlreadyExists => (StatusCode::CONFLICT, "This address is taken.".to_owned()),
                _ => return Err(error),
            },
        },
    };
    show(status, &tenancy, &master, port, &typed, Some(&refusal)).await
}

async fn welcome(master: &MasterDb, port: Port, tenant: &Tenant) -> Result<Response> {
    let slug = tenant.slug();
    sqlx::query("INSERT INTO sign_up (slug) VALUES ($1)").bind(slug.as_str()).execute(master).await?;
    Ok(Redirect::to(&port.url_of(slug)).into_response())
}

/// The slug is checked when the tenant is made. Without a name the slug is shown instead.
fn new_tenant(typed: &SignUp) -> Result<NewTenant, &'static str> {
    let new = NewTenant::new(typed.slug.trim());
    if typed.name.trim().is_empty() {
        return Ok(new);
    }
    Ok(new.name(Line::parse(&typed.name)?.as_str()))
}

async fn show(
    status: StatusCode,
    tenancy: &Tenancy,
    master: &MasterDb,
    port: Port,
    typed: &SignUp,
    refusal: Option<&str>,
) -> Result<Response> {
    let mut tenants = tenancy.tenants_after("", MOST).await?;
    tenants.retain(|tenant| tenant.status() == Status::Active);
    let sign_ups_today =
        sqlx::query_scalar("SELECT count(*) FROM sign_up WHERE signed_up_at > now() - interval '1 day'")
            .fetch_one(master)
            .await?;
    Ok(render(status, &TenantsPage { port, tenants, sign_ups_today, typed, refusal }))
}
