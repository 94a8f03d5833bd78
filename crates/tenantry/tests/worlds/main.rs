//! `#[tenantry::test]`, the worlds of such tests, and that each kind of leak fails one.
#![allow(missing_docs, clippy::unwrap_used)]

mod attribute;
mod leaks;
mod no_leaks;

use sqlx::AssertSqlSafe;
use tenantry::TenantDb;
use tenantry::testing::{World, WorldBuilder};

const MIGRATIONS: &str = "tests/worlds/migrations";

fn builder() -> WorldBuilder {
    World::builder().folder(env!("CARGO_MANIFEST_DIR")).migrations_in(MIGRATIONS).tenants(["acme", "globex"])
}

async fn world() -> World {
    builder().create().await.unwrap()
}

/// Runs SQL as a tenant, in which `{globex}` is the schema of the other one.
async fn run(world: &World, db: &TenantDb, sql: &str) {
    let sql = sql.replace("{globex}", world.tenant("globex").schema().as_str());
    let done = sqlx::raw_sql(AssertSqlSafe(sql.as_str())).execute(db).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn count(db: &TenantDb) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(db).await.unwrap()
}
