//! The sides that are compared: one task each of ours and of those without us.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool, Postgres};
use tenantry::pool::TenantClient;
use tenantry::tenant::Tenant;
use tenantry::{TenantDb, TenantReadDb};

use crate::measure::Worker;
use crate::zipf::Draw;

/// Ours.
pub(crate) struct OurTask {
    pub(crate) tenants: Arc<[TenantDb]>,
    pub(crate) draw: Draw,
}

impl Worker for OurTask {
    async fn step(&mut self) -> Result<()> {
        let note = self.draw.note();
        read_note(&self.tenants[self.draw.tenant()], note).await
    }
}

/// Ours, to read.
pub(crate) struct ReadTask {
    pub(crate) tenants: Arc<[TenantReadDb]>,
    pub(crate) draw: Draw,
}

impl Worker for ReadTask {
    async fn step(&mut self) -> Result<()> {
        let note = self.draw.note();
        read_note(&self.tenants[self.draw.tenant()], note).await
    }
}

/// Ours, on tokio-postgres: this many tenants in turns.
pub(crate) struct ClientTask {
    pub(crate) tenants: Vec<TenantClient>,
    pub(crate) turn: usize,
    pub(crate) draw: Draw,
}

impl Worker for ClientTask {
    async fn step(&mut self) -> Result<()> {
        self.turn = (self.turn + 1) % self.tenants.len();
        let note = self.draw.note();
        let row = self.tenants[self.turn].query_one("SELECT title FROM note WHERE id = $1", &[&note]).await?;
        let _: String = row.get(0);
        Ok(())
    }
}

/// sqlx's pool, without tenancy.
pub(crate) struct PoolTask {
    pub(crate) pool: PgPool,
    pub(crate) draw: Draw,
}

impl Worker for PoolTask {
    async fn step(&mut self) -> Result<()> {
        read_note(&self.pool, self.draw.note()).await
    }
}

/// sqlx's pool, with tenancy by hooks: whose turn it is stands in a task-local.
pub(crate) struct HookedTask {
    pub(crate) pool: PgPool,
    pub(crate) switches: Arc<[Switch]>,
    pub(crate) draw: Draw,
}

impl Worker for HookedTask {
    async fn step(&mut self) -> Result<()> {
        let note = self.draw.note();
        let switch = Arc::clone(&self.switches[self.draw.tenant()]);
        SWITCH.scope(switch, read_note(&self.pool, note)).await
    }
}

/// No pool at all: a connection per task.
pub(crate) struct BareTask {
    pub(crate) connection: PgConnection,
    pub(crate) draw: Draw,
}

impl Worker for BareTask {
    async fn step(&mut self) -> Result<()> {
        read_note(&mut self.connection, self.draw.note()).await
    }
}

pub(crate) async fn read_note<'c>(executor: impl Executor<'c, Database = Postgres>, note: i32) -> Result<()> {
    let select = sqlx::query_scalar("SELECT title FROM note WHERE id = $1");
    let _: String = select.bind(note).fetch_one(executor).await?;
    Ok(())
}

/// The statement that turns a connection to a tenant, rendered once.
pub(crate) type Switch = Arc<str>;

tokio::task_local! {
    static SWITCH: Switch;
}

/// The way in which a connection comes to a tenant without us.
pub(crate) fn switch_to(tenant: &Tenant) -> Switch {
    format!("SET search_path TO \"{}\", pg_temp", tenant.schema()).into()
}

/// Runs a future with a [`HookedTask`]'s tenant in force.
pub(crate) async fn on_behalf_of<F: Future>(switch: Switch, future: F) -> F::Output {
    SWITCH.scope(switch, future).await
}

/// The options of a connection that stays in one schema.
pub(crate) fn options_in(url: &str, schema: &str) -> Result<PgConnectOptions> {
    Ok(url.parse::<PgConnectOptions>()?.options([("search_path", schema)]))
}

/// sqlx's pool at its best: it does not ask each time whether the connection still lives.
pub(crate) fn plain_pool(url: &str, schema: &str, connections: u32) -> Result<PgPool> {
    Ok(pool_of(connections).connect_lazy_with(options_in(url, schema)?))
}

/// sqlx's pool with `SET search_path` in both hooks, as new and idle connections need it. The `SET`
/// also finds out whether the connection still lives.
pub(crate) fn hooked_pool(url: &str, connections: u32) -> Result<PgPool> {
    let pool = pool_of(connections)
        .after_connect(|connection, _| Box::pin(async move { switch(connection).await }))
        .before_acquire(|connection, _| {
            Box::pin(async move {
                switch(connection).await?;
                Ok(true)
            })
        });
    Ok(pool.connect_lazy(url)?)
}

fn pool_of(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(30))
}

async fn switch(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let switch = SWITCH.try_with(Arc::clone).map_err(|_| sqlx::Error::WorkerCrashed)?;
    connection.execute(AssertSqlSafe(&*switch)).await?;
    Ok(())
}
