//! The notes of a tenant, as a page and as an API.
//!
//! No statement here says whose notes it means: `note` is the table of the tenant whose host was
//! asked for.

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry::{Result, Tenant, TenantDb};

use crate::line::Line;
use crate::page::render;

#[derive(Serialize, sqlx::FromRow)]
pub(crate) struct Note {
    id: i64,
    title: String,
}

#[derive(Deserialize)]
pub(crate) struct NewNote {
    title: String,
}

#[derive(Template)]
#[template(path = "notes.html")]
struct NotesPage<'a> {
    tenant: &'a Tenant,
    notes: Vec<Note>,
    typed: &'a str,
    refusal: Option<&'a str>,
}

/// `GET /`
pub(crate) async fn page(db: &TenantDb) -> Result<Response> {
    show(StatusCode::OK, db, "", None).await
}

/// `POST /notes`, from the form on the page.
pub(crate) async fn submit(db: TenantDb, Form(new): Form<NewNote>) -> Result<Response> {
    match Line::parse(&new.title) {
        Ok(title) => insert(&db, &title).await?,
        Err(why) => return show(StatusCode::BAD_REQUEST, &db, &new.title, Some(why)).await,
    };
    Ok(Redirect::to("/").into_response())
}

/// `POST /notes/{id}/delete`, from the button beside a note. It may have been pressed twice.
pub(crate) async fn submit_deletion(db: TenantDb, Path(id): Path<i64>) -> Result<Redirect> {
    sqlx::query("DELETE FROM note WHERE id = $1").bind(id).execute(&db).await?;
    Ok(Redirect::to("/"))
}

/// `GET /api/notes`
pub(crate) async fn list(db: TenantDb) -> Result<Json<Vec<Note>>> {
    Ok(Json(latest(&db).await?))
}

/// `POST /api/notes`
pub(crate) async fn create(db: TenantDb, body: Result<Json<NewNote>, JsonRejection>) -> Result<Response> {
    let Json(new) = match body {
        Ok(new) => new,
        Err(rejection) => return Ok(problem(rejection.status(), &rejection.body_text())),
    };
    match Line::parse(&new.title) {
        Ok(title) => Ok((StatusCode::CREATED, Json(insert(&db, &title).await?)).into_response()),
        Err(why) => Ok(problem(StatusCode::BAD_REQUEST, &format!("The title {why}."))),
    }
}

/// `DELETE /api/notes/{id}`
pub(crate) async fn delete(db: TenantDb, id: Result<Path<i64>, PathRejection>) -> Result<Response> {
    let Path(id) = match id {
        Ok(id) => id,
        Err(rejection) => return Ok(problem(rejection.status(), &rejection.body_text())),
    };
    // No row to return is an error, and the error a 404.
    let delete = "DELETE FROM note WHERE id = $1 RETURNING id";
    sqlx::query_scalar::<_, i64>(delete).bind(id).fetch_one(&db).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /api/whoami`: the schema is what PostgreSQL says, not what we believe.
pub(crate) async fn who_am_i(tenant: Tenant, db: TenantDb) -> Result<Json<Value>> {
    let schema: String = sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&db).await?;
    Ok(Json(json!({ "tenant": tenant.slug(), "schema": schema })))
}

async fn latest(db: &TenantDb) -> Result<Vec<Note>> {
    Ok(sqlx::query_as("SELECT id, title FROM note ORDER BY id DESC LIMIT 100").fetch_all(db).await?)
}

async fn insert(db: &TenantDb, title: &Line) -> Result<Note> {
    let insert = "INSERT INTO note (title) VALUES ($1) RETURNING id, title";
    Ok(sqlx::query_as(insert).bind(title.as_str()).fetch_one(db).await?)
}

async fn show(status: StatusCode, db: &TenantDb, typed: &str, refusal: Option<&str>) -> Result<Response> {
    Ok(render(status, &NotesPage { tenant: db.tenant(), notes: latest(db).await?, typed, refusal }))
}

/// The answer for programs instead of a page (RFC 9457).
fn problem(status: StatusCode, title: &str) -> Response {
    let body = json!({ "status": status.as_u16(), "title": title });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response()
}
