mod faithful;
mod ledger;
mod login;
mod many;
mod moment;
mod refused;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_embedded::ScratchDatabase;

use crate::bench::Project;

const EXTENSIONS: [&str; 6] = ["citext", "hstore", "pg_trgm", "btree_gist", "moddatetime", "\"uuid-ossp\""];

async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await {
        panic!("{sql}: {error}");
    }
    connection.close().await.unwrap();
}

async fn value<T>(url: &str, sql: &str) -> T
where
    (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    T: Send + Unpin,
{
    let mut connection = PgConnection::connect(url).await.unwrap();
    let (value,): (T,) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
    value
}

/// A customer's own database.
async fn source(sql: &str) -> ScratchDatabase {
    let source = ScratchDatabase::create().await.unwrap();
    run(source.superuser_url(), sql).await;
    source
}

/// An installation that knows the extensions.
async fn installation() -> Project {
    let project = Project::new().await;
    project.write("migrations/master/0001_plan.sql", "CREATE TABLE plan (name text);");
    project.ok(&["init"]);
    let create: Vec<_> =
        EXTENSIONS.iter().map(|name| format!("CREATE EXTENSION {name} SCHEMA extensions")).collect();
    run(superuser(&project), &create.join(";")).await;
    project
}

fn superuser(project: &Project) -> &str {
    project.database.as_ref().unwrap().superuser_url()
}

/// The number of schemas of tenants, and of tenants, which is the same.
async fn tenants(project: &Project) -> i64 {
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 't\\_%'";
    let tenants = "SELECT count(*) FROM tenantry.tenant";
    let schemas: i64 = value(superuser(project), schemas).await;
    let tenants = value(superuser(project), tenants).await;
    assert_eq!(schemas, tenants);
    tenants
}
