use tenantry::TenantDb;
use tenantry::http::grpc;
use tonic::{Request, Response, Status};

async fn count(request: Request<()>) -> Result<Response<i64>, Status> {
    let db: TenantDb = grpc::extract(&request).await?;
    Ok(Response::new(count_in(&db).await?))
}

async fn count_in(db: &TenantDb) -> tenantry::Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(db).await?)
}

use std::pin::Pin;

use futures_util::{Stream, TryStreamExt as _};

type Titles = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

async fn list(request: Request<()>) -> Result<Response<Titles>, Status> {
    let db: TenantDb = grpc::extract(&request).await?;
    let titles = db.fetch_owned::<(String,)>(sqlx::query("SELECT title FROM note ORDER BY id"));
    let titles = titles.map_ok(|(title,)| title);
    Ok(Response::new(Box::pin(titles.map_err(|error| tenantry::Error::from(error).into()))))
}

use tonic::Code;

use crate::support::{World, add, request, world};

/// A call as tonic gives it to a method, once the layer has seen it.
fn call(world: &World, host: &str) -> Request<()> {
    let (mut head, _) = request(host, "/notes.Notes/Count").into_parts();
    world.tenancy.layer().resolve(&mut head);
    Request::from_parts(tonic::metadata::MetadataMap::new(), head.extensions, ())
}

#[tokio::test]
async fn methods_see_their_tenant_and_fail_with_a_status() {
    let world = world().await;
    add(&world.acme(), "one").await;
    assert_eq!(count(call(&world, "acme.example.com")).await.unwrap().into_inner(), 1);
    assert_eq!(count(call(&world, "globex.example.com")).await.unwrap().into_inner(), 0);
    let titles = list(call(&world, "acme.example.com")).await.unwrap().into_inner();
    assert_eq!(titles.try_collect::<Vec<_>>().await.unwrap(), ["one"]);

    let unknown = count(call(&world, "nobody.example.com")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    world.suspend_acme().await;
    let suspended = count(call(&world, "acme.example.com")).await.unwrap_err();
    assert_eq!(suspended.code(), Code::FailedPrecondition);
}
