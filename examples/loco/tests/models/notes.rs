//! The connections that there are, and what they reach.

use loco_rs::environment::Environment;
use loco_rs::prelude::*;
use notebook::initializers::tenancy::tenancy;
use notebook::models::_entities::notes;
use sea_orm::Statement;

use crate::requests::{Running, Schema, database_with_tenants};

/// The schema that a connection of the master is in, if Loco's own table is there.
async fn schema_of(db: &impl ConnectionTrait) -> String {
    let sql = "SELECT current_schema()::text AS name FROM (SELECT count(*) FROM seaql_migrations) AS found";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    row.unwrap().try_get("", "name").unwrap()
}

#[tokio::test]
async fn locos_own_connection_is_the_masters_and_reaches_no_tenant() {
    let database = database_with_tenants().await;
    let running = Running::start(&database, Schema::Kept).await;
    let master = tenancy(&running.ctx).await.unwrap().master();
    assert_eq!(schema_of(&running.ctx.db).await, "public");
    assert_eq!(schema_of(&master).await, "public");
    let error = notes::Entity::find().all(&running.ctx.db).await.unwrap_err();
    assert!(error.to_string().contains("\"notes\" does not exist"), "{error}");
}

/// Empty, it would be nothing in YAML, and no text.
#[test]
fn development_needs_no_database_of_yours() {
    let config = Environment::Development.load().unwrap();
    assert_eq!(config.database.uri, std::env::var("DATABASE_URL").unwrap_or_default());
}
