use frameworks::Refused;
use frameworks::warp::{ask, routes, serve};
use hyper::body::Bytes;
use tenantry::TenantDb;
use warp::Filter as _;

use crate::bears_it;

async fn slow(db: Result<TenantDb, Refused>, body: Bytes) -> Result<String, Refused> {
    crate::slow(db?, &String::from_utf8_lossy(&body)).await
}

async fn panics(db: Result<TenantDb, Refused>, body: Bytes) -> Result<String, Refused> {
    crate::panics(db?, &String::from_utf8_lossy(&body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn warp_keeps_tenants_apart() {
    let slow = warp::path!("slow").and(warp::post()).and(ask()).and(warp::body::bytes()).then(slow);
    let panics = warp::path!("panic").and(warp::post()).and(ask()).and(warp::body::bytes()).then(panics);
    let routes = routes().or(slow).or(panics).boxed();
    bears_it(async move |listener, tenancy| serve(listener, &tenancy, routes).await.unwrap()).await;
}
