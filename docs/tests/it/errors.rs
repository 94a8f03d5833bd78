use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use tenantry::http::{Rejection, RejectionKind};
use tenantry::{Error, Tenancy, TenantDb};

fn app(tenancy: &Tenancy) -> Router {
    Router::new().route("/notes", get(list).post(add)).layer(tenancy.layer().on_rejection(answer))
}

fn answer(rejection: Rejection) -> Response {
    match rejection.kind() {
        _ if rejection.wants_json() => rejection.into_response(), // the usual answer
        RejectionKind::UnknownTenant => Redirect::to("https://example.com/signup").into_response(),
        _ => (rejection.status(), Html("<h1>Sorry</h1>")).into_response(),
    }
}

async fn list(db: TenantDb) -> tenantry::Result<Json<Vec<String>>> {
    Ok(Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
}

async fn add(db: TenantDb, title: String) -> tenantry::Result<StatusCode> {
    let insert = sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title);
    match insert.execute(&db).await.map_err(Error::from) {
        Ok(_) => Ok(StatusCode::CREATED),
        Err(error) if error.constraint() == Some("note_title_key") => Ok(StatusCode::CONFLICT),
        Err(error) => Err(error),
    }
}

enum Next {
    RetrySoon,
    RetryLater,
    GiveUp,
}

fn next(error: &Error) -> Next {
    match error {
        _ if error.is_retryable() => Next::RetrySoon,
        _ if error.is_permanent() => Next::GiveUp,
        _ => Next::RetryLater, // a tenant that is suspended, a table that is not migrated yet
    }
}

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt as _;

use crate::support::{add as insert, ask, request, world};

#[tokio::test]
async fn rejections_are_answered_in_words_of_the_application() {
    let world = world().await;
    let app = app(&world.tenancy);
    assert_eq!(
        ask(&app, "example.com", "/notes").await,
        (StatusCode::NOT_FOUND, "<h1>Sorry</h1>".to_owned())
    );
    let unknown = app.clone().oneshot(request("nobody.example.com", "/notes")).await.unwrap();
    assert_eq!(unknown.headers()["location"], "https://example.com/signup");
    let mut program = request("nobody.example.com", "/notes");
    program.headers_mut().insert("accept", "application/json".parse().unwrap());
    let usual = app.oneshot(program).await.unwrap();
    assert_eq!(usual.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_broken_constraint_is_the_answer_the_application_chose() {
    let world = world().await;
    let app = app(&world.tenancy);
    for status in [StatusCode::CREATED, StatusCode::CONFLICT] {
        let post =
            Request::post("/notes").header("host", "acme.example.com").body(Body::from("anvil")).unwrap();
        assert_eq!(app.clone().oneshot(post).await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn a_job_knows_whether_to_come_back() {
    let world = world().await;
    insert(&world.acme(), "anvil").await;
    let failed =
        async |sql: &'static str| Error::from(sqlx::query(sql).execute(&world.acme()).await.unwrap_err());
    let taken = failed("INSERT INTO note (title) VALUES ('anvil')").await;
    assert!(matches!(next(&taken), Next::GiveUp));
    assert!(matches!(next(&failed("SELECT FROM later").await), Next::RetryLater));
    assert!(matches!(next(&sqlx::Error::PoolTimedOut.into()), Next::RetrySoon));
}
