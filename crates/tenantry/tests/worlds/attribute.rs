//! Tests that are made by the attribute: what they get, and how they end.

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use axum::routing::get;
use axum::{Json, Router};
use sqlx::PgPool;
use tenantry::http::Peer;
use tenantry::resolve::Subdomain;
use tenantry::tenant::Tenant;
use tenantry::testing::{World, run};
use tenantry::{Builder, MasterDb, Migrations, Slug, Tenancy, TenantDb, TenantReadDb};
use tower::ServiceExt as _;

use super::{count, world};

async fn add(db: &TenantDb, title: &str) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(db).await.map(drop)
}

async fn titles(db: TenantDb) -> tenantry::Result<Json<Vec<String>>> {
    Ok(Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
}

#[tenantry::test(migrations = "tests/worlds/migrations", tenants("acme", "globex"))]
async fn a_test_gets_its_tenants_by_name(
    world: World,
    acme: TenantDb,
    globex: TenantDb,
) -> Result<(), sqlx::Error> {
    add(&acme, "Buy anvils").await?;
    assert_eq!((count(&acme).await, count(&globex).await), (1, 0));
    assert_eq!(world.tenant("globex"), globex.tenant());
    Ok(())
}

#[tenantry::test]
async fn nothing_has_to_be_given(world: World, master: MasterDb) {
    assert_eq!(world.tenancy().tenants_after("", 10).await.unwrap(), []);
    let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&master).await.unwrap();
    assert_eq!(one, 1);
}

#[tenantry::test(
    migrations(tenant = "tests/worlds/migrations/tenant"),
    tenants("acme-eu", "globex"),
    domain = "example.org",
    flavor = "multi_thread"
)]
async fn a_slug_is_written_as_a_name(
    world: World,
    tenancy: Tenancy,
    acme_eu: Tenant,
    _globex: TenantReadDb,
) -> Result<(), Box<dyn std::error::Error>> {
    assert_eq!(tenancy.tenant("acme-eu").await?, acme_eu);
    let request = world.request("acme-eu").body(())?;
    assert_eq!(request.headers()[header::HOST], "acme-eu.example.org");
    assert!(request.extensions().get::<Peer>().is_some());
    tokio::task::block_in_place(|| ());
    Ok(())
}

#[tenantry::test(migrations = "tests/worlds/migrations", tenants("acme", "globex"))]
async fn a_request_reaches_the_tenant_of_its_host(world: World, acme: TenantDb) {
    add(&acme, "Buy anvils").await.unwrap();
    let app = Router::new().route("/", get(titles)).layer(world.tenancy().layer());
    for (slug, expect) in [("acme", r#"["Buy anvils"]"#), ("globex", "[]")] {
        let request: Request<Body> = world.request(slug).uri("/").body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(to_bytes(response.into_body(), 1000).await.unwrap(), expect);
    }
}

#[tenantry::test(migrations = "tests/worlds/flat")]
async fn an_application_without_tenants_gets_a_pool(
    pool: PgPool,
    master: MasterDb,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO item (name) VALUES ('anvil')").execute(&pool).await?;
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM item").fetch_all(&master).await?;
    assert_eq!(names, ["anvil"]);
    Ok(())
}

#[tenantry::test(migrations = "tests/worlds/migrations", tenants("acme", "globex"), behind_pooler)]
async fn a_pooler_stands_in_front_if_that_is_asked_for(world: World, acme: TenantDb, globex: TenantDb) {
    assert_ne!(world.url(), world.direct_url());
    add(&acme, "Buy anvils").await.unwrap();
    assert_eq!((count(&acme).await, count(&globex).await), (1, 0));
    assert!(acme.acquire().await.is_err(), "no session lasts behind a pooler");
}

#[cfg(feature = "tokio-postgres")]
#[tenantry::test(migrations = "tests/worlds/migrations", tenants("acme", "globex"))]
async fn a_client_is_a_tenants_too(
    acme: tenantry::pool::TenantClient,
    globex: TenantDb,
) -> tenantry::Result<()> {
    acme.execute("INSERT INTO note (title) VALUES ('Buy anvils')", &[]).await?;
    assert_eq!(count(&globex).await, 0);
    Ok(())
}

fn migrations() -> Migrations {
    let tenant = "tests/worlds/migrations/tenant";
    Migrations::from_dirs("tests/worlds/migrations/master", tenant).unwrap()
}

fn at_another_domain(builder: Builder) -> Builder {
    builder.resolver(Subdomain::of("example.net").unwrap()).operator("test")
}

#[tenantry::test(migrations = migrations(), tenants("acme"), domain = "example.net", configure = at_another_domain)]
async fn the_builder_is_the_applications(world: World) {
    let head = world.request("acme").body(()).unwrap();
    let resolution = world.tenancy().resolve(&tenantry::resolve::Head::of(&head));
    assert_eq!(resolution, tenantry::resolve::Resolution::tenant(Slug::parse("acme").unwrap()));
}

#[tenantry::test]
#[should_panic(expected = "as it should")]
async fn a_test_may_panic_if_it_should(_world: World) {
    panic!("as it should");
}

#[tenantry::test]
#[cfg(any())]
async fn a_test_may_be_left_out(world: NoSuchType) {}

#[tokio::test]
async fn a_function_does_the_same() {
    let result = run(super::builder(), async |world| add(&world.db("acme"), "Buy anvils").await);
    result.await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "1 row came into table `note` in tenant `globex`")]
async fn a_test_that_passes_fails_for_what_leaked() {
    run(super::builder(), async |world| {
        let sql = "INSERT INTO {globex}.note (title) VALUES ('lost')";
        super::run(&world, &world.db("acme"), sql).await;
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "its own failure")]
async fn a_test_that_fails_fails_for_its_own_reason() {
    run(super::builder(), async |world| {
        let sql = "INSERT INTO {globex}.note (title) VALUES ('lost')";
        super::run(&world, &world.db("acme"), sql).await;
        assert_eq!(count(&world.db("globex")).await, 0, "its own failure");
    })
    .await;
}

#[tokio::test]
async fn each_world_begins_alike_and_is_gone_at_its_end() {
    let (one, other) = (world().await, world().await);
    add(&one.db("acme"), "Buy anvils").await.unwrap();
    assert_eq!((count(&one.db("acme")).await, count(&other.db("acme")).await), (1, 0));
    assert_eq!(one.tenant("acme").id(), other.tenant("acme").id(), "both are copies of one template");
    let gone = PgPool::connect_lazy(one.url()).unwrap();
    one.finish().await.unwrap();
    let error = sqlx::query("SELECT 1").execute(&gone).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "3D000");
    other.finish().await.unwrap();
}

#[tokio::test]
async fn a_flat_folder_with_tenants_is_ambiguous() {
    let builder = super::builder().migrations_in("tests/worlds/flat");
    let error = builder.create().await.unwrap_err();
    assert!(error.hint().unwrap().contains("migrations(tenant ="), "{error}");
    let error = super::builder().migrations_in("nowhere").create().await.unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}
