//! Notes on warp.

mod tenants;

use hyper::body::Bytes;
use tenantry::TenantDb;
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::reply::{Json, Reply, json};

pub use self::tenants::{ask, serve};
use crate::refused::Refused;

async fn list(db: Result<TenantDb, Refused>) -> Result<Json, Refused> {
    let titles = sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db?).await?;
    Ok(json::<Vec<String>>(&titles))
}

/// The routes, which are the same for all tenants.
pub fn routes() -> BoxedFilter<(impl Reply,)> {
    let notes = warp::path("notes").and(warp::path::end());
    let list = notes.and(warp::get()).and(ask()).then(list);
    let add = notes.and(warp::post()).and(ask()).and(warp::body::bytes()).then(add);
    list.or(add).boxed()
}

async fn add(db: Result<TenantDb, Refused>, body: Bytes) -> Result<String, Refused> {
    let title = String::from_utf8_lossy(&body);
    let mut tx = db?.begin().await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(&title).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(title.into_owned())
}
