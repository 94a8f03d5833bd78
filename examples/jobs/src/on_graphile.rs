//! The queue of `graphile_worker`.
//!
//! It tries a job that has failed again after ever longer pauses, up to 25 times. So an attempt that met a suspended
//! tenant is not counted, and one that is hopeless is the last: for this queue, a job has failed for good when it has
//! no attempt left. Of jobs that wait already it takes as many as it may run, each time it looks.

use std::time::Duration;

use anyhow::Context as _;
use graphile_worker::{IntoTaskHandlerResult, TaskHandler, WorkerContext, WorkerOptions, WorkerUtils};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use tenantry::{Tenancy, Transaction};

const SCHEMA: &str = "graphile_worker";

/// A job as this queue knows it, by a name of its own.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Job(Value);

/// Makes the queue's tables, in the schema `graphile_worker`.
pub(crate) async fn set_up(tenancy: &Tenancy) -> anyhow::Result<()> {
    Ok(WorkerUtils::new(tenancy.master_pool()?, SCHEMA).migrate().await?)
}

pub(crate) async fn enqueue(tx: &mut Transaction, payload: Value) -> tenantry::Result<()> {
    let add = sqlx::query("SELECT (graphile_worker.add_job($1, $2::json)).id");
    add.bind(Job::IDENTIFIER).bind(payload).execute(&mut **tx).await?;
    Ok(())
}

pub(crate) async fn work(tenancy: &Tenancy) -> anyhow::Result<()> {
    // The jobs of a worker of which nothing was heard for a second go to another one. In earnest, minutes.
    let worker = WorkerOptions::default()
        .pg_pool(tenancy.master_pool()?)
        .schema(SCHEMA)
        .concurrency(4)
        .poll_interval(Duration::from_millis(100))
        .heartbeat_interval(Duration::from_millis(500))
        .sweep_interval(Duration::from_millis(500))
        .sweep_threshold(Duration::from_secs(1))
        .recovery_delay(Duration::ZERO)
        .add_extension(tenancy.clone())
        .define_job::<Job>()
        .init()
        .await?;
    worker.run().await.context("graphile_worker has stopped")
}

impl TaskHandler for Job {
    const IDENTIFIER: &'static str = "write_report";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let Some(tenancy) = context.get_ext::<Tenancy>() else { return Err("no tenancy".to_owned()) };
        let Err(error) = crate::run(tenancy, self.0).await else { return Ok(()) };
        tracing::warn!(%error, "A job has failed");
        let change = match error {
            _ if error.is_retryable() => return Err(error.to_string()),
            _ if error.is_permanent() => "max_attempts = attempts",
            _ => "attempts = 0",
        };
        let update = format!("UPDATE graphile_worker._private_jobs SET {change} WHERE id = $1");
        let update = sqlx::query(AssertSqlSafe(update)).bind(context.job().id());
        update.execute(context.pg_pool()).await.map_err(|error| error.to_string())?;
        Err(error.to_string())
    }
}
