//! The spans of `tracing` that name the tenant, as a log shows them.

#[cfg(feature = "archive")]
mod archived;
mod verbs;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use futures_util::TryStreamExt as _;
use tenantry::observe::tenant_span;
use tenantry::tenant::Tenant;
use tenantry::{Fleet, NewTenant, Tenancy, TenantDb};
use tower::{Layer as _, ServiceExt as _};
use tracing::Instrument as _;
use tracing::field::Empty;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::http::{by_subdomain, request, send};
use crate::support::{builder, database, tenancy, tenant_files};

/// The lines of this thread, with the spans around each.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn listen() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_span_events(FmtSpan::CLOSE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    /// Takes the lines with this text, and forgets the others.
    fn take(&self, text: &str) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .filter(|line| line.contains(text))
            .map(str::to_owned)
            .collect()
    }

    /// Asserts that there are lines with this text, and that each has the other.
    #[track_caller]
    fn check(&self, text: &str, other: &str) {
        let lines = self.take(text);
        assert!(!lines.is_empty() && lines.iter().all(|line| line.contains(other)), "{other}: {lines:#?}");
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn handle(db: TenantDb) -> tenantry::Result<String> {
    tracing::info!("handled");
    Ok(sqlx::query_scalar("SELECT 'of a request'").fetch_one(&db).await?)
}

async fn fields(tenancy: &Tenancy, slug: &str) -> String {
    let tenant = tenancy.tenant(slug).await.unwrap();
    format!("{{tenant={slug} tenant.id={}}}", tenant.id())
}

#[tokio::test]
async fn what_a_request_logs_names_the_tenant() {
    let application = by_subdomain().await;
    application.tenancy.create(NewTenant::new("globex")).await.unwrap();
    let app = Router::new().route("/", get(handle)).layer(application.tenancy.layer());
    let (lines, _listening) = Lines::listen();
    for slug in ["acme", "globex", "acme"] {
        let fields = fields(&application.tenancy, slug).await;
        let host = format!("{slug}.example.com");
        assert_eq!(send(app.clone(), request(&host, "/")).await.status, 200);
        lines.check("handled", &format!(" request{fields}: "));
        send(app.clone(), request(&host, "/")).await;
        lines.check("of a request", &format!(" request{fields}:"));
    }
    send(app, request("nobody.example.com", "/")).await;
    lines.check("http::layer: close", " request: ");
}

#[tokio::test]
async fn a_span_around_the_layer_that_asks_for_the_tenant_gets_it_and_no_other_is_made() {
    let application = by_subdomain().await;
    let app = application.tenancy.layer().layer(Router::new().route("/", get(handle)));
    let fields = fields(&application.tenancy, "acme").await;
    let (lines, _listening) = Lines::listen();
    let asking = tracing::info_span!("trace", tenant = Empty, tenant.id = Empty);
    let answer = async { app.clone().oneshot(request("acme.example.com", "/")).await };
    answer.instrument(asking).await.unwrap();
    lines.check("handled", &format!(" trace{fields}: it::spans: handled"));
    // One that does not ask is left alone.
    let answer = async { app.oneshot(request("acme.example.com", "/")).await };
    answer.instrument(tracing::info_span!("trace", uri = "/")).await.unwrap();
    lines.check("handled", &format!(" trace{{uri=\"/\"}}:request{fields}: it::spans: handled"));
}

#[tokio::test]
async fn statements_of_a_handle_that_is_kept_name_the_tenant() {
    let application = by_subdomain().await;
    let acme = application.tenancy.tenant("acme").await.unwrap();
    let db = application.tenancy.db(&acme).unwrap();
    let id = acme.id();
    let (lines, _listening) = Lines::listen();
    let one: Vec<String> = sqlx::query_scalar("SELECT 'statement'").fetch_all(&db).await.unwrap();
    assert_eq!(one, ["statement"]);
    let expect = format!("statement{{database=default tenant=\"acme\" tenant.id={id}}}");
    lines.check("SELECT 'statement'", &expect);
    let _: Option<String> = sqlx::query_scalar("SELECT 'first row'").fetch_optional(&db).await.unwrap();
    lines.check("SELECT 'first row'", &expect);
    let master = application.tenancy.master();
    let _: String = sqlx::query_scalar("SELECT 'of the master'").fetch_one(&master).await.unwrap();
    lines.check("SELECT 'of the master'", " statement{database=default}: ");
}

#[tokio::test]
async fn jobs_scopes_and_migrations_name_the_tenant() {
    let database = database().await;
    let first = tenancy(&database, &["CREATE TABLE note (title text)"]).await;
    for slug in ["acme", "globex"] {
        first.create(NewTenant::new(slug)).await.unwrap();
    }
    let [acme, globex] = [fields(&first, "acme").await, fields(&first, "globex").await];
    let (lines, _listening) = Lines::listen();
    let job = async |db: TenantDb| {
        tracing::info!("job of {}", db.tenant().slug());
        Ok::<_, tenantry::Error>(())
    };
    first.for_each(Fleet::all(), 2, job).try_collect::<Vec<_>>().await.unwrap();
    lines.check("job of acme", &format!(" job{acme}: "));
    first.for_each(Fleet::all(), 2, job).try_collect::<Vec<_>>().await.unwrap();
    lines.check("job of globex", &format!(" job{globex}: "));

    let tenant = first.tenant("acme").await.unwrap();
    first.scope(&tenant, async { tracing::info!("in a scope") }).await;
    lines.check("in a scope", &format!(" scope{acme}: "));
    async { tracing::info!("own work") }.instrument(tenant_span(&tenant)).await;
    lines.check("own work", &format!(" tenant{acme}: "));

    let files = tenant_files(&["CREATE TABLE note (title text)", "ALTER TABLE note ADD COLUMN done boolean"]);
    let second = builder(&database).migrations(files).connect().await.unwrap();
    let only = Fleet::only([tenantry::Slug::parse("acme").unwrap()]);
    second.migrate(only, ()).await.unwrap();
    let fields = verb_fields("migrate", &tenant);
    lines.check(" migrate{", &format!(" migrate{fields}: "));
}

fn verb_fields(verb: &str, tenant: &Tenant) -> String {
    let (slug, id, database) = (tenant.slug(), tenant.id(), tenant.database());
    format!("{{verb={verb} tenant={slug} tenant.id={id} database={database}}}")
}

#[tokio::test]
async fn without_a_subscriber_there_is_no_span() {
    let application = by_subdomain().await;
    let acme = application.tenancy.tenant("acme").await.unwrap();
    // Said aloud, because another test of this process may have one, whose interest in spans is every thread's.
    let is_disabled = || tenant_span(&acme).is_disabled();
    assert!(tracing::subscriber::with_default(NoSubscriber::default(), is_disabled));
}
