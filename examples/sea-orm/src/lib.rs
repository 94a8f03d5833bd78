//! Tickets of many customers, with `SeaORM`: [`open`] prepares the database, [`app`] answers requests.

pub mod entity;

use std::path::Path;

use axum::extract::Path as Segment;
use axum::routing::{get, post};
use axum::{Json, Router};
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, DbErr, EntityTrait as _, QueryOrder as _};
use sea_orm::{IntoActiveModel as _, TransactionTrait as _};
use serde::{Deserialize, Serialize};
use tenantry::resolve::Subdomain;
use tenantry::{DatabaseConfig, ErrorKind, Fleet, Migrations, NewTenant, Result, Tenancy, TenantDb};

use self::entity::{comment, ticket};

/// Connects, brings all schemas up to date, and makes two customers.
///
/// # Errors
/// If the database cannot be reached, or a migration fails.
pub async fn open(url: &str) -> Result<Tenancy> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(url)?)
        .migrations(Migrations::from_dirs(folder.join("master"), folder.join("tenant"))?)
        .resolver(Subdomain::of("localhost")?)
        .install(true)
        .connect()
        .await?;
    tenancy.migrate(Fleet::all(), ()).await?;
    for slug in ["acme", "globex"] {
        match tenancy.create(NewTenant::new(slug)).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => drop(result?),
        }
    }
    Ok(tenancy)
}

/// Everything this application answers.
pub fn app(tenancy: &Tenancy) -> Router {
    Router::new()
        .route("/tickets", get(list).post(add))
        .route("/tickets/{id}/comments", post(comment_on))
        .route("/tickets/{id}/close", post(close))
        .layer(tenancy.layer())
}

/// A ticket, with what was said about it.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    ticket: ticket::Model,
    comments: Vec<String>,
}

async fn list(db: TenantDb) -> Result<Json<Vec<Listed>>> {
    let tickets = ticket::Entity::find().find_with_related(comment::Entity);
    let tickets = tickets.order_by_asc(ticket::Column::Id).order_by_asc(comment::Column::Id).all(&db).await?;
    let tickets = tickets.into_iter().map(|(ticket, comments)| Listed {
        ticket,
        comments: comments.into_iter().map(|comment| comment.body).collect(),
    });
    Ok(Json(tickets.collect()))
}

#[derive(Deserialize)]
struct NewTicket {
    title: String,
    mood: ticket::Mood,
}

async fn add(db: TenantDb, Json(new): Json<NewTicket>) -> Result<Json<ticket::Model>> {
    let ticket = ticket::ActiveModel { title: Set(new.title), mood: Set(new.mood), ..Default::default() };
    Ok(Json(ticket.insert(&db).await?))
}

#[derive(Deserialize)]
struct NewComment {
    body: String,
}

async fn comment_on(
    db: TenantDb,
    Segment(id): Segment<i64>,
    Json(new): Json<NewComment>,
) -> Result<Json<comment::Model>> {
    let ticket = ticket::Entity::find_by_id(id).one(&db).await?.ok_or_else(|| not_found(id))?;
    let comment =
        comment::ActiveModel { ticket_id: Set(ticket.id), body: Set(new.body), ..Default::default() };
    Ok(Json(comment.insert(&db).await?))
}

/// Closes a ticket with a last comment: both, or neither.
async fn close(
    db: TenantDb,
    Segment(id): Segment<i64>,
    Json(last): Json<NewComment>,
) -> Result<Json<ticket::Model>> {
    let closed = db.transaction::<_, _, DbErr>(|tx| {
        Box::pin(async move {
            let ticket = ticket::Entity::find_by_id(id).one(tx).await?.ok_or_else(|| not_found(id))?;
            let mut ticket = ticket.into_active_model();
            ticket.mood = Set(ticket::Mood::Closed);
            let ticket = ticket.update(tx).await?;
            let comment =
                comment::ActiveModel { ticket_id: Set(id), body: Set(last.body), ..Default::default() };
            comment.insert(tx).await?;
            Ok(ticket)
        })
    });
    Ok(Json(closed.await?))
}

/// Becomes a 404.
fn not_found(id: i64) -> DbErr {
    DbErr::RecordNotFound(format!("ticket {id}"))
}
