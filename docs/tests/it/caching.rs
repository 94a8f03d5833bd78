use std::collections::HashMap;
use std::sync::Mutex;

use tenantry::TenantDb;
use tenantry::tenant::CacheKey;

/// Or a `moka::future::Cache<CacheKey, i64>`; with Redis, `redis.get(key.as_str())`.
static COUNTS: Mutex<Option<HashMap<CacheKey, i64>>> = Mutex::new(None);

async fn count(db: &TenantDb) -> tenantry::Result<i64> {
    let key = db.tenant().key("notes/count");
    if let Some(count) = COUNTS.lock().unwrap().get_or_insert_default().get(&key) {
        return Ok(*count);
    }
    let count = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(db).await?;
    COUNTS.lock().unwrap().get_or_insert_default().insert(key, count);
    Ok(count)
}

use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use tenantry::resolve::Header;

fn by_gateway() -> Result<Header, tenantry::resolve::InvalidResolver> {
    Header::named("x-tenant")?.trusting(["10.0.0.0/8"])
}

/// May be kept by every cache on the way, for each tenant by itself: `Vary: x-tenant` is there already.
async fn logo(db: TenantDb) -> impl IntoResponse {
    ([(CACHE_CONTROL, "public, max-age=3600")], format!("<svg><!-- {} --></svg>", db.tenant().slug()))
}

use axum::Router;
use axum::routing::get;
use tower::ServiceExt as _;

use crate::support::{add, migrations, request, world, world_with};

#[tokio::test]
async fn what_is_kept_for_one_tenant_is_given_to_no_other() {
    let world = world().await;
    add(&world.acme(), "one").await;
    assert_eq!(count(&world.acme()).await.unwrap(), 1);
    assert_eq!(count(&world.globex()).await.unwrap(), 0);
    add(&world.acme(), "two").await;
    // Of the cache.
    assert_eq!(count(&world.acme()).await.unwrap(), 1);
}

#[tokio::test]
async fn an_answer_names_the_header_that_chose_the_tenant() {
    let world = world_with(by_gateway().unwrap(), migrations()).await;
    let app = Router::new().route("/logo", get(logo)).layer(world.tenancy.layer());
    let mut request = request("inside", "/logo");
    request.headers_mut().insert("x-tenant", "acme".parse().unwrap());
    request.extensions_mut().insert(tenantry::http::Peer([10, 0, 0, 1].into()));
    let answer = app.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["vary"], "x-tenant");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=3600");
}
