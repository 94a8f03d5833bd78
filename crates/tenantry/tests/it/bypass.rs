//! Bypasses of a suspension, for whatever handle a handler asks for: sqlx, `SeaORM`, tokio-postgres, Diesel.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl as _;
use http::request::Parts;
use http::{HeaderValue, Request};
use sea_orm::ConnectionTrait as _;
use tenantry::http::{BYPASS, BypassKey, Extract, Resolved, grpc};
use tenantry::pool::{TenantClient, TenantDiesel};
use tenantry::tenant::{Suspension, Tenant};
use tenantry::{Error, ErrorKind, NewTenant, Result, TenantDb, TenantReadDb};
use time::OffsetDateTime;

use crate::http::{Application, by_subdomain, request, send};
use crate::support::check_error;

const SCHEMA: &str = "SELECT current_schema()::text AS name";
const WRITE: &str = "CREATE TABLE IF NOT EXISTS here (id int)";
const PATHS: [&str; 5] = ["/sqlx", "/replica", "/sea-orm", "/tokio-postgres", "/diesel"];

#[derive(diesel::QueryableByName)]
struct Schema {
    #[diesel(sql_type = Text)]
    name: String,
}

async fn by_sqlx(db: TenantDb) -> Result<String> {
    Ok(sqlx::query_scalar(SCHEMA).fetch_one(&db).await?)
}

async fn by_replica(db: TenantReadDb) -> Result<String> {
    Ok(sqlx::query_scalar(SCHEMA).fetch_one(&db).await?)
}

async fn by_sea_orm(db: TenantDb) -> Result<String> {
    let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, SCHEMA);
    let row = db.query_one_raw(statement).await?.expect("a row");
    Ok(row.try_get("", "name")?)
}

async fn by_client(client: TenantClient) -> Result<String> {
    Ok(client.query_one(SCHEMA, &[]).await?.get("name"))
}

async fn by_diesel(mut db: TenantDiesel) -> Result<String> {
    Ok(diesel::sql_query(SCHEMA).get_result::<Schema>(&mut db).await?.name)
}

async fn write_by_sea_orm(db: TenantDb) -> Result<()> {
    Ok(db.execute_unprepared(WRITE).await.map(drop)?)
}

async fn write_by_client(client: TenantClient) -> Result<()> {
    client.batch_execute(WRITE).await
}

async fn write_by_diesel(mut db: TenantDiesel) -> Result<()> {
    Ok(diesel::sql_query(WRITE).execute(&mut db).await.map(drop)?)
}

fn routes() -> Router {
    Router::new()
        .route("/sqlx", get(by_sqlx))
        .route("/replica", get(by_replica))
        .route("/sea-orm", get(by_sea_orm).post(write_by_sea_orm))
        .route("/tokio-postgres", get(by_client).post(write_by_client))
        .route("/diesel", get(by_diesel).post(write_by_diesel))
}

fn key() -> BypassKey {
    BypassKey::new("k".repeat(32)).unwrap()
}

/// The status of an answer to a request that carries this, and its body.
async fn ask(application: &Application, method: &str, path: &str, bypass: &str) -> (u16, String) {
    let mut request = request("acme.example.com", path);
    *request.method_mut() = method.parse().unwrap();
    request.headers_mut().insert(BYPASS, HeaderValue::from_str(bypass).unwrap());
    let answer = send(routes().layer(application.tenancy.layer().bypass(key())), request).await;
    (answer.status.as_u16(), answer.body)
}

async fn suspend(application: &Application, terms: Suspension) -> Tenant {
    let acme = application.tenancy.tenant("acme").await.unwrap();
    application.tenancy.suspend(&acme, terms).await.unwrap()
}

#[tokio::test]
async fn a_bypass_leads_to_its_tenant_through_every_kind_of_handle() {
    let application = by_subdomain().await;
    let globex = application.tenancy.create(NewTenant::new("globex")).await.unwrap();
    let acme = suspend(&application, Suspension::new()).await;
    let in_an_hour = OffsetDateTime::now_utc() + time::Duration::HOUR;
    let (good, strangers) = (key().sign(acme.id(), in_an_hour), key().sign(globex.id(), in_an_hour));
    for path in PATHS {
        assert_eq!(ask(&application, "GET", path, "nothing").await.0, 503, "{path}");
        assert_eq!(ask(&application, "GET", path, &strangers).await.0, 503, "{path}");
        assert_eq!(ask(&application, "GET", path, &good).await, (200, acme.schema().to_string()), "{path}");
    }
    let writing = &PATHS[2..];
    for path in writing {
        assert_eq!(ask(&application, "POST", path, &good).await.0, 200, "{path}");
    }

    suspend(&application, Suspension::new().read_only()).await;
    for path in PATHS {
        assert_eq!(ask(&application, "GET", path, &good).await.0, 200, "{path}");
    }
    for path in writing {
        assert_eq!(ask(&application, "POST", path, &good).await.0, 503, "nothing is written: {path}");
    }
}

/// The head of a request that carries this, as the layer leaves it.
fn head(application: &Application, bypass: &str) -> Parts {
    let (mut head, ()) = Request::get("/").header("host", "acme.example.com").body(()).unwrap().into_parts();
    head.headers.insert(BYPASS, HeaderValue::from_str(bypass).unwrap());
    let _ = application.tenancy.layer().bypass(key()).resolve(&mut head);
    head
}

#[tokio::test]
async fn a_handle_that_is_kept_ends_with_its_bypass_whatever_it_is_of() {
    let application = by_subdomain().await;
    let acme = suspend(&application, Suspension::new()).await;
    let until = OffsetDateTime::now_utc() + time::Duration::seconds(3);
    let head = head(&application, &key().sign(acme.id(), until));
    let db = TenantDb::extract(&head).await.unwrap();
    let client = TenantClient::extract(&head).await.unwrap();
    let diesel = TenantDiesel::extract(&head).await.unwrap();
    by_sea_orm(db.clone()).await.unwrap();
    by_client(client.clone()).await.unwrap();
    by_diesel(diesel.clone()).await.unwrap();

    tokio::time::sleep(Duration::from_secs(4)).await;
    check_error(by_sqlx(db.clone()).await, ErrorKind::Suspended, &["acme"]);
    check_error(by_sea_orm(db).await, ErrorKind::Suspended, &["acme"]);
    check_error(by_client(client).await, ErrorKind::Suspended, &["acme"]);
    check_error(by_diesel(diesel).await, ErrorKind::Suspended, &["acme"]);
}

#[tokio::test]
async fn a_method_of_grpc_gets_every_kind_of_handle_by_a_bypass() {
    let application = by_subdomain().await;
    let acme = suspend(&application, Suspension::new()).await;
    let in_an_hour = OffsetDateTime::now_utc() + time::Duration::HOUR;
    let head = head(&application, &key().sign(acme.id(), in_an_hour));
    let mut call = tonic::Request::new(());
    call.extensions_mut().insert(head.extensions.get::<Resolved>().unwrap().clone());
    let schema = acme.schema().as_str();
    assert_eq!(by_sqlx(grpc::extract(&call).await.unwrap()).await.unwrap(), schema);
    assert_eq!(by_client(grpc::extract(&call).await.unwrap()).await.unwrap(), schema);
    assert_eq!(by_diesel(grpc::extract(&call).await.unwrap()).await.unwrap(), schema);
    let without: Error = application.tenancy.client(&acme).unwrap_err();
    assert_eq!(without.kind(), ErrorKind::Suspended);
}
