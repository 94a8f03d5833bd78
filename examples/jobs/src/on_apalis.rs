//! The queue of apalis-postgres.
//!
//! It tries a job that has failed again at once, up to 25 times. So one that is to wait gets another `run_at`, and one
//! that is hopeless is `Killed`. A payload that it cannot decode ends its worker: so it hands out JSON, which is parsed
//! where an error is one of the job.

use std::time::Duration;

use anyhow::Context as _;
use apalis::prelude::BackendExt as _;
use apalis::prelude::{
    AbortError, BoxDynError, Data, ParallelizeExt as _, RetryAfterError, TaskBuilder, TaskId, WorkerBuilder,
};
use apalis_postgres::{Config, PostgresStorage, queries};
use serde_json::Value;
use sqlx::PgPool;
use tenantry::{Error, Tenancy, Transaction};

const QUEUE: &str = "reports";
/// The pause until a job is tried again whose tenant is suspended. In earnest, minutes.
const LATER: Duration = Duration::from_secs(2);

/// Makes the queue's tables, in the schema `apalis`.
pub(crate) async fn set_up(tenancy: &Tenancy) -> anyhow::Result<()> {
    Ok(PostgresStorage::setup(&tenancy.master_pool()?).await?)
}

pub(crate) async fn enqueue(tx: &mut Transaction, payload: &Value) -> tenantry::Result<()> {
    let task = TaskBuilder::new(payload.to_string().into_bytes()).build();
    queries::push_tasks(&mut **tx, QUEUE, vec![task]).await.map_err(|error| match error {
        apalis_postgres::Error::Database(error) => error.into(),
        error => Error::invalid_input(error.to_string()),
    })
}

pub(crate) async fn work(tenancy: &Tenancy) -> anyhow::Result<()> {
    let pool = tenancy.master_pool()?;
    // The jobs of a worker of which nothing was heard for a second go to another one. In earnest, a minute.
    let config =
        Config::default().queue(QUEUE).heartbeat_interval(Duration::from_millis(500)).missed_heartbeats(2);
    let storage = PostgresStorage::<Value>::new(&pool).with_config(config);
    let worker = WorkerBuilder::new(format!("reports-{}", std::process::id()))
        .backend(storage.poll_with_interval(Duration::from_millis(200)))
        .data(tenancy.clone())
        .data(pool)
        .parallelize(tokio::spawn)
        .build(run);
    worker.run().await.context("apalis has stopped")
}

async fn run(
    payload: Value,
    tenancy: Data<Tenancy>,
    pool: Data<PgPool>,
    id: TaskId,
) -> Result<(), BoxDynError> {
    let Err(error) = crate::run(&tenancy, payload).await else { return Ok(()) };
    tracing::warn!(%error, "A job has failed");
    match error {
        _ if error.is_retryable() => Err(error.into()),
        _ if error.is_permanent() => Err(AbortError::new(error).into()),
        _ => {
            let later = sqlx::query("UPDATE apalis.jobs SET run_at = now() + $2 WHERE id = $1");
            later.bind(id.to_string()).bind(LATER).execute(&*pool).await?;
            Err(RetryAfterError::new(error, LATER).into())
        }
    }
}
