//! The page of those who run the application: all tenants, whatever their status.
//!
//! Every handler takes a `MasterDb`, so none is found at a tenant's host. Nobody signs in here, since nothing but this
//! machine reaches the program: see the README of this folder for what production needs.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;
use tenantry::resolve::TenantKey;
use tenantry::tenant::{Suspension, TenantId};
use tenantry::{Error, ErrorKind, MasterDb, Result, Slug, Tenancy, Tenant};

use crate::line::Line;
use crate::page::{Port, render};

/// Tenants on a page.
const MOST: u32 = 20;

#[derive(Template)]
#[template(path = "operator.html")]
struct OperatorPage<'a> {
    port: Port,
    tenants: Vec<Tenant>,
    after: &'a str,
    next: Option<String>,
    refusal: Option<&'a str>,
}

/// The place in the list of all tenants, in the address and in each form, so that one comes back to it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    after: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Terms {
    after: String,
    message: String,
    read_only: Option<String>,
}

/// Everything under `/operator`, apart from the rest, so that it can be served elsewhere.
pub(crate) fn routes() -> Router<u16> {
    Router::new()
        .route("/operator", get(page))
        .route("/operator/{id}/suspend", post(suspend))
        .route("/operator/{id}/resume", post(resume))
        .route("/operator/{id}/undelete", post(undelete))
}

async fn page(tenancy: Tenancy, _: MasterDb, port: Port, Query(place): Query<Place>) -> Result<Response> {
    show(StatusCode::OK, &tenancy, port, &place.after, None).await
}

async fn suspend(
    tenancy: Tenancy,
    _: MasterDb,
    port: Port,
    Path(id): Path<TenantId>,
    Form(typed): Form<Terms>,
) -> Result<Response> {
    let terms = match terms(&typed) {
        Ok(terms) => terms,
        Err(why) => return show(StatusCode::BAD_REQUEST, &tenancy, port, &typed.after, Some(&why)).await,
    };
    let tenant = tenancy.find(&TenantKey::Id(id)).await?;
    let suspended = tenancy.suspend(&tenant, terms).await;
    done(&tenancy, port, &typed.after, suspended).await
}

async fn resume(
    tenancy: Tenancy,
    _: MasterDb,
    port: Port,
    Path(id): Path<TenantId>,
    Form(place): Form<Place>,
) -> Result<Response> {
    let tenant = tenancy.find(&TenantKey::Id(id)).await?;
    let resumed = tenancy.resume(&tenant).await;
    done(&tenancy, port, &place.after, resumed).await
}

async fn undelete(
    tenancy: Tenancy,
    _: MasterDb,
    port: Port,
    Path(id): Path<TenantId>,
    Form(place): Form<Place>,
) -> Result<Response> {
    let tenant = tenancy.find(&TenantKey::Id(id)).await?;
    let undeleted = tenancy.undelete(&tenant).await;
    done(&tenancy, port, &place.after, undeleted).await
}

/// The terms of the form. The message is what the customer's browser shows.
fn terms(typed: &Terms) -> Result<Suspension, String> {
    let mut terms = Suspension::new();
    if !typed.message.trim().is_empty() {
        let message = Line::parse(&typed.message).map_err(|why| format!("The message {why}."))?;
        terms = terms.saying(message.as_str());
    }
    Ok(if typed.read_only.is_some() { terms.read_only() } else { terms })
}

/// Leads back to the list, or shows it with the reason why the tenant's status does not allow this any more.
async fn done(tenancy: &Tenancy, port: Port, after: &str, result: Result<Tenant, Error>) -> Result<Response> {
    match result {
        Ok(_) => match Slug::parse(after) {
            Ok(slug) => Ok(Redirect::to(&format!("/operator?after={slug}")).into_response()),
            Err(_) => Ok(Redirect::to("/operator").into_response()),
        },
        Err(error) if matches!(error.kind(), ErrorKind::TenantUnavailable | ErrorKind::Conflict) => {
            show(StatusCode::CONFLICT, tenancy, port, after, Some(&error.to_string())).await
        }
        Err(error) => Err(error),
    }
}

async fn show(
    status: StatusCode,
    tenancy: &Tenancy,
    port: Port,
    after: &str,
    refusal: Option<&str>,
) -> Result<Response> {
    // What is no slug comes from no link of ours; the list begins at its beginning.
    let after = if Slug::parse(after).is_ok() { after } else { "" };
    let tenants = tenancy.tenants_after(after, MOST).await?;
    let is_full = tenants.len() == usize::try_from(MOST).unwrap_or(usize::MAX);
    let next = tenants.last().filter(|_| is_full).map(|tenant| tenant.slug().to_string());
    Ok(render(status, &OperatorPage { port, tenants, after, next, refusal }))
}
