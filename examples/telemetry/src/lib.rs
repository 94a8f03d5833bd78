//! The application: [`open`] prepares a database, [`app`] answers requests, [`telemetry`] sends spans somewhere.
//!
//! No handler here says which tenant it works for, and yet each span has it: Tenantry's own do, and so do those of the
//! application that are inside of them, by their parents.

use axum::routing::get;
use axum::{Json, Router};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use tenantry::database::Comment;
use tenantry::resolve::Subdomain;
use tenantry::{DatabaseConfig, ErrorKind, Migrations, NewTenant, PoolConfig, Result, Tenancy, TenantDb};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

/// Connects to a database, and makes two tenants with a note each.
///
/// # Errors
/// If the database cannot be reached.
pub async fn open(url: &str) -> Result<Tenancy> {
    // The server's own tools see the tenant, too: in `pg_stat_activity`, in its log.
    let pool = PoolConfig { comment: Comment::Tenant, ..PoolConfig::default() };
    let tenant_files = sqlx::migrate!("migrations/tenant");
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(url)?.pool(pool))
        .migrations(Migrations::from_migrators(sqlx::migrate::Migrator::DEFAULT, tenant_files)?)
        .resolver(Subdomain::of("localhost")?)
        .install(true)
        .connect()
        .await?;
    for slug in ["acme", "globex"] {
        let tenant = match tenancy.create(NewTenant::new(slug)).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            created => created?,
        };
        let insert = sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(format!("A note of {slug}"));
        insert.execute(&tenancy.db(&tenant)?).await?;
    }
    Ok(tenancy)
}

/// Everything this application answers.
pub fn app(tenancy: &Tenancy) -> Router {
    Router::new().route("/notes", get(list)).layer(tenancy.layer())
}

#[tracing::instrument(skip_all)]
async fn list(db: TenantDb) -> Result<Json<Vec<String>>> {
    let titles = sqlx::query_scalar("SELECT title FROM note ORDER BY id").fetch_all(&db).await?;
    Ok(Json(titles))
}

/// Sends the spans of `tracing` to an exporter: here to stdout or to a test, in earnest by `opentelemetry-otlp`, in
/// batches.
///
/// The provider is to be shut down at the end, so that nothing is lost.
pub fn telemetry(
    exporter: impl SpanExporter + 'static,
) -> (SdkTracerProvider, impl Subscriber + Send + Sync + 'static) {
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("telemetry"));
    // `tenantry` at debug has the spans of checkouts and statements as well.
    let wanted = Targets::new().with_target("tenantry", Level::DEBUG).with_target("telemetry", Level::INFO);
    (provider, tracing_subscriber::registry().with(spans.with_filter(wanted)))
}
