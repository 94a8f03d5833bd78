//! 6. Registry and schemas agree: one run at a time changes schemas.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::fixture::{Installation, builder, installation};
use crate::migrate::MigrateOptions;
use crate::observe::Outcome;
use crate::tenant::Tenant;
use crate::{ErrorKind, Fleet, PoolConfig, Tenancy};

const NOTE: &str = "CREATE TABLE note (id int)";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_taken_over_changes_no_further_tenant() {
    let installation = installation(&[NOTE], PoolConfig::default()).await;
    let [acme, globex, initech] = ["acme", "globex", "initech"].map(|slug| installation.create(slug));
    let (acme, globex, initech) = (acme.await, globex.await, initech.await);
    let (first, second) = (newer(&installation).await, newer(&installation).await);

    // The first run stands at its first tenant, and loses its lock there.
    let mut blocker = installation.outside().await;
    let lock = format!("BEGIN; LOCK TABLE \"{}\".note", acme.schema());
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut blocker).await.unwrap();
    let run =
        tokio::spawn(async move { first.migrate(one_by_one(Fleet::all()), |_: &Outcome<'_>| {}).await });
    let holder = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 'x6e747275'::bit(32)::bigint \
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    wait_for(&installation, holder).await;
    let waiting = "SELECT pid FROM pg_locks WHERE NOT granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    wait_for(&installation, waiting).await;
    installation
        .run_as_superuser(&format!("SELECT pg_terminate_backend(pid) FROM ({holder}) AS holder"))
        .await;

    // Somebody else takes over, and is done at once.
    let summary = loop {
        let only = one_by_one(Fleet::only([initech.slug().clone()]));
        match second.migrate(only, |_: &Outcome<'_>| {}).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            result => break result.unwrap(),
        }
    };
    assert_eq!(summary.migrated, 1);

    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
    let ended = run.await.unwrap();
    assert_eq!(columns(&installation, &globex).await, 1, "{ended:?}");
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Conflict);
}

/// The same installation in a release that has one migration more.
async fn newer(installation: &Installation) -> Tenancy {
    let files = [NOTE, "ALTER TABLE note ADD COLUMN title text"];
    builder(&installation.database, &files, PoolConfig::default()).connect().await.unwrap()
}

fn one_by_one(fleet: Fleet) -> MigrateOptions {
    // Nobody gives up on the lock before the others have had their turn.
    let mut options = MigrateOptions { jobs: NonZeroU32::MIN, ..fleet.into() };
    options.limits.lock_timeout = Duration::from_mins(1);
    options
}

async fn wait_for(installation: &Installation, rows: &str) {
    let mut connection = installation.outside().await;
    for _ in 0..1_000 {
        let found = sqlx::query(sqlx::AssertSqlSafe(rows)).fetch_all(&mut connection).await.unwrap();
        if !found.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{rows}");
}

async fn columns(installation: &Installation, tenant: &Tenant) -> i64 {
    let schema: &str = tenant.schema().as_str();
    sqlx::query_scalar(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'note'",
    )
    .bind(schema)
    .fetch_one(&mut installation.outside().await)
    .await
    .unwrap()
}
