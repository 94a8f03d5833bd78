//! Changes that a test may make without being told of a leak.

use futures_util::TryStreamExt as _;
use tenantry::testing::World;
use tenantry::{Fleet, NewTenant, PurgeOptions};

use super::{builder, run, world};

async fn expect_none(world: World) {
    assert_eq!(world.leaks().await.unwrap(), []);
    world.finish().await.unwrap();
}

#[tokio::test]
async fn changes_through_a_handle_of_ones_own() {
    let world = world().await;
    let (acme, globex) = (world.db("acme"), world.db("globex"));
    run(&world, &acme, "CREATE TABLE more (id bigint); INSERT INTO tag VALUES ('third')").await;
    // The text says nothing of a write.
    sqlx::query("SELECT add_note('Buy anvils')").execute(&globex).await.unwrap();
    expect_none(world).await;
}

#[tokio::test]
async fn changes_in_a_transaction_or_session_that_ended() {
    let world = world().await;
    let mut tx = world.db("acme").begin().await.unwrap();
    sqlx::query("DELETE FROM tag").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut checkout = world.db("globex").acquire().await.unwrap();
    sqlx::query("SET app.actor TO 'jane'").execute(&mut checkout).await.unwrap();
    drop(checkout);
    expect_none(world).await;
}

/// Rows that were rolled back leave room in the files.
#[tokio::test]
async fn rows_that_were_rolled_back() {
    let world = world().await;
    let mut tx = world.db("acme").begin().await.unwrap();
    let globex = world.tenant("globex").schema().to_string();
    let insert = sqlx::AssertSqlSafe(format!("INSERT INTO {globex}.tag VALUES ('third')"));
    sqlx::query(insert).execute(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    expect_none(world).await;
}

#[tokio::test]
async fn changes_of_the_master_through_its_handle() {
    let world = world().await;
    sqlx::query("DELETE FROM plan").execute(&world.master()).await.unwrap();
    expect_none(world).await;
}

#[tokio::test]
async fn tenants_that_come_and_go() {
    let world = world().await;
    let tenancy = world.tenancy();
    let initech = tenancy.create(NewTenant::new("initech")).await.unwrap();
    sqlx::query("DELETE FROM tag").execute(&tenancy.db(&initech).unwrap()).await.unwrap();
    let globex = tenancy.delete(world.tenant("globex")).await.unwrap();
    let options = PurgeOptions { now: true, ..PurgeOptions::default() };
    tenancy.purge(&globex, options).await.unwrap();
    tenancy.fill_spares(1).await.unwrap();
    expect_none(world).await;
}

#[tokio::test]
async fn a_job_for_every_tenant() {
    let world = world().await;
    let job = async |db: tenantry::TenantDb| sqlx::query("DELETE FROM tag").execute(&db).await.map(drop);
    let done = world.tenancy().for_each(Fleet::all(), 2, job);
    let done: Vec<_> = done.try_collect().await.unwrap();
    assert!(done.iter().all(|(_, result)| result.is_ok()) && done.len() == 2);
    expect_none(world).await;
}

#[tokio::test]
async fn what_was_said_to_be_changed() {
    let world = world().await;
    world.allow_changes_of("globex");
    world.allow_changes_of_master();
    run(&world, &world.db("acme"), "DELETE FROM {globex}.tag; DROP TABLE public.plan").await;
    expect_none(world).await;
}

#[tokio::test]
async fn migrations_that_are_applied_in_the_test() {
    let folder = std::env::temp_dir().join(format!("tenantry-worlds-{}", uuid::Uuid::new_v4().simple()));
    let world = builder().create().await.unwrap();
    let files = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(super::MIGRATIONS);
    for directory in ["master", "tenant"] {
        std::fs::create_dir_all(folder.join(directory)).unwrap();
        for file in std::fs::read_dir(files.join(directory)).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), folder.join(directory).join(file.file_name())).unwrap();
        }
    }
    std::fs::write(folder.join("tenant/0002_more.sql"), "ALTER TABLE note ADD COLUMN colour text").unwrap();
    let migrations = tenantry::Migrations::from_dirs(folder.join("master"), folder.join("tenant")).unwrap();
    let database = tenantry::DatabaseConfig::from_url(world.url()).unwrap();
    let newer =
        tenantry::Tenancy::builder().database(database).migrations(migrations).connect().await.unwrap();
    newer.migrate(Fleet::all(), ()).await.unwrap();
    newer.close(std::time::Duration::from_secs(5)).await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    expect_none(world).await;
}
