//! The application: [`open`] prepares a database, [`app`] answers requests.
//!
//! A session belongs to the tenant at which somebody signed in. Its cookie may reach another tenant all the same, by
//! a `Domain` that covers all of them, or because somebody copies it; there it is refused.

use axum::Router;
use axum::extract::{Form, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tenantry::resolve::Subdomain;
use tenantry::tenant::TenantId;
use tenantry::{DatabaseConfig, ErrorKind, NewTenant, Result, Tenancy, Tenant};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

/// The key in a session under which its tenant is.
const TENANT: &str = "tenant";

/// Connects to a database, and makes two tenants.
///
/// # Errors
/// If the database cannot be reached.
pub async fn open(url: &str) -> Result<Tenancy> {
    let database = DatabaseConfig::from_url(url)?;
    let resolver = Subdomain::of("localhost")?;
    let tenancy = Tenancy::builder().database(database).resolver(resolver).install(true).connect().await?;
    for slug in ["acme", "globex"] {
        match tenancy.create(NewTenant::new(slug)).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => drop(created?),
        }
    }
    Ok(tenancy)
}

/// Everything this application answers. Without a domain, the cookie goes to the host that set it and no other, which
/// is the better choice.
pub fn app(tenancy: &Tenancy, cookie_domain: Option<&'static str>) -> Router {
    // A browser takes a secure cookie by HTTPS only, which `localhost` does not speak.
    let sessions = SessionManagerLayer::new(MemoryStore::default()).with_secure(false);
    let sessions = match cookie_domain {
        Some(domain) => sessions.with_domain(domain),
        None => sessions,
    };
    Router::new()
        .route("/me", get(who_am_i))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .layer(from_fn(only_its_tenant)) // runs last
        .layer(sessions)
        .layer(tenancy.layer()) // runs first
}

/// Refuses a session that belongs to another tenant, or that holds something and belongs to none.
async fn only_its_tenant(tenant: Tenant, session: Session, request: Request, next: Next) -> Response {
    let is_fine = match session.get::<TenantId>(TENANT).await {
        Ok(Some(owner)) => owner == tenant.id(),
        Ok(None) => session.is_empty().await,
        Err(_) => false,
    };
    if is_fine {
        return next.run(request).await;
    }
    // The session stays as it is: it is still good where it belongs.
    (StatusCode::FORBIDDEN, "This session is of another account. Sign in here.\n").into_response()
}

#[derive(serde::Deserialize)]
struct Login {
    name: String,
}

/// Here a password would be asked for.
async fn log_in(
    tenant: Tenant,
    session: Session,
    Form(login): Form<Login>,
) -> Result<StatusCode, SessionError> {
    // Another id, so that nobody who knew the one before is signed in, too.
    session.cycle_id().await?;
    session.insert(TENANT, tenant.id()).await?;
    session.insert("name", login.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn log_out(session: Session) -> Result<StatusCode, SessionError> {
    session.flush().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn who_am_i(tenant: Tenant, session: Session) -> Result<Response, SessionError> {
    Ok(match session.get::<String>("name").await? {
        Some(name) => format!("{name} of {}\n", tenant.slug()).into_response(),
        None => (StatusCode::UNAUTHORIZED, "Nobody is signed in.\n").into_response(),
    })
}

/// The store of the sessions failed.
struct SessionError;

impl From<tower_sessions::session::Error> for SessionError {
    fn from(_: tower_sessions::session::Error) -> Self {
        Self
    }
}

impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}
