use std::process::{Command, Stdio};
use std::sync::Arc;

use sqlx::Row as _;
use tenantry::database::PoolMode;
use tenantry::{DatabaseConfig, PoolConfig, Tenancy, TenantDb};
use tokio::task::JoinSet;

use super::{Bare, Behind, create};
use crate::support::Client;

const TENANTS: usize = 40;
const PROCESSES: usize = 2;
/// Clients of the pooler in each process; together more than it has sessions.
const CLIENTS: usize = 6;
const SESSIONS: u32 = 4;
/// In all processes together, unless `TENANTRY_TRAFFIC_READS` says another number.
const READS: usize = 20_000;
/// Reads in a transaction, which is every other unit of work.
const READS_TOGETHER: usize = 5;

/// The rows that a process has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reads {
    total: usize,
    wrong: usize,
}

impl Reads {
    fn note(&mut self, found: &str, expected: &str) {
        self.total += 1;
        self.wrong += usize::from(found != expected);
    }

    fn and(self, other: Self) -> Self {
        Self { total: self.total + other.total, wrong: self.wrong + other.wrong }
    }
}

fn slug(number: usize) -> String {
    format!("tenant-{number}")
}

/// Every tenant's only row says whose it is.
async fn fill(behind: &Behind) {
    let tenancy = behind.tenancy(&["CREATE TABLE mine (slug text)"]).await;
    let mut owner = Client::owner(&behind.database).await;
    for number in 0..TENANTS {
        let db = create(&tenancy, &slug(number)).await;
        owner.run(&format!("INSERT INTO {}.mine VALUES ('{}')", db.tenant().schema(), slug(number))).await;
    }
}

/// Runs this very program again, once per process, and adds up what they have read.
fn read_in_processes(behind: &Behind, part: &str, reads: usize) -> Reads {
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "pooler::traffic::play_a_part", "--nocapture"]).stdout(Stdio::piped());
        command.env("TENANTRY_TEST_PART", part).env("TENANTRY_TEST_READS", (reads / PROCESSES).to_string());
        processes.push(command.env("TENANTRY_TRAFFIC_URL", behind.url()).spawn().unwrap());
    }
    let mut all = Reads::default();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let said = text.split_once("read: ").unwrap_or_else(|| panic!("{text}")).1;
        let mut numbers = said.split_whitespace().map(|number| number.parse().unwrap());
        all = all.and(Reads { total: numbers.next().unwrap(), wrong: numbers.next().unwrap() });
    }
    all
}

#[tokio::test]
async fn two_processes_never_read_a_row_of_another_tenant() {
    let behind = Behind::with_sessions(SESSIONS).await;
    fill(&behind).await;
    // As if a connection were a session: so the test can fail. It leaves every session in a schema.
    let plain = read_in_processes(&behind, "plain", 5_000);
    assert!(plain.wrong > 0, "{plain:?}");

    let number = std::env::var("TENANTRY_TRAFFIC_READS").map_or(READS, |number| number.parse().unwrap());
    let reads = read_in_processes(&behind, "tenantry", number);
    assert!(reads.total >= number, "{reads:?}");
    assert_eq!(reads.wrong, 0, "{reads:?}");
}

/// Started by the test above in a process of its own; without its variables it has no part to play.
#[tokio::test]
#[allow(clippy::print_stdout)]
async fn play_a_part() {
    let Ok(part) = std::env::var("TENANTRY_TEST_PART") else { return };
    let url = std::env::var("TENANTRY_TRAFFIC_URL").unwrap();
    let reads: usize = std::env::var("TENANTRY_TEST_READS").unwrap().parse().unwrap();
    let pool = PoolConfig {
        mode: PoolMode::Transaction,
        max_connections: u32::try_from(CLIENTS).unwrap(),
        ..PoolConfig::default()
    };
    let config = DatabaseConfig::from_url(&url).unwrap().pool(pool);
    let tenancy = Tenancy::builder().database(config).connect().await.unwrap();
    let mut tenants = Vec::new();
    for number in 0..TENANTS {
        tenants.push(tenancy.db(&tenancy.tenant(&slug(number)).await.unwrap()).unwrap());
    }
    let tenants = Arc::new(tenants);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (tenants, url, part) = (Arc::clone(&tenants), url.clone(), part.clone());
        clients.spawn(async move {
            let order = (0..).map(|step| step * 7 + client);
            match part.as_str() {
                "tenantry" => read_with_tenantry(&tenants, order, reads.div_ceil(CLIENTS)).await,
                _ => read_with_plain_set(&url, &tenants, order, reads.div_ceil(CLIENTS)).await,
            }
        });
    }
    let reads = clients.join_all().await.into_iter().fold(Reads::default(), Reads::and);
    println!("read: {} {}", reads.total, reads.wrong);
}

async fn read_with_tenantry(
    tenants: &[TenantDb],
    order: impl Iterator<Item = usize>,
    at_least: usize,
) -> Reads {
    let mut reads = Reads::default();
    let read = || sqlx::query_scalar::<_, String>("SELECT slug FROM mine");
    for step in order {
        if reads.total >= at_least {
            break;
        }
        let db = &tenants[step % TENANTS];
        if step % 2 == 0 {
            reads.note(&read().fetch_one(db).await.unwrap(), db.tenant().slug().as_str());
            continue;
        }
        let mut tx = db.begin().await.unwrap();
        for _ in 0..READS_TOGETHER {
            reads.note(&read().fetch_one(&mut *tx).await.unwrap(), db.tenant().slug().as_str());
        }
        tx.commit().await.unwrap();
    }
    reads
}

/// Does what many programs do: the path is set when a connection is taken, and believed from there on.
async fn read_with_plain_set(
    url: &str,
    tenants: &[TenantDb],
    order: impl Iterator<Item = usize>,
    at_least: usize,
) -> Reads {
    let mut reads = Reads::default();
    let mut client = Bare::connect(url).await;
    for step in order {
        if reads.total >= at_least {
            break;
        }
        let tenant = tenants[step % TENANTS].tenant();
        client.run(&format!("SET search_path TO {}", tenant.schema())).await;
        let together = if step % 2 == 0 { 1 } else { READS_TOGETHER };
        for _ in 0..together {
            // A session that nobody has set yet shows no such table, which is no row of another tenant.
            match sqlx::raw_sql("SELECT slug FROM mine").fetch_one(&mut client.0).await {
                Ok(row) => reads.note(&row.get::<String, _>(0), tenant.slug().as_str()),
                Err(_) => reads.total += 1,
            }
        }
    }
    reads
}
