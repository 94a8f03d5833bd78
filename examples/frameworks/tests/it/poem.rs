use frameworks::Refused;
use frameworks::poem::{Ask, routes, serve};
use poem::{handler, post};
use tenantry::TenantDb;

use crate::bears_it;

#[handler]
async fn slow(Ask(db): Ask<TenantDb>, title: String) -> Result<String, Refused> {
    crate::slow(db, &title).await
}

#[handler]
async fn panics(Ask(db): Ask<TenantDb>, title: String) -> Result<String, Refused> {
    crate::panics(db, &title).await
}

#[tokio::test(flavor = "multi_thread")]
async fn poem_keeps_tenants_apart() {
    let routes = routes().at("/slow", post(slow)).at("/panic", post(panics));
    bears_it(async move |listener, tenancy| serve(listener, &tenancy, routes).await.unwrap()).await;
}
