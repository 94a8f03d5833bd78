use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::open;

async fn ask(app: &Router, line: &str, body: &str) -> (StatusCode, String) {
    let (method, url) = line.split_once(' ').unwrap();
    let (host, path) = url.split_once('/').unwrap();
    let request = Request::builder().method(method).uri(format!("/{path}")).header("host", host);
    let request = request.header("content-type", "application/json").body(Body::from(body.to_owned()));
    let response = app.clone().oneshot(request.unwrap()).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn json_of(app: &Router, line: &str) -> Value {
    let (status, body) = ask(app, line, "").await;
    assert_eq!(status, StatusCode::OK, "{line}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn a_query_that_is_checked_once_runs_for_each_tenant_and_for_the_master() {
    let (tenancy, _database) = open().await;
    let app = checked::app(&tenancy);
    let ticket = |title: &str| json!({ "title": title, "assignee": null }).to_string();

    // The plan of acme, in a table of the master, allows two.
    for (title, status) in [("skates", 201), ("anvil", 201), ("magnet", 402)] {
        let (answer, body) = ask(&app, "POST acme.localhost/tickets", &ticket(title)).await;
        assert_eq!(answer, status, "{title}: {body}");
    }
    let new = r#"{ "title": "orchids", "assignee": "Scorpio" }"#;
    assert_eq!(ask(&app, "POST globex.localhost/tickets", new).await.0, 201);

    // The same types in both schemas, with an identity of their own: first one, then the other, then the first again.
    let done = json_of(&app, "PUT acme.localhost/tickets/1/done").await;
    assert_eq!(done, json!({ "id": 1, "title": "skates", "state": "done", "assignee": null }));
    let other = json_of(&app, "GET globex.localhost/tickets?state=open").await;
    assert_eq!(other, json!([{ "id": 1, "title": "orchids", "state": "open", "assignee": "Scorpio" }]));
    assert_eq!(json_of(&app, "GET acme.localhost/tickets?state=done").await, json!([done]));
    assert_eq!(json_of(&app, "GET acme.localhost/tickets").await.as_array().unwrap().len(), 2);
    assert_eq!(ask(&app, "PUT globex.localhost/tickets/2/done", "").await.0, 404);
    assert_eq!(ask(&app, "POST acme.localhost/tickets", &ticket("magnet")).await.0, 201);

    let plans = json!([{ "name": "free", "max_open": 2 }, { "name": "pro", "max_open": null }]);
    assert_eq!(json_of(&app, "GET localhost/plans").await, plans);
    assert_eq!(ask(&app, "GET acme.localhost/plans", "").await.0, 404);
}

#[tokio::test]
async fn a_name_that_both_schemas_have_is_the_tenants() {
    let (tenancy, _database) = open().await;
    let acme = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    sqlx::query("INSERT INTO notice (body) VALUES ('To Acme')").execute(&acme).await.unwrap();
    sqlx::query("INSERT INTO notice VALUES ('To all')").execute(&tenancy.master()).await.unwrap();
    let app = checked::app(&tenancy);
    assert_eq!(json_of(&app, "GET acme.localhost/notices").await, json!(["To all", "To Acme"]));
    assert_eq!(json_of(&app, "GET globex.localhost/notices").await, json!(["To all"]));
}

#[test]
fn the_migrations_are_such_as_the_lint_wants_them() {
    let migrations = tenantry::Migrations::from_dirs("migrations/master", "migrations/tenant").unwrap();
    assert_eq!(migrations.lint(), []);
}
