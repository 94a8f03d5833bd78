//! The example, driven over HTTP, with its worker in a process of its own that is killed in the middle.
#![allow(missing_docs, clippy::unwrap_used)]

mod program;

use std::time::{Duration, Instant};

use jobs::{Queue, WriteReport};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::tenant::{Suspension, Tenant};
use tenantry::{ForTenant, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use self::program::Program;

/// Jobs of each of the two tenants whose jobs alternate.
const MANY: usize = 40;
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    queue: Queue,
    tenancy: Tenancy,
    database: ScratchDatabase,
    web: Program,
}

impl World {
    async fn of(queue: Queue) -> Self {
        let database = ScratchDatabase::create().await.unwrap();
        let web = Program::start("web", queue, database.url());
        let tenancy = jobs::open(database.url(), queue).await.unwrap();
        Self { queue, tenancy, database, web }
    }

    fn worker(&self) -> Program {
        Program::start("worker", self.queue, self.database.url())
    }

    /// Orders a report, and gives its number.
    fn order(&self, tenant: &str, title: &str) -> i64 {
        let answer = self.web.post(tenant, title);
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        answer.rsplit("\r\n").next().unwrap().parse().unwrap()
    }

    /// The reports of a tenant: title, text, and how often each was written.
    fn reports(&self, tenant: &str) -> Vec<(String, Option<String>, i64)> {
        let answer = self.web.get(tenant);
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let rows: Vec<Value> = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
        let of = |row: &Value, key: &str| row[key].as_str().map(str::to_owned);
        rows.iter()
            .map(|row| (of(row, "title").unwrap(), of(row, "text"), row["runs"].as_i64().unwrap()))
            .collect()
    }

    fn written(&self, tenant: &str) -> usize {
        self.reports(tenant).iter().filter(|(_, text, _)| text.is_some()).count()
    }

    async fn new_tenant(&self, slug: &str) -> Tenant {
        self.tenancy.create(NewTenant::new(slug)).await.unwrap()
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.connect().await).await.unwrap()
    }

    /// The number of jobs that the queue has given up.
    async fn dead(&self) -> i64 {
        self.count(match self.queue {
            Queue::Apalis => "SELECT count(*) FROM apalis.jobs WHERE status = 'Killed' AND attempts = 1",
            Queue::Graphile => {
                "SELECT count(*) FROM graphile_worker._private_jobs \
                 WHERE attempts = max_attempts AND attempts = 1 AND locked_at IS NULL"
            }
        })
        .await
    }

    /// The number of jobs that wait for a better time.
    async fn waiting(&self) -> i64 {
        self.count(match self.queue {
            Queue::Apalis => "SELECT count(*) FROM apalis.jobs WHERE status = 'Pending' AND attempts > 0",
            Queue::Graphile => {
                "SELECT count(*) FROM graphile_worker._private_jobs \
                 WHERE attempts = 0 AND last_error LIKE '%suspended%'"
            }
        })
        .await
    }

    async fn kept(&self) -> i64 {
        self.count(match self.queue {
            Queue::Apalis => "SELECT count(*) FROM apalis.jobs",
            Queue::Graphile => "SELECT count(*) FROM graphile_worker._private_jobs",
        })
        .await
    }

    /// Enqueues something that is no job of a tenant.
    async fn forge(&self, payload: &Value) {
        let text = payload.to_string();
        let forge = match self.queue {
            Queue::Apalis => {
                "INSERT INTO apalis.jobs (id, job_type, job) \
                 VALUES (apalis.generate_ulid(), 'reports', convert_to($1, 'UTF8'))"
            }
            Queue::Graphile => "SELECT graphile_worker.add_job('write_report', $1::json) IS NOT NULL",
        };
        sqlx::query(forge).bind(text).execute(&mut self.connect().await).await.unwrap();
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_apalis_are_done_for_their_tenants() {
    jobs_are_done_for_their_tenants(Queue::Apalis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_graphile_worker_are_done_for_their_tenants() {
    jobs_are_done_for_their_tenants(Queue::Graphile).await;
}

async fn jobs_are_done_for_their_tenants(queue: Queue) {
    let world = World::of(queue).await;
    let (paused, leaver) = (world.new_tenant("paused").await, world.new_tenant("leaver").await);
    for number in 0..MANY {
        for tenant in ["acme", "globex"] {
            world.order(tenant, &format!("{tenant} {number}"));
        }
    }
    let cut_off = world.order("acme", "acme cut off");
    for tenant in ["paused", "leaver"] {
        world.order(tenant, tenant);
    }
    assert!(world.web.post("acme", "").starts_with("HTTP/1.1 500 "), "no title, no report");
    let orders = i64::try_from(2 * MANY + 3).unwrap();
    assert_eq!(world.kept().await, orders, "one job for each report");
    enqueue_in_vain(&world).await;
    assert_eq!(world.kept().await, orders, "no job of what was rolled back");

    world.tenancy.suspend(&paused, Suspension::new()).await.unwrap();
    world.tenancy.delete(&leaver).await.unwrap();
    for payload in [
        json!({ "tenant": "acme", "job": { "id": 1 } }),
        json!({ "slug": "acme", "job": { "id": 1 } }),
        json!({ "tenant": "00000000-0000-0000-0000-000000000000", "job": { "id": 1 } }),
    ] {
        world.forge(&payload).await;
    }
    // Somebody holds a row, so that its job does not come to an end.
    let acme = world.tenancy.tenant("acme").await.unwrap();
    let mut holder = world.connect().await;
    let mut held = holder.begin().await.unwrap();
    let lock = format!("SELECT FROM {}.report WHERE id = {cut_off} FOR UPDATE", acme.schema());
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *held).await.unwrap();

    let worker = world.worker();
    eventually("the others' jobs are done", async || {
        world.written("acme") == MANY && world.written("globex") == MANY
    })
    .await;
    let stuck = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE report%'";
    eventually("one is in the middle", async || world.count(stuck).await == 1).await;
    eventually("the job of the suspended tenant waits", async || world.waiting().await == 1).await;
    eventually("four are given up", async || world.dead().await == 4).await;
    worker.kill();
    held.rollback().await.unwrap();
    assert_eq!(world.written("acme"), MANY, "what was cut off is undone");

    world.tenancy.resume(&paused).await.unwrap();
    let worker = world.worker();
    eventually("the job that was cut off is done", async || world.written("acme") == MANY + 1).await;
    eventually("the resumed tenant's job is done", async || world.written("paused") == 1).await;
    assert_eq!(world.dead().await, 4, "and nobody tried those again");
    worker.kill();
    for tenant in ["acme", "globex", "paused"] {
        for (title, text, runs) in world.reports(tenant) {
            assert!(title.starts_with(tenant), "{title} is of somebody else");
            assert_eq!((text, runs), (Some(title.to_uppercase()), 1), "{tenant}: {title}");
        }
    }
    let undeleted =
        world.tenancy.undelete(&world.tenancy.find(&leaver.id().into()).await.unwrap()).await.unwrap();
    assert_eq!(world.written(undeleted.slug().as_str()), 0);
    let findings = world.tenancy.doctor().await;
    let about: Vec<_> = findings
        .iter()
        .filter(|finding| ["apalis", "graphile", "extension"].iter().any(|it| finding.what.contains(it)))
        .collect();
    assert!(about.is_empty(), "{about:?}");
}

/// Enqueues a job in a transaction that comes to nothing.
async fn enqueue_in_vain(world: &World) {
    let acme = world.tenancy.tenant("acme").await.unwrap();
    let mut tx = world.tenancy.db(&acme).unwrap().begin().await.unwrap();
    world.queue.enqueue(&mut tx, &ForTenant::new(&acme, WriteReport { id: 1 })).await.unwrap();
    tx.rollback().await.unwrap();
}
