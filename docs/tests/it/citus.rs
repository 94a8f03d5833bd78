//! The page is run against an emulation, which is not Citus.

use docs::blocks_of;
use sqlx::{Connection as _, PgConnection};
use tenantry::observe::Outcome;
use tenantry::{Error, Fleet, Migrations, NewTenant, Tenancy};
use tenantry_embedded::ScratchServer;

use crate::support::{Folder, read_config, run};

const PAGE: &str = "docs/citus.md";
const EMULATION: &str = include_str!("../../../crates/tenantry/tests/citus/emulation.sql");
/// The calls by which nodes are named, and the extension, which is not installed here.
const NODES: &str =
    "CREATE FUNCTION citus_set_coordinator_host(host text, port int) RETURNS void LANGUAGE sql AS
         'UPDATE pg_dist_node SET nodename = host, nodeport = port WHERE groupid = 0';
     CREATE FUNCTION citus_add_node(host text, port int) RETURNS int LANGUAGE sql AS
         'INSERT INTO pg_dist_node
          SELECT max(nodeid) + 1, max(groupid) + 1, host, port, true, ''primary'' FROM pg_dist_node
          RETURNING nodeid'";
const EXTENSION: &str = "CREATE EXTENSION citus;";

#[tokio::test]
async fn a_cluster_takes_tenants_as_the_page_says() {
    let server = ScratchServer::start().await.unwrap();
    for login in ["saas_owner", "saas_app"] {
        run(server.url(), &format!("CREATE ROLE {login} LOGIN PASSWORD 'secret'")).await;
    }
    run(server.url(), "CREATE DATABASE saas").await;
    let superuser = format!("{}/saas", server.url().rsplit_once('/').unwrap().0);
    run(&superuser, EMULATION).await;
    run(&superuser, NODES).await;
    let [nodes, plan] = blocks_of(PAGE, "sql");
    assert!(nodes.starts_with(EXTENSION), "{nodes}");
    run(&superuser, nodes.trim_start_matches(EXTENSION)).await;

    let [toml, routing] = blocks_of(PAGE, "toml");
    assert!(toml.contains("@coordinator.internal/"), "{toml}");
    let toml = toml.replace("@coordinator.internal/", &format!(":secret@127.0.0.1:{}/", server.port()));
    let config = read_config(&toml);
    let folder = Folder::new();
    let (file, plan) = plan.split_once('\n').unwrap();
    folder.write(file.trim_start_matches("-- "), plan);
    let note = folder.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id bigint PRIMARY KEY)");
    let tenants = note.parent().unwrap();
    let migrations = Migrations::from_dirs(tenants.with_file_name("master"), tenants).unwrap();
    let tenancy = Tenancy::builder().config(&config).unwrap().migrations(migrations).install(true);
    let tenancy = tenancy.connect().await.unwrap();
    tenancy.migrate(Fleet::all(), |_: &Outcome<'_>| {}).await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    sqlx::query("INSERT INTO note VALUES (1)").execute(&tenancy.db(&acme).unwrap()).await.unwrap();

    let mut client = PgConnection::connect(&superuser).await.unwrap();
    let distributed = "SELECT schema_name::text FROM citus_schemas";
    let distributed: Vec<String> = sqlx::query_scalar(distributed).fetch_all(&mut client).await.unwrap();
    assert_eq!(distributed, [acme.schema().as_str()]);
    goes_to_the_worker(&format!("{toml}\n{}", routing.trim_start_matches("[databases.default]\n"))).await;
}

/// There is no worker of that name, which is told.
async fn goes_to_the_worker(toml: &str) {
    let tenancy = Tenancy::builder().config(&read_config(toml)).unwrap().connect().await.unwrap();
    let db = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    let counted = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM note").fetch_one(&db).await;
    let error = Error::from(counted.unwrap_err()).to_string();
    assert!(error.contains("@worker"), "{error}");
}
