use tenantry::TenantDb;
use tenantry::testing::World;

#[tenantry::test(tenants("acme", "globex"))]
async fn notes_stay_with_their_tenant(acme: TenantDb, globex: TenantDb) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO note (title) VALUES ('Buy anvils')").execute(&acme).await?;
    let others: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&globex).await?;
    assert_eq!(others, 0);
    Ok(())
}

use axum::body::{Body, to_bytes};
use axum::routing::get;
use axum::{Json, Router};
use tenantry::Tenancy;
use tower::ServiceExt as _;

fn app(tenancy: &Tenancy) -> Router {
    Router::new().route("/notes", get(list)).layer(tenancy.layer())
}

async fn list(db: TenantDb) -> tenantry::Result<Json<Vec<String>>> {
    Ok(Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
}

#[tenantry::test(tenants("acme", "globex"))]
async fn a_page_shows_the_notes_of_its_tenant(
    world: World,
    acme: TenantDb,
) -> Result<(), Box<dyn std::error::Error>> {
    sqlx::query("INSERT INTO note (title) VALUES ('Buy anvils')").execute(&acme).await?;
    let request = world.request("acme").uri("/notes").body(Body::empty())?;
    let response = app(world.tenancy()).oneshot(request).await?;
    assert_eq!(to_bytes(response.into_body(), 1000).await?, r#"["Buy anvils"]"#);
    Ok(())
}

use tenantry::testing::run;

#[tokio::test]
async fn a_function_does_the_same() -> Result<(), sqlx::Error> {
    run(World::builder().tenants(["acme"]), async |world| {
        sqlx::query("INSERT INTO note (title) VALUES ('Buy anvils')").execute(&world.db("acme")).await?;
        Ok(())
    })
    .await
}

use tenantry::{DatabaseConfig, Migrations, NewTenant};
use tenantry_embedded::ScratchDatabase;

#[tokio::test]
async fn a_tenant_begins_without_notes() -> Result<(), Box<dyn std::error::Error>> {
    let database = ScratchDatabase::create().await?;
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(database.url())?)
        .migrations(Migrations::from_dirs("migrations/master", "migrations/tenant")?)
        .install(true)
        .connect()
        .await?;
    let acme = tenancy.db(&tenancy.create(NewTenant::new("acme")).await?)?;
    let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&acme).await?;
    assert_eq!(notes, 0);
    Ok(())
}

#[test]
fn the_migrations_of_these_pages_are_such_as_the_lint_wants_them() {
    assert_eq!(crate::support::migrations().lint(), []);
}
