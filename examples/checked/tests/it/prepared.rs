use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Result, SqlSafeStr as _};
use tenantry::TenantDb;

use crate::open;

/// The files that `cargo sqlx prepare` wrote, by their queries.
fn prepared() -> BTreeMap<String, Value> {
    let files =
        fs::read_dir(".sqlx").unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let prepared = files.map(|text| serde_json::from_str::<Value>(&text).unwrap());
    prepared.map(|file| (file["query"].as_str().unwrap().to_owned(), file["describe"].clone())).collect()
}

/// A session like those of `tenantry dev url --with-master`, with the setting that the macros make.
async fn session(url: &str, db: &TenantDb) -> PgConnection {
    let path: String = sqlx::query_scalar("SHOW search_path").fetch_one(db).await.unwrap();
    let mut session = PgConnection::connect(url).await.unwrap();
    let settings = format!("SET search_path TO {path}, public; SET plan_cache_mode TO force_generic_plan");
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut session).await.unwrap();
    session
}

/// Describes a query as the macros would now.
async fn describe(session: &mut PgConnection, query: &str) -> Result<Value> {
    let description = session.describe(AssertSqlSafe(query).into_sql_str()).await?;
    Ok(serde_json::to_value(description).unwrap())
}

/// `cargo sqlx prepare --check`, without a second build: a query that is not in `.sqlx/` does not compile, so it is
/// enough to ask for those that are.
#[tokio::test]
async fn what_is_prepared_is_what_postgresql_says() {
    let (tenancy, database) = open().await;
    let tenant = tenancy.tenant("acme").await.unwrap();
    let db = tenancy.db(&tenant).unwrap();
    let mut acme = session(database.url(), &db).await;
    let prepared = prepared();
    assert!(!prepared.is_empty());
    for (query, description) in &prepared {
        let now = describe(&mut acme, query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(&now, description, "run `cargo sqlx prepare` again, for this:\n{query}");
        assert!(
            !description.to_string().contains(tenant.schema().as_str()),
            "it is not of one tenant: {query}"
        );
    }

    // Whatever a migration changes of a column is found: whether it may be null, its type, its name.
    let changed = async |sql: &str| {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&db).await.unwrap();
        let mut acme = session(database.url(), &db).await;
        let mut changed = 0;
        for (query, description) in &prepared {
            changed += usize::from(describe(&mut acme, query).await.ok().as_ref() != Some(description));
        }
        changed
    };
    assert_eq!(changed("CREATE TABLE unrelated ()").await, 0);
    assert_eq!(changed("ALTER TABLE ticket ALTER assignee SET NOT NULL").await, 2);
    assert_eq!(changed("ALTER TABLE ticket ALTER assignee DROP NOT NULL").await, 0);
    assert_eq!(
        changed("ALTER TYPE ticket_state ADD VALUE 'lost'").await,
        2,
        "a value that the program may not know"
    );
    assert_eq!(changed("ALTER TABLE notice ALTER body TYPE varchar").await, 3);
    assert_eq!(changed("ALTER TABLE ticket RENAME title TO subject").await, 4);
}

#[tokio::test]
async fn a_name_that_both_schemas_have_is_checked_as_the_tenants() {
    let (tenancy, database) = open().await;
    let db = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    let mut acme = session(database.url(), &db).await;
    let columns = describe(&mut acme, "SELECT * FROM notice").await.unwrap()["columns"].clone();
    let names: Vec<_> = columns.as_array().unwrap().iter().map(|column| &column["name"]).collect();
    assert_eq!(names, [&json!("id"), &json!("body")]);
    assert!(describe(&mut acme, "SELECT text FROM notice").await.is_err(), "a column of the master's table");
    describe(&mut acme, "SELECT text FROM public.notice").await.unwrap();
    // A query without a schema in front finds the master's table where the tenant has none of that name.
    describe(&mut acme, "SELECT name FROM plan").await.unwrap();
}
