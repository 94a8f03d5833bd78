use frameworks::Refused;
use frameworks::salvo::{ask, routes, serve};
use salvo::handler;
use salvo::prelude::{Depot, Request, Router};

use crate::bears_it;

async fn body(request: &mut Request) -> String {
    String::from_utf8(request.payload().await.unwrap().to_vec()).unwrap()
}

#[handler]
async fn slow(depot: &Depot, request: &mut Request) -> Result<String, Refused> {
    crate::slow(ask(depot).await?, &body(request).await).await
}

#[handler]
async fn panics(depot: &Depot, request: &mut Request) -> Result<String, Refused> {
    crate::panics(ask(depot).await?, &body(request).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn salvo_keeps_tenants_apart() {
    let bad_endings = [Router::with_path("slow").post(slow), Router::with_path("panic").post(panics)];
    let routes = routes().append(&mut bad_endings.into());
    bears_it(async move |listener, tenancy| serve(listener, &tenancy, routes).await.unwrap()).await;
}
