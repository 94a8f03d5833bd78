//! A help desk whose queries are checked while it compiles: those of the tenants, and those of the shared tables.
//!
//! The macros need no database: what PostgreSQL says of each query is in `.sqlx/`. The test `prepared` asks again.

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sqlx::{query, query_as, query_scalar};
use tenantry::migrate::MigrateOptions;
use tenantry::resolve::Subdomain;
use tenantry::{Config, ErrorKind, MasterDb, Migrations, NewTenant, Result, Tenancy, TenantDb};

/// The state of a ticket: a type that a migration makes in the schema of each tenant.
#[derive(Clone, Copy, Deserialize, Serialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "ticket_state", rename_all = "lowercase")]
enum State {
    Open,
    Waiting,
    Done,
}

#[derive(Serialize)]
struct Ticket {
    id: i64,
    title: String,
    state: State,
    assignee: Option<String>,
}

#[derive(Deserialize)]
struct NewTicket {
    title: String,
    assignee: Option<String>,
}

#[derive(Deserialize)]
struct Filter {
    state: Option<State>,
}

/// A row of a shared table.
#[derive(Serialize)]
struct Plan {
    name: String,
    max_open: Option<i32>,
}

/// Connects, brings all schemas up to date, and makes the first two tenants.
///
/// # Errors
/// If the database cannot be reached, or the migrations of the master schema fail.
pub async fn open(config: &Config) -> Result<Tenancy> {
    let migrations =
        Migrations::from_migrators(sqlx::migrate!("migrations/master"), sqlx::migrate!("migrations/tenant"))?;
    let builder = Tenancy::builder().config(config)?.migrations(migrations);
    let tenancy = builder.resolver(Subdomain::of("localhost")?).install(true).connect().await?;
    tenancy.migrate(MigrateOptions { wait: true, ..MigrateOptions::default() }, ()).await?;
    for (slug, plan) in [("acme", "free"), ("globex", "pro")] {
        match tenancy.create(NewTenant::new(slug).setting("plan", plan)).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => drop(created?),
        }
    }
    Ok(tenancy)
}

/// Everything this application answers.
pub fn app(tenancy: &Tenancy) -> Router {
    Router::new()
        .route("/plans", get(plans))
        .route("/notices", get(notices))
        .route("/tickets", get(list).post(create))
        .route("/tickets/{id}/{state}", put(set_state))
        .layer(tenancy.layer())
}

/// `GET /plans`, at the master
async fn plans(db: MasterDb) -> Result<Json<Vec<Plan>>> {
    Ok(Json(query_as!(Plan, "SELECT name, max_open FROM plan ORDER BY name").fetch_all(&db).await?))
}

/// `GET /notices`, at a tenant: to all tenants, then to this one.
///
/// Both schemas have a table of this name. For the macros the name alone is the tenant's, like at a tenant's handle;
/// a query for the master's has the schema in front.
async fn notices(tenancy: Tenancy, db: TenantDb) -> Result<Json<Vec<String>>> {
    let to_all = query_scalar!("SELECT text FROM public.notice ORDER BY posted_on, text");
    let mut notices = to_all.fetch_all(&tenancy.master()).await?;
    notices.extend(query_scalar!("SELECT body FROM notice ORDER BY id").fetch_all(&db).await?);
    Ok(Json(notices))
}

/// `GET /tickets?state=open`
async fn list(db: TenantDb, Query(filter): Query<Filter>) -> Result<Json<Vec<Ticket>>> {
    let tickets = query_as!(
        Ticket,
        r#"SELECT id, title, state AS "state: State", assignee FROM ticket
           WHERE state = $1 OR $1 IS NULL ORDER BY id"#,
        filter.state as Option<State>,
    );
    Ok(Json(tickets.fetch_all(&db).await?))
}

/// `POST /tickets`: as many open ones as the plan allows, which is in a table of the master.
async fn create(tenancy: Tenancy, db: TenantDb, Json(new): Json<NewTicket>) -> Result<Response> {
    let plan = db.tenant().settings()["plan"].as_str().unwrap_or("free");
    let most = query_scalar!("SELECT max_open FROM plan WHERE name = $1", plan);
    let most = most.fetch_one(&tenancy.master()).await?;
    let open = query_scalar!(r#"SELECT count(*) AS "count!" FROM ticket WHERE state <> 'done'"#);
    let open = open.fetch_one(&db).await?;
    if most.is_some_and(|most| open >= i64::from(most)) {
        return Ok((StatusCode::PAYMENT_REQUIRED, "the plan allows no more").into_response());
    }
    let insert = query!("INSERT INTO ticket (title, assignee) VALUES ($1, $2)", new.title, new.assignee);
    insert.execute(&db).await?;
    Ok(StatusCode::CREATED.into_response())
}

/// `PUT /tickets/1/done`
async fn set_state(db: TenantDb, Path((id, state)): Path<(i64, State)>) -> Result<Json<Ticket>> {
    let ticket = query_as!(
        Ticket,
        r#"UPDATE ticket SET state = $2 WHERE id = $1 RETURNING id, title, state AS "state: State", assignee"#,
        id,
        state as State,
    );
    Ok(Json(ticket.fetch_one(&db).await?))
}
