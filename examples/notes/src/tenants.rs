//! The pages of the master: who is here, and signing up.

use std::net::{IpAddr, SocketAddr};

use askama::Template;
use axum::Form;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tenantry::tenant::Status;
use tenantry::{ErrorKind, MasterDb, NewTenant, Result, Tenancy, Tenant};

use crate::page::{Port, render};

/// Tenants shown on the page.
const MOST: u32 = 100;
/// Attempts to sign up that an address has in an hour. With IPv6, everybody has a network of addresses.
const ATTEMPTS_PER_HOUR: i32 = 20;

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
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Form(typed): Form<SignUp>,
) -> Result<Response> {
    let (status, refusal) = match attempts(&master, peer.ip()).await? {
        ..=ATTEMPTS_PER_HOUR => match tenancy.create(new_tenant(&typed)).await {
            Ok(tenant) => return welcome(&master, port, &tenant).await,
            Err(error) => match error.kind() {
                ErrorKind::InvalidInput => (error.status(), error.to_string()),
                ErrorKind::AlreadyExists => (error.status(), "This address is taken.".to_owned()),
                _ => return Err(error),
            },
        },
        _ => (StatusCode::TOO_MANY_REQUESTS, "Too many sign-ups from here. Come back in an hour.".to_owned()),
    };
    show(status, &tenancy, &master, port, &typed, Some(&refusal)).await
}

/// Counts one more attempt of an address in this hour. Behind a proxy, the address is what the proxy says.
async fn attempts(master: &MasterDb, address: IpAddr) -> Result<i32> {
    let count = "WITH old AS (DELETE FROM sign_up_attempt WHERE hour < now() - interval '1 day')
        INSERT INTO sign_up_attempt AS it (network, hour, attempts)
        VALUES (network(set_masklen($1::inet, $2)), date_trunc('hour', now()), 1)
        ON CONFLICT (network, hour) DO UPDATE SET attempts = it.attempts + 1
        RETURNING attempts";
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { 32 } else { 64 };
    Ok(sqlx::query_scalar(count).bind(address.to_string()).bind(bits).fetch_one(master).await?)
}

async fn welcome(master: &MasterDb, port: Port, tenant: &Tenant) -> Result<Response> {
    let slug = tenant.slug();
    sqlx::query("INSERT INTO sign_up (slug) VALUES ($1)").bind(slug.as_str()).execute(master).await?;
    Ok(Redirect::to(&port.url_of(slug)).into_response())
}

/// Slug and name are checked when the tenant is made. Without a name the slug is shown instead.
fn new_tenant(typed: &SignUp) -> NewTenant {
    let new = NewTenant::new(typed.slug.trim());
    if typed.name.trim().is_empty() { new } else { new.name(&typed.name) }
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
