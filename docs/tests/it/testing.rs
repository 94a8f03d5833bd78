use axum::routing::get;
use axum::{Json, Router};
use tenantry::{Tenancy, TenantDb};

fn app(tenancy: &Tenancy) -> Router {
    Router::new().route("/notes", get(list)).layer(tenancy.layer())
}

async fn list(db: TenantDb) -> tenantry::Result<Json<Vec<String>>> {
    Ok(Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
}

use axum::body::{Body, to_bytes};
use axum::http::Request;
use tenantry::resolve::Subdomain;
use tenantry::{DatabaseConfig, Migrations, NewTenant};
use tenantry_embedded::ScratchDatabase;
use tower::ServiceExt as _;

#[tokio::test]
async fn tenants_see_their_own_notes() -> Result<(), Box<dyn std::error::Error>> {
    let database = ScratchDatabase::create().await?;
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(database.url())?)
        .migrations(Migrations::from_dirs("migrations/master", "migrations/tenant")?)
        .resolver(Subdomain::of("example.com")?)
        .install(true)
        .connect()
        .await?;
    for slug in ["acme", "globex"] {
        let db = tenancy.db(&tenancy.create(NewTenant::new(slug)).await?)?;
        sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(slug).execute(&db).await?;
    }

    let request = Request::get("/notes").header("host", "acme.example.com").body(Body::empty())?;
    let response = app(&tenancy).oneshot(request).await?;
    assert_eq!(to_bytes(response.into_body(), 1000).await?, r#"["acme"]"#);
    Ok(())
}

#[test]
fn the_migrations_of_these_pages_are_such_as_the_lint_wants_them() {
    assert_eq!(crate::support::migrations().lint(), []);
}
