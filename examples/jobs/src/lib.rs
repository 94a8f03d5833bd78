//! Reports that customers order by HTTP, and a worker writes: jobs of one queue, each for its tenant.
//!
//! The job is enqueued in the transaction that writes the order down, so there is never one without the other. What the
//! queue keeps is a [`ForTenant`], and only `run` makes tables and job of it. The rest is what each of the two queues
//! wants to hear: [`apalis`](on_apalis) and [`graphile_worker`](on_graphile).

pub mod on_apalis;
pub mod on_graphile;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry::migrate::MigrateOptions;
use tenantry::resolve::Subdomain;
use tenantry::{
    DatabaseConfig, Error, ErrorKind, ForTenant, Migrations, NewTenant, Result, Tenancy, TenantDb,
    Transaction,
};

/// The queue that keeps the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// The tables of apalis-postgres, in the schema `apalis`.
    Apalis,
    /// The tables of `graphile_worker`, in a schema of that name.
    Graphile,
}

/// The job: to write a report that was ordered.
#[derive(Debug, Serialize, Deserialize)]
pub struct WriteReport {
    /// The order, in the tenant's tables.
    pub id: i64,
}

/// Connects, brings all schemas up to date, the queue's included, and makes the first two tenants.
///
/// # Errors
/// If the database cannot be reached, or a migration fails.
pub async fn open(url: &str, queue: Queue) -> anyhow::Result<Tenancy> {
    let files =
        Migrations::from_migrators(sqlx::migrate!("migrations/master"), sqlx::migrate!("migrations/tenant"))?;
    let database = DatabaseConfig::from_url(url)?;
    let builder = Tenancy::builder().database(database).migrations(files).install(true);
    let tenancy = builder.resolver(Subdomain::of("localhost")?).connect().await?;
    tenancy.migrate(MigrateOptions { wait: true, ..MigrateOptions::default() }, ()).await?;
    match queue {
        Queue::Apalis => on_apalis::set_up(&tenancy).await?,
        Queue::Graphile => on_graphile::set_up(&tenancy).await?,
    }
    for slug in ["acme", "globex"] {
        match tenancy.create(NewTenant::new(slug)).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => drop(created?),
        }
    }
    Ok(tenancy)
}

/// Everything that is answered by HTTP.
pub fn app(tenancy: &Tenancy, queue: Queue) -> Router {
    Router::new().route("/reports", get(list).post(order)).layer(tenancy.layer()).with_state(queue)
}

/// A report as it is shown.
#[derive(Serialize, sqlx::FromRow)]
struct Report {
    id: i64,
    title: String,
    text: Option<String>,
    runs: i32,
}

async fn list(db: TenantDb) -> Result<Json<Vec<Report>>> {
    Ok(Json(sqlx::query_as("SELECT id, title, text, runs FROM report ORDER BY id").fetch_all(&db).await?))
}

/// Writes an order down and enqueues its job, or neither.
async fn order(db: TenantDb, State(queue): State<Queue>, title: String) -> Result<(StatusCode, String)> {
    let mut tx = db.begin().await?;
    let insert = sqlx::query_scalar("INSERT INTO report (title) VALUES ($1) RETURNING id").bind(title);
    let id: i64 = insert.fetch_one(&mut *tx).await?;
    queue.enqueue(&mut tx, &ForTenant::new(db.tenant(), WriteReport { id })).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, id.to_string()))
}

impl Queue {
    /// Enqueues a job in a transaction of its tenant.
    ///
    /// # Errors
    /// If the queue's tables refuse it.
    pub async fn enqueue(self, tx: &mut Transaction, job: &ForTenant<WriteReport>) -> Result<()> {
        let payload = serde_json::to_value(job).map_err(|error| Error::invalid_input(error.to_string()))?;
        match self {
            Self::Apalis => on_apalis::enqueue(tx, &payload).await,
            Self::Graphile => on_graphile::enqueue(tx, payload).await,
        }
    }

    /// Runs jobs until the queue ends it.
    ///
    /// # Errors
    /// If the queue cannot be reached any more.
    pub async fn work(self, tenancy: &Tenancy) -> anyhow::Result<()> {
        match self {
            Self::Apalis => on_apalis::work(tenancy).await,
            Self::Graphile => on_graphile::work(tenancy).await,
        }
    }
}

/// Runs what a queue has kept. A payload that is no job of a tenant is a mistake that no attempt mends.
async fn run(tenancy: &Tenancy, payload: Value) -> Result<()> {
    let job: ForTenant<WriteReport> =
        serde_json::from_value(payload).map_err(|error| Error::invalid_input(error.to_string()))?;
    let (db, report) = job.open(tenancy).await?;
    write(&db, report).await
}

/// The work. It has the tables of one tenant, and no other way to a database.
async fn write(db: &TenantDb, report: WriteReport) -> Result<()> {
    let mut tx = db.begin().await?;
    let write = "UPDATE report SET text = upper(title), runs = runs + 1 WHERE id = $1";
    sqlx::query(write).bind(report.id).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}
