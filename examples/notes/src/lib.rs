//! The application: [`open`] prepares the database, [`app`] answers requests.
//!
//! The host says whose request it is. `localhost` itself, or `127.0.0.1` or `[::1]`, is the master: it
//! lists the tenants, takes sign-ups, and has the page of the operator. `acme.localhost` is the tenant `acme`. A
//! handler says by its arguments where it is at home: one that takes a `TenantDb` answers 404 everywhere but at a
//! tenant, and one that takes a `MasterDb` everywhere but at the master.

mod download;
mod farewell;
mod guard;
mod line;
mod notes;
mod numbers;
mod operator;
mod page;
mod settings;
mod tenants;

use axum::middleware::{from_fn, map_response};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use tenantry::http::Rejection;
use tenantry::migrate::MigrateOptions;
use tenantry::observe::Outcome;
use tenantry::resolve::Subdomain;
use tenantry::{Config, ErrorKind, MasterDb, Migrations, NewTenant, Result, Tenancy, TenantDb};

use self::download::DumpedDatabases;
pub use self::numbers::tidy;
use self::page::Port;

/// Connects to the databases that are configured, brings all schemas up to date, and makes the first two tenants.
/// Nothing here knows how many databases there are.
///
/// An application of many processes would leave the migration to `tenantry migrate`.
///
/// # Errors
/// If the default database cannot be reached, or the migrations of the master schema fail.
pub async fn open(config: &Config) -> Result<Tenancy> {
    numbers::begin();
    let tenancy = Tenancy::builder()
        .config(config)?
        .migrations(Migrations::from_migrators(
            sqlx::migrate!("migrations/master"),
            sqlx::migrate!("migrations/tenant"),
        )?)
        .resolver(Subdomain::of("localhost")?)
        .operator("notes")
        .install(true)
        .connect()
        .await?;
    // Another process may have just begun.
    let options = MigrateOptions { wait: true, ..MigrateOptions::default() };
    tenancy.migrate(options, log).await?;
    seed(&tenancy, "acme", "Acme", &["Test the rocket skates", "Order more anvils"]).await?;
    seed(&tenancy, "globex", "Globex", &["Water the orchids", "Book the volcano"]).await?;
    Ok(tenancy)
}

/// Everything this application answers. `port` is where it can be reached, and `pg_dump` reaches the databases for a
/// download as they are configured. Requests come with the address of the other end, as
/// [`ConnectInfo`](axum::extract::ConnectInfo).
pub fn app(tenancy: &Tenancy, port: u16, config: &Config) -> Router {
    let home = get(|| async { Redirect::to("/") });
    Router::new()
        .route("/", get(front_page))
        .route("/signup", home.clone().post(tenants::sign_up))
        .route("/notes", home.post(notes::submit))
        .route("/notes/{id}/delete", post(notes::submit_deletion))
        .route("/api/notes", get(notes::list).post(notes::create))
        .route("/api/notes/{id}", delete(notes::delete))
        .route("/api/whoami", get(notes::who_am_i))
        .route("/settings", get(settings::page))
        .route("/settings/name", post(settings::set_name))
        .route("/settings/address", post(settings::set_address))
        .route("/settings/delete", post(settings::delete))
        .route("/settings/export", post(download::export))
        .route("/farewell/{token}", get(farewell::page).post(farewell::undo))
        .route("/metrics", get(numbers::page))
        .merge(operator::routes())
        // Links to a tenant that has another address now go on working.
        .layer(tenancy.layer().redirect_renamed())
        // Added after the layer, so that it answers on any host.
        .route("/healthz", get(|| async { "ok" }))
        .layer(Extension(DumpedDatabases::of(config)))
        .layer(from_fn(guard::same_origin))
        .layer(map_response(guard::add_headers))
        .with_state(port)
}

/// The same path at the master and at a tenant: the arguments tell which of the two this is.
async fn front_page(
    tenancy: Tenancy,
    port: Port,
    master: Option<MasterDb>,
    tenant: Result<TenantDb, Rejection>,
) -> Result<Response> {
    match (master, tenant) {
        (Some(master), _) => tenants::page(&tenancy, &master, port).await,
        (None, Ok(db)) => notes::page(&db).await,
        (None, Err(rejection)) => Ok(rejection.into_response()),
    }
}

/// Creates a tenant with notes, unless it is there.
async fn seed(tenancy: &Tenancy, slug: &str, name: &str, titles: &[&str]) -> Result<()> {
    let tenant = match tenancy.create(NewTenant::new(slug).name(name)).await {
        // Made by an earlier start, or by another process that starts right now.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        created => created?,
    };
    let db = tenancy.db(&tenant)?;
    sqlx::query("INSERT INTO note (title) SELECT unnest($1)").bind(titles).execute(&db).await?;
    Ok(())
}

/// A tenant that could not be migrated does not keep the others from being served.
fn log(outcome: &Outcome<'_>) {
    let Some(tenant) = outcome.tenant else { return };
    match outcome.error {
        Some(error) => tracing::error!(%error, hint = error.hint(), "Failed to migrate `{}`", tenant.slug()),
        None if outcome.applied.is_empty() => {}
        None => tracing::info!(versions = ?outcome.applied, "Migrated `{}`", tenant.slug()),
    }
}
