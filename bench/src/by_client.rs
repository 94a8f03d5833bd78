//! Point selects by tokio-postgres and by Diesel, against the pools that their users have.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use diesel::{OptionalExtension as _, QueryDsl as _};
use diesel_async::pooled_connection::{self, AsyncDieselConnectionManager};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tenantry::PoolConfig;
use tenantry::pool::{TenantClient, TenantDiesel};
use tenantry::tenant::Tenant;
use tokio_postgres::NoTls;

use crate::bench::Bench;
use crate::fleet::{Opened, Route};
use crate::measure::{Side, Team, Worker, interleave, warm_up};
use crate::report::{Line, Target};
use crate::side::{Switch, switch_to};
use crate::zipf::{Draw, Traffic, Zipf};

const SELECT: &str = "SELECT title FROM note WHERE id = $1";

diesel::table! {
    note (id) { id -> Integer, title -> Text }
}

/// One tenant that may use the whole pool.
pub(crate) async fn hot(bench: &mut Bench) -> Result<()> {
    let shape = Shape { case: ("checkout", "hot-tokio"), target: 1.1, ..Shape::one_tenant() };
    let (tenants, opened) = shape.open(bench).await?;
    let ours = shape.clients(&opened, &tenants)?;
    let theirs = shape.switched(&bench.fleet.url(Route::Direct), &tenants)?;
    shape.measure(bench, opened, ours, theirs, "deadpool-postgres, SET on get").await
}

/// Far more tasks than connections, and a few tenants that make most of the requests.
pub(crate) async fn zipf(bench: &mut Bench) -> Result<()> {
    let tenants = bench.plan.tenants(1_000);
    let traffic = Traffic::Zipf(Arc::new(Zipf::new(u32::try_from(tenants)?, 1.0)));
    let case = ("checkout", "zipf-tokio");
    let shape = Shape { case, traffic, tenants, tasks: 200, connections: 20, target: 1.5 };
    let (tenants, opened) = shape.open(bench).await?;
    let ours = shape.clients(&opened, &tenants)?;
    let theirs = shape.switched(&bench.fleet.url(Route::Direct), &tenants)?;
    shape.measure(bench, opened, ours, theirs, "deadpool-postgres, SET on get").await
}

/// A row by its key through Diesel, against the pool of diesel-async for one schema.
pub(crate) async fn find(bench: &mut Bench) -> Result<()> {
    let shape = Shape { case: ("diesel", "find"), target: 0.95, ..Shape::one_tenant() };
    let (tenants, opened) = shape.open(bench).await?;
    let db = opened.tenancy.diesel(&tenants[0])?;
    let ours = Team::new(shape.draws().map(|draw| DieselTask { db: db.clone(), draw }));
    let pool = diesel_pool(&bench.fleet.url(Route::Direct), &tenants[0], shape.connections)?;
    let theirs = Team::new(shape.draws().map(|draw| DieselPoolTask { pool: pool.clone(), draw }));
    shape.measure(bench, opened, ours, theirs, "diesel-async on deadpool, no tenancy").await
}

/// The sizes of a comparison.
struct Shape {
    case: (&'static str, &'static str),
    traffic: Traffic,
    tenants: usize,
    tasks: usize,
    connections: u32,
    /// The lowest ratio.
    target: f64,
}

impl Shape {
    fn one_tenant() -> Self {
        let (case, traffic) = (("", ""), Traffic::Uniform(1));
        Self { case, traffic, tenants: 1, tasks: 16, connections: 8, target: 1.0 }
    }

    async fn open(&self, bench: &mut Bench) -> Result<(Vec<Tenant>, Opened)> {
        let tenants = bench.fleet.tenants(self.tenants).await?;
        // The reserve is for others, and there is nobody else.
        let reserve = (self.tenants == 1).then_some(0);
        let pool = PoolConfig { max_connections: self.connections, reserve, ..PoolConfig::default() };
        Ok((tenants, bench.fleet.open(Route::Direct, pool).await?))
    }

    fn draws(&self) -> impl Iterator<Item = Draw> {
        (0..self.tasks).map(|seed| Draw::new(&self.traffic, seed))
    }

    fn clients(&self, opened: &Opened, tenants: &[Tenant]) -> Result<Team<DrawnClientTask>> {
        let clients = tenants.iter().map(|tenant| opened.tenancy.client(tenant));
        let clients: Arc<[TenantClient]> = clients.collect::<tenantry::Result<_>>()?;
        Ok(Team::new(self.draws().map(|draw| DrawnClientTask { clients: Arc::clone(&clients), draw })))
    }

    fn switched(&self, url: &str, tenants: &[Tenant]) -> Result<Team<DeadpoolTask>> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(url.parse()?, NoTls, config);
        let pool = Pool::builder(manager)
            .max_size(usize::try_from(self.connections)?)
            .wait_timeout(Some(Duration::from_secs(30)))
            .runtime(Runtime::Tokio1)
            .build()?;
        let switches: Arc<[Switch]> = tenants.iter().map(switch_to).collect();
        let task = |draw| DeadpoolTask { pool: pool.clone(), switches: Arc::clone(&switches), draw };
        Ok(Team::new(self.draws().map(task)))
    }

    async fn measure(
        &self,
        bench: &mut Bench,
        opened: Opened,
        mut ours: Team<impl Worker>,
        mut theirs: Team<impl Worker>,
        against: &str,
    ) -> Result<()> {
        let sides: [&mut dyn Side; 2] = [&mut ours, &mut theirs];
        warm_up(&bench.plan, sides).await?;
        let (steps, switches) = (ours.steps, opened.switches()?);
        let rounds = interleave(&bench.plan, [&mut ours, &mut theirs]).await?;
        let (steps, switches) = (ours.steps - steps, opened.switches()? - switches);
        opened.close().await?;
        let target = Target::RatioAtLeast(self.target);
        bench.report.add(&Line {
            hit: Some(1.0 - f64::from(switches) / f64::from(steps)),
            ..Line::of_rates(self.case, self.tasks, &rounds, target, against)
        })
    }
}

/// Ours, on tokio-postgres.
struct DrawnClientTask {
    clients: Arc<[TenantClient]>,
    draw: Draw,
}

impl Worker for DrawnClientTask {
    async fn step(&mut self) -> Result<()> {
        let note = self.draw.note();
        let row = self.clients[self.draw.tenant()].query_one(SELECT, &[&note]).await?;
        let _: String = row.get(0);
        Ok(())
    }
}

/// The pool that users of tokio-postgres have, and a `SET` for whoever gets a connection of it.
struct DeadpoolTask {
    pool: Pool,
    switches: Arc<[Switch]>,
    draw: Draw,
}

impl Worker for DeadpoolTask {
    async fn step(&mut self) -> Result<()> {
        let note = self.draw.note();
        let client = self.pool.get().await?;
        client.batch_execute(&self.switches[self.draw.tenant()]).await?;
        let statement = client.prepare_cached(SELECT).await?;
        let _: String = client.query_one(&statement, &[&note]).await?.get(0);
        Ok(())
    }
}

/// Ours, on Diesel.
struct DieselTask {
    db: TenantDiesel,
    draw: Draw,
}

impl Worker for DieselTask {
    async fn step(&mut self) -> Result<()> {
        let find = note::table.find(self.draw.note()).select(note::title);
        found(find.first::<String>(&mut self.db).await.optional()?)
    }
}

/// The pool of diesel-async, without tenancy.
struct DieselPoolTask {
    pool: pooled_connection::deadpool::Pool<AsyncPgConnection>,
    draw: Draw,
}

impl Worker for DieselPoolTask {
    async fn step(&mut self) -> Result<()> {
        let mut connection = self.pool.get().await?;
        let find = note::table.find(self.draw.note()).select(note::title);
        found(find.first::<String>(&mut connection).await.optional()?)
    }
}

fn found(title: Option<String>) -> Result<()> {
    title.map(drop).ok_or_else(|| anyhow!("there is no such note"))
}

/// The pool at its best: it does not ask each time whether the connection still lives.
fn diesel_pool(
    url: &str,
    tenant: &Tenant,
    connections: u32,
) -> Result<pooled_connection::deadpool::Pool<AsyncPgConnection>> {
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}options=-csearch_path%3D{}", tenant.schema());
    let mut config = pooled_connection::ManagerConfig::default();
    config.recycling_method = pooled_connection::RecyclingMethod::Fast;
    let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new_with_config(url, config);
    let pool = pooled_connection::deadpool::Pool::builder(manager);
    Ok(pool.max_size(usize::try_from(connections)?).build()?)
}
