use docs::blocks_of;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::tenant::Alias;
use tenantry::{Config, NewTenant, Tenancy};
use tenantry_embedded::ScratchServer;

use crate::support::{add, migrations, read_config, run};

const PAGE: &str = "docs/roles.md";

/// The URL of the superuser in another database.
fn superuser(server: &ScratchServer, database: &str) -> String {
    let (server, _) = server.url().rsplit_once('/').unwrap();
    format!("{server}/{database}")
}

/// Runs each statement by itself: a database cannot be made in a transaction.
async fn run_each(url: &str, sql: &str) {
    for statement in sql.split_inclusive(";\n") {
        run(url, statement).await;
    }
}

/// The file of the page, with this server's address.
fn config(server: &ScratchServer) -> Config {
    let [toml] = blocks_of(PAGE, "toml");
    let toml = toml.replace('…', "secret").replace("@localhost/", &format!("@127.0.0.1:{}/", server.port()));
    read_config(&toml)
}

async fn can(url: &str, question: &str) -> bool {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT {question}"))).fetch_one(&mut connection).await.unwrap()
}

/// Goes on where the page ends, and holds what its table promises.
async fn check(server: &ScratchServer) {
    let config = config(server);
    let builder = Tenancy::builder().config(&config).unwrap().migrations(migrations());
    let tenancy = builder.install(true).connect().await.unwrap();
    tenancy.migrate(tenantry::Fleet::all(), |_: &tenantry::observe::Outcome<'_>| {}).await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let db = tenancy.db(&acme).unwrap();
    add(&db, "one").await;
    sqlx::query("INSERT INTO plan VALUES ('gold')").execute(&tenancy.master()).await.unwrap();
    for statement in ["DROP TABLE note", "CREATE TABLE more ()", "SELECT * FROM _sqlx_migrations"] {
        let error = tenantry::Error::from(sqlx::query(statement).execute(&db).await.unwrap_err());
        assert_eq!(error.database_code().as_deref(), Some("42501"), "{statement}");
    }
    let (url, schema) = (superuser(server, "saas"), acme.schema());
    for privilege in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        assert!(can(&url, &format!("has_table_privilege('saas_app', '{schema}.note', '{privilege}')")).await);
    }
    assert!(can(&url, "has_table_privilege('saas_app', 'tenantry.tenant_lookup', 'SELECT')").await);
    assert!(can(&url, "has_schema_privilege('saas_app', 'tenantry_void', 'USAGE')").await);
    assert!(!can(&url, "has_table_privilege('saas_app', 'tenantry.tenant', 'UPDATE')").await);
    assert!(!can(&url, "has_schema_privilege('saas_app', 'public', 'CREATE')").await);
    assert_eq!(tenancy.doctor().await, [], "nothing is missing and nothing is too much");
}

#[tokio::test]
async fn a_database_of_the_owner_needs_nothing_else() {
    let server = ScratchServer::start().await.unwrap();
    let [roles, older] = blocks_of(PAGE, "sql");
    run_each(server.url(), &roles.replace('…', "secret")).await;
    if can(server.url(), "current_setting('server_version_num')::int < 150000").await {
        run(&superuser(&server, "saas"), &older).await;
    }
    check(&server).await;
}

#[tokio::test]
async fn a_database_of_somebody_else_needs_grants() {
    let server = ScratchServer::start().await.unwrap();
    let [roles, older] = blocks_of(PAGE, "sql");
    let roles = roles.replace('…', "secret").replace(" OWNER saas_owner", "");
    run_each(server.url(), &roles).await;
    run(&superuser(&server, "saas"), &older).await;
    check(&server).await;
}

#[tokio::test]
async fn without_the_way_of_the_owner_no_tenant_is_made() {
    let server = ScratchServer::start().await.unwrap();
    let [roles, _] = blocks_of(PAGE, "sql");
    run_each(server.url(), &roles.replace('…', "secret")).await;
    let config = config(&server);
    Tenancy::builder().config(&config).unwrap().install(true).connect().await.unwrap();
    let alone = tenantry::DatabaseConfig::from_url(config.url(&Alias::default()).unwrap()).unwrap();
    let tenancy = Tenancy::builder().database(alone).connect().await.unwrap();
    let refused = tenancy.create(NewTenant::new("acme")).await.unwrap_err();
    assert_eq!(refused.database_code().as_deref(), Some("42501"), "{refused}");
}
