//! 6. Registry and schemas agree, on Citus as well. The server is an *emulation* here.

use std::sync::Arc;

use sqlx::Connection as _;
use tenantry_embedded::ScratchDatabase;

use crate::fixture::{Installation, builder, emulate_citus};
use crate::migrate::SchemaLock;
use crate::observe::Outcome;
use crate::registry::MoveMethod;
use crate::tenant::Node;
use crate::{DatabaseConfig, Error, ErrorKind, Fleet, PoolConfig, Tenancy};

const NOTE: &str = "CREATE TABLE note (id bigint PRIMARY KEY)";

async fn installation() -> Installation {
    let database = Arc::new(ScratchDatabase::create().await.unwrap());
    emulate_citus(&database).await;
    let tenancy = builder(&database, &[NOTE], PoolConfig::default()).connect().await.unwrap();
    Installation { tenancy, database }
}

#[tokio::test]
async fn no_tenant_goes_to_another_node_while_somebody_works_on_it() {
    let installation = installation().await;
    let acme = installation.create("acme").await;
    let mut other = installation.outside().await;
    assert!(SchemaLock::of(acme.schema()).try_take(&mut other).await.unwrap());
    // On whichever of the two it is.
    let nodes = [Node::new("worker", 1), Node::new("worker", 2)];
    for node in &nodes {
        let moved = installation.tenancy.move_to_node(&acme, node, MoveMethod::Online).await;
        assert_eq!(moved.unwrap_err().kind(), ErrorKind::Conflict);
    }
    other.close().await.unwrap();
    for node in &nodes {
        installation.tenancy.move_to_node(&acme, node, MoveMethod::Online).await.unwrap();
    }
}

/// The same installation in a release that has one migration more.
async fn with(installation: &Installation, file: &str) -> Tenancy {
    builder(&installation.database, &[NOTE, file], PoolConfig::default()).connect().await.unwrap()
}

/// Has statements go to the workers, of which the first is said to be at the address of the server itself.
async fn routed(installation: &Installation) -> (Tenancy, Node) {
    let config = DatabaseConfig::from_url(installation.database.url()).unwrap();
    let address = config.connect_options();
    let node = Node::new(address.get_host(), address.get_port());
    let (host, port) = (node.host(), node.port());
    let name = format!("UPDATE pg_dist_node SET nodename = '{host}', nodeport = {port} WHERE groupid = 1");
    installation.run_as_superuser(&name).await;
    let builder = builder(&installation.database, &[NOTE], PoolConfig::default());
    (builder.database(config.route_to_workers(true)).connect().await.unwrap(), node)
}

#[tokio::test]
async fn a_server_that_is_not_the_worker_gets_no_statement() {
    let installation = installation().await;
    let acme = installation.create("acme").await;
    let (tenancy, node) = routed(&installation).await;
    tenancy.move_to_node(&acme, &node, MoveMethod::Online).await.unwrap();
    let db = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    let counted = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM note").fetch_one(&db).await;
    let error = Error::from(counted.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::DatabaseUnavailable);
    assert!(format!("{error:#}").contains("is no worker of a cluster"), "{error:#}");
}

#[tokio::test]
async fn a_registry_that_is_wrong_leads_nobody_to_another_node() {
    let installation = installation().await;
    let acme = installation.create("acme").await;
    let (tenancy, node) = routed(&installation).await;
    tenancy.move_to_node(&acme, &node, MoveMethod::Online).await.unwrap();
    installation.run("UPDATE tenantry.tenant SET node = 'elsewhere:1'").await;
    let fresh = routed(&installation).await.0;
    assert_eq!(fresh.tenant("acme").await.unwrap().node(), Some(&node));
}

#[tokio::test]
async fn a_file_of_several_statements_reaches_a_worker_one_by_one() {
    let installation = installation().await;
    installation.create("acme").await;
    let file =
        "ALTER TABLE note ADD COLUMN title text;\nCREATE INDEX note_title ON note (title); -- the last\n";
    let newer = with(&installation, file).await;
    let summary = newer.migrate(Fleet::all(), |_: &Outcome<'_>| {}).await.unwrap();
    assert_eq!(
        (summary.migrated, summary.failed),
        (1, 0),
        "{:?}",
        newer.tenant("acme").await.unwrap().last_error()
    );
}

#[tokio::test]
async fn no_change_of_a_distributed_schema_is_committed_before_it_is_on_disk() {
    let installation = installation().await;
    installation.create("acme").await;
    let newer = with(&installation, "ALTER TABLE note ADD COLUMN title text").await;
    assert_eq!(newer.migrate(Fleet::all(), |_: &Outcome<'_>| {}).await.unwrap().migrated, 1);
    let mut outside = installation.outside().await;
    let sent: Vec<(String, String)> =
        sqlx::query_as("SELECT tag, synchronous_commit FROM pg_catalog.emulated_sent ORDER BY number")
            .fetch_all(&mut outside)
            .await
            .unwrap();
    let tags: Vec<_> = sent.iter().map(|(tag, _)| tag.as_str()).collect();
    assert_eq!(tags, ["DISTRIBUTE", "ALTER TABLE", "UPDATE"]);
    assert!(sent.iter().all(|(_, commit)| commit == "on"), "{sent:?}");
}
