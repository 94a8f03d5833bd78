use isolation::CONNECTIONS;
use tenantry::{DatabaseConfig, PoolConfig, Tenancy};
use tenantry_embedded::ScratchDatabase;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn count(tenancy: &Tenancy) -> Result<i64, sqlx::Error> {
    let acme = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&acme).await
}

#[test]
fn a_pool_whose_runtime_has_ended_opens_connections_in_the_one_that_asks() {
    let (first, second) = (runtime(), runtime());
    let database = second.block_on(ScratchDatabase::create()).unwrap();
    let pool = PoolConfig { max_connections: CONNECTIONS, ..PoolConfig::default() };
    let config = DatabaseConfig::from_url(database.url()).unwrap().pool(pool);
    let tenancy = first.block_on(actix::open(config, "example.com")).unwrap();
    assert_eq!(first.block_on(count(&tenancy)).unwrap(), 0);
    drop(first);
    // What was opened before is of no use any more, and says so once for each.
    let tries = (0..=CONNECTIONS).map(|_| second.block_on(count(&tenancy)));
    assert_eq!(tries.last().unwrap().unwrap(), 0);
}
