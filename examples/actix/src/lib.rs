//! The application: [`open`] prepares the database, [`routes`] answers requests.

use actix_web::web::{self, Json, ServiceConfig};
use tenantry::resolve::{FirstOf, PathSegment, Subdomain};
use tenantry::{
    DatabaseConfig, ErrorKind, Fleet, MasterDb, Migrations, NewTenant, Tenancy, Tenant, TenantDb,
};
use tenantry_actix::{Ask, Result};

/// Connects, brings all schemas up to date, and makes the first two tenants. `base` is the domain below which tenants
/// have their subdomains; `/t/acme` works at any other host too.
///
/// # Errors
/// If the database cannot be reached, or a migration fails.
pub async fn open(database: DatabaseConfig, base: &str) -> anyhow::Result<Tenancy> {
    let resolver = FirstOf::new(vec![Box::new(PathSegment::under("/t")?), Box::new(Subdomain::of(base)?)])?;
    let tenancy = Tenancy::builder()
        .database(database)
        .migrations(Migrations::from_migrators(
            sqlx::migrate!("migrations/master"),
            sqlx::migrate!("migrations/tenant"),
        )?)
        .resolver(resolver)
        .install(true)
        .connect()
        .await?;
    tenancy.migrate(Fleet::all(), ()).await?;
    for slug in ["acme", "globex"] {
        match tenancy.create(NewTenant::new(slug)).await {
            // Made by an earlier start.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => drop(created?),
        }
    }
    Ok(tenancy)
}

/// The routes, which are the same for all tenants.
pub fn routes(config: &mut ServiceConfig) {
    config
        .route("/", web::get().to(tenants))
        .route("/notes", web::get().to(list))
        .route("/notes", web::post().to(add))
        .route("/whoami", web::get().to(who_am_i));
}

async fn tenants(_: Ask<MasterDb>, tenancy: Ask<Tenancy>) -> Result<Json<Vec<String>>> {
    let tenants = tenancy.tenants_after("", 100).await?;
    Ok(Json(tenants.iter().map(|tenant| tenant.slug().to_string()).collect()))
}

async fn list(Ask(db): Ask<TenantDb>) -> Result<Json<Vec<String>>> {
    Ok(Json(sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?))
}

async fn add(Ask(db): Ask<TenantDb>, title: String) -> Result<String> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(&title).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(title)
}

async fn who_am_i(Ask(tenant): Ask<Tenant>) -> String {
    tenant.slug().to_string()
}
