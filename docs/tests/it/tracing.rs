use tracing::Level;

fn log() {
    // Whatever a request logs has `request{tenant=acme tenant.id=…}` in front.
    tracing_subscriber::fmt().with_max_level(Level::INFO).init();
}

use tracing::field::Empty;
use tracing::{Span, info_span};

/// For tower-http: `TraceLayer::new_for_http().make_span_with(make_span)`, outside of `tenancy.layer()`.
fn make_span<B>(request: &axum::http::Request<B>) -> Span {
    info_span!("http", method = %request.method(), path = request.uri().path(), tenant = Empty, tenant.id = Empty)
}

use tenantry::{Tenancy, TenantDb};
use tracing::Instrument as _;

async fn remind(tenancy: &Tenancy, slug: &str) -> tenantry::Result<()> {
    let tenant = tenancy.tenant(slug).await?;
    let work = send_reminders(tenancy.db(&tenant)?);
    work.instrument(tenantry::observe::tenant_span(&tenant)).await
}

use tenantry::Builder;
use tenantry::pool::Traceparent;

tokio::task_local! {
    /// The header of the request that a task works for.
    static TRACEPARENT: Traceparent;
}

fn traced(builder: Builder) -> Builder {
    builder.traceparent(|| TRACEPARENT.try_get().ok())
}

async fn send_reminders(db: TenantDb) -> tenantry::Result<()> {
    tracing::info!(count = titles(&db).await.len(), "sent reminders");
    Ok(())
}

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use docs::blocks_of;
use tenantry::database::Comment;
use tenantry::{DatabaseConfig, PoolConfig};

use crate::support::{add, read_config, request, titles, world};

const PAGE: &str = "docs/tracing.md";

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn handle(_: TenantDb) {
    tracing::info!("handled");
}

#[tokio::test]
async fn a_span_of_ones_own_gets_the_tenant() {
    let _: fn() = log;
    let world = world().await;
    let written = Written::default();
    let writer = written.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _listening = tracing::subscriber::set_default(lines);
    let app = Router::new().route("/", get(handle)).layer(world.tenancy.layer());
    let request = request("acme.example.com", "/");
    let span = make_span(&request);
    async { tower::ServiceExt::oneshot(app, request).await }.instrument(span).await.unwrap();
    remind(&world.tenancy, "globex").await.unwrap();
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let [acme, globex] = [world.acme.id(), world.globex.id()];
    assert!(
        text.contains(&format!("http{{method=GET path=\"/\" tenant=acme tenant.id={acme}}}: ")),
        "{text}"
    );
    assert!(text.contains(&format!("tenant{{tenant=globex tenant.id={globex}}}: ")), "{text}");
}

#[tokio::test]
async fn the_server_shows_the_tenant_where_the_file_says_so() {
    let world = world().await;
    let [toml] = blocks_of(PAGE, "toml");
    let [question, _] = blocks_of(PAGE, "sql");
    let config = read_config(&toml.replace("postgres://app@localhost/saas", world.database.url()));
    let tenancy = Tenancy::builder().config(&config).unwrap().connect().await.unwrap();
    let db = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    let question = question.trim_end().trim_end_matches(';').to_owned();
    let rows: Vec<(String, String)> =
        sqlx::query_as(sqlx::AssertSqlSafe(question)).fetch_all(&db).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].0, "tenantry/acme");
    assert!(rows[0].1.ends_with("/*tenant='acme'*/"), "{}", rows[0].1);
}

#[tokio::test]
async fn the_text_of_a_sampled_request_has_its_place_in_the_trace() {
    let world = world().await;
    add(&world.acme(), "one").await;
    let [_, text] = blocks_of(PAGE, "sql");
    let place = text.split_once("traceparent='").and_then(|(_, behind)| behind.split_once('\'')).unwrap().0;
    let comment = PoolConfig { comment: Comment::Tenant, ..PoolConfig::default() };
    let config = DatabaseConfig::from_url(world.database.url()).unwrap().pool(comment);
    let tenancy = traced(Tenancy::builder().database(config)).connect().await.unwrap();
    let db = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    let select = sqlx::query_scalar::<_, String>("SELECT title FROM note").fetch_all(&db);
    assert_eq!(TRACEPARENT.scope(place.parse().unwrap(), select).await.unwrap(), ["one"]);
    let seen = "SELECT query FROM pg_stat_activity WHERE query LIKE 'SELECT title FROM note%traceparent%'";
    let seen: String = sqlx::query_scalar(seen).fetch_one(&world.tenancy.master()).await.unwrap();
    assert_eq!(seen, text.trim_end());
}
