use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tenantry::http::{BypassKey, Rejection};
use tenantry::tenant::Suspension;
use tenantry::{Tenancy, Tenant, TenantDb};
use time::{Duration, OffsetDateTime};

async fn suspend(tenancy: &Tenancy, tenant: &Tenant) -> tenantry::Result<Tenant> {
    let terms = Suspension::new()
        .because("invoice 4711 is open") // for operators
        .saying("Please pay your invoice.") // for the customer
        .until(OffsetDateTime::now_utc() + Duration::days(14));
    tenancy.suspend(tenant, terms).await
}

fn app(tenancy: &Tenancy, key: BypassKey) -> Router {
    let layer = tenancy.layer().bypass(key).on_rejection(answer);
    Router::new().route("/count", get(count)).layer(layer)
}

fn answer(rejection: Rejection) -> Response {
    match rejection.suspension().and_then(Suspension::message) {
        Some(message) => (rejection.status(), format!("Sorry! {message}")).into_response(),
        None => rejection.into_response(), // the usual answer
    }
}

async fn count(db: TenantDb) -> tenantry::Result<String> {
    let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await?;
    Ok(notes.to_string())
}

use axum::http::HeaderValue;
use tenantry::http::BYPASS;
use tower::ServiceExt as _;

use crate::support::{add, ask, request, world};

#[tokio::test]
async fn a_suspended_tenant_is_answered_for_and_support_staff_get_in() {
    let world = world().await;
    add(&world.acme(), "one").await;
    let key = BypassKey::new("0123456789abcdef0123456789abcdef").unwrap();
    let bypass = key.sign(world.acme.id(), OffsetDateTime::now_utc() + Duration::HOUR);
    let app = app(&world.tenancy, key);
    assert_eq!(ask(&app, "acme.example.com", "/count").await, (200.try_into().unwrap(), "1".to_owned()));

    suspend(&world.tenancy, &world.acme).await.unwrap();
    let (status, body) = ask(&app, "acme.example.com", "/count").await;
    assert_eq!((status.as_u16(), body.as_str()), (503, "Sorry! Please pay your invoice."));
    assert_eq!(ask(&app, "globex.example.com", "/count").await.1, "0");
    let mut request = request("acme.example.com", "/count");
    request.headers_mut().insert(BYPASS, HeaderValue::from_str(&bypass).unwrap());
    assert_eq!(app.clone().oneshot(request).await.unwrap().status().as_u16(), 200);

    world.tenancy.resume(&world.acme).await.unwrap();
    assert_eq!(ask(&app, "acme.example.com", "/count").await.1, "1");
}
