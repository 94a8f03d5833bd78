use actix_web::{App, HttpServer, web};
use tenantry::{Tenancy, TenantDb};
use tenantry_actix::{Ask, Result, Tenants};

async fn list(Ask(db): Ask<TenantDb>) -> Result<web::Json<Vec<String>>> {
    Ok(web::Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
}

async fn serve(tenancy: Tenancy) -> std::io::Result<()> {
    let app = move || App::new().wrap(Tenants::new(&tenancy)).route("/notes", web::get().to(list));
    HttpServer::new(app).h1_allow_half_closed(false).bind("127.0.0.1:8080")?.run().await
}

use actix_web::{HttpResponse, ResponseError as _};
use tenantry_actix::Rejection;

fn sorry(rejection: Rejection) -> HttpResponse {
    match rejection.suspension().and_then(|suspension| suspension.message()) {
        Some(message) => HttpResponse::build(rejection.status_code()).body(format!("Sorry! {message}")),
        None => rejection.error_response(),
    }
}

fn tenants(tenancy: &Tenancy) -> Tenants {
    Tenants::new(tenancy).on_rejection(sorry).redirect_renamed()
}

use futures_util::TryStreamExt as _;

async fn export(Ask(db): Ask<TenantDb>) -> HttpResponse {
    let titles = db.fetch_owned::<(String,)>(sqlx::query("SELECT title FROM note ORDER BY id"));
    HttpResponse::Ok().streaming(titles.map_ok(|(title,)| web::Bytes::from(title + "\n")))
}

use actix_web::test;

use crate::support::{World, add, world};

/// Status and body of the answer to a request without a port.
async fn ask(world: &World, host: &str, path: &str) -> (u16, String) {
    let app = App::new().wrap(tenants(&world.tenancy)).route("/notes", web::get().to(list));
    let app = test::init_service(app.route("/export", web::get().to(export))).await;
    let request = test::TestRequest::with_uri(path).insert_header(("host", host)).to_request();
    let response = test::call_service(&app, request).await;
    let status = response.status().as_u16();
    (status, String::from_utf8(test::read_body(response).await.to_vec()).unwrap())
}

#[tokio::test]
async fn handlers_see_their_tenant_and_reject_in_own_words() {
    let world = world().await;
    for title in ["one", "two"] {
        add(&world.acme(), title).await;
    }
    assert_eq!(ask(&world, "acme.example.com", "/notes").await, (200, r#"["one","two"]"#.to_owned()));
    assert_eq!(ask(&world, "globex.example.com", "/notes").await, (200, "[]".to_owned()));
    assert_eq!(ask(&world, "acme.example.com", "/export").await, (200, "one\ntwo\n".to_owned()));
    assert_eq!(ask(&world, "nobody.example.com", "/notes").await.0, 404);

    let terms = tenantry::tenant::Suspension::new().saying("Please pay");
    world.tenancy.suspend(&world.acme, terms).await.unwrap();
    assert_eq!(ask(&world, "acme.example.com", "/notes").await, (503, "Sorry! Please pay".to_owned()));
    // The server of the page is the one of the example, which its own test runs.
    let _ = serve;
}
