//! The notes of the tenant that a request is for.

use loco_rs::prelude::*;
use serde::Deserialize;
use tenantry::TenantDb;

use crate::models::_entities::notes;

#[derive(Deserialize)]
struct NewNote {
    title: String,
}

#[debug_handler]
async fn list(db: TenantDb) -> tenantry::Result<Json<Vec<notes::Model>>> {
    Ok(Json(notes::Entity::find().order_by_asc(notes::Column::Id).all(&db).await?))
}

#[debug_handler]
async fn add(db: TenantDb, Json(new): Json<NewNote>) -> tenantry::Result<Json<notes::Model>> {
    let note = notes::ActiveModel { title: Set(new.title), ..Default::default() };
    Ok(Json(note.insert(&db).await?))
}

pub fn routes() -> Routes {
    Routes::new().prefix("/api/notes").add("/", get(list)).add("/", post(add))
}
