//! Statements that go to the worker of their tenant, on a real cluster and on an *emulation*, where copies of one
//! server stand in as workers. Each has rows of its own, and nothing is moved between them.

use std::time::Duration;

use futures_util::StreamExt as _;
use sqlx::Executor as _;
use tenantry::database::PoolMode;
use tenantry::pool::Notification;
use tenantry::registry::{MoveMethod, RegistryConfig};
use tenantry::tenant::{Alias, Node, Tenant};
use tenantry::{DatabaseConfig, Engine, Error, ErrorKind, Fleet, NewTenant, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::{ScratchDatabase, ScratchServer};

use super::{Cluster, EMULATION, migrate};
use crate::support::{Client, check_error, database, eventually};

const PORT: &str = "SELECT current_setting('port')";
const NODES: &str = "SELECT nodename::text, nodeport FROM pg_dist_node WHERE shouldhaveshards ORDER BY 2";

async fn port(db: &TenantDb) -> u16 {
    let port: String = sqlx::query_scalar(PORT).fetch_one(db).await.unwrap();
    port.parse().unwrap()
}

async fn node_in_registry(cluster: &mut Cluster) -> Option<String> {
    cluster.client.value("SELECT node FROM tenantry.tenant WHERE slug = 'acme'").await
}

/// The suite of a cluster with a tenant `acme`, which is where it was in the end.
pub(super) async fn conforms(cluster: &mut Cluster) {
    let (routed, plain) = (cluster.open_routed().await, cluster.open().await);
    let nodes: Vec<(String, i32)> = cluster.client.rows(NODES).await;
    let nodes: Vec<_> =
        nodes.into_iter().map(|(host, port)| Node::new(host, u16::try_from(port).unwrap())).collect();
    let acme = routed.tenant("acme").await.unwrap();
    let home = acme.node().expect("it is on a node").clone();
    let other = nodes.iter().find(|node| **node != home).unwrap();

    every_driver_and_handle_goes_there(cluster, &routed, &acme).await;
    let kept = routed.db(&acme).unwrap();
    assert_eq!(port(&kept).await, home.port());
    assert_eq!(port(&routed.db(&routed.tenant("globex").await.unwrap()).unwrap()).await, {
        routed.tenant("globex").await.unwrap().node().unwrap().port()
    });
    what_is_announced_is_heard(&routed, &kept).await;

    // Another process moves it, and the handle hears of that.
    plain.move_to_node(&acme, other, MoveMethod::Online).await.unwrap();
    assert_eq!(node_in_registry(cluster).await, Some(other.to_string()));
    eventually("the handle follows", async || port(&kept).await == other.port()).await;
    let moved = routed.tenant("acme").await.unwrap();
    assert_eq!((moved.node(), moved.epoch() > acme.epoch()), (Some(other), true));

    // Somebody moves it back by Citus's own means, so that the registry is wrong.
    let back = format!("SELECT citus_schema_move('{}', '{}', {})", acme.schema(), home.host(), home.port());
    cluster.client.run(&back).await;
    let hear = "UPDATE tenantry.tenant SET last_error = NULL WHERE slug = 'acme'";
    cluster.client.run(hear).await;
    eventually("the cluster is asked", async || port(&kept).await == home.port()).await;
    assert_eq!(node_in_registry(cluster).await, Some(other.to_string()));
    assert_eq!(plain.record_nodes(&Alias::default()).await.unwrap(), 1);
    assert_eq!(node_in_registry(cluster).await, Some(home.to_string()));
    assert_eq!(plain.record_nodes(&Alias::default()).await.unwrap(), 0);

    let status = routed.status().nodes.remove(&Alias::default()).unwrap();
    let led_to: Vec<_> = status.iter().filter(|it| it.driver == "sqlx").map(|it| &it.node).collect();
    assert_eq!(led_to, nodes.iter().collect::<Vec<_>>());
    assert!(plain.status().nodes.is_empty());
    routed.close(Duration::from_secs(5)).await.unwrap();
    check_error(kept.fetch_all("SELECT 1").await.map(drop).map_err(Error::from), ErrorKind::PoolClosed, &[]);
}

async fn every_driver_and_handle_goes_there(cluster: &mut Cluster, routed: &Tenancy, acme: &Tenant) {
    let (coordinator, home) = (cluster.client.value::<String>(PORT).await, acme.node().unwrap());
    let db = routed.db(acme).unwrap();
    let title = "INSERT INTO note (title) VALUES ('by way of the worker') RETURNING title";
    let written: String = sqlx::query_scalar(title).fetch_one(&db).await.unwrap();
    let read: Vec<String> = sqlx::query_scalar("SELECT title FROM note").fetch_all(&db).await.unwrap();
    assert!(read.contains(&written), "{read:?}");
    let mut tx = db.begin().await.unwrap();
    let inside: String = sqlx::query_scalar(PORT).fetch_one(&mut *tx).await.unwrap();
    sqlx::query("DELETE FROM note WHERE title = $1").bind(&written).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let with_setting = port(&db.with_setting("app.actor", "jane").unwrap()).await;
    let client: String = routed.client(acme).unwrap().query_one(PORT, &[]).await.unwrap().get(0);
    let reader: String = sqlx::query_scalar(PORT).fetch_one(&routed.replica(acme).unwrap()).await.unwrap();
    assert_eq!([inside, with_setting.to_string(), client, reader], [(); 4].map(|()| home.port().to_string()));

    let master: String = sqlx::query_scalar(PORT).fetch_one(&routed.master()).await.unwrap();
    let unrouted = port(&cluster.open().await.db(acme).unwrap()).await;
    assert_eq!([master, unrouted.to_string()], [coordinator.clone(), coordinator]);
}

/// The listener is at the coordinator.
async fn what_is_announced_is_heard(routed: &Tenancy, db: &TenantDb) {
    let mut heard = routed.listen(db.tenant(), "note").await.unwrap();
    db.notify("note", "by sqlx").await.unwrap();
    assert_eq!(heard.next().await, Some(Notification::Payload("by sqlx".to_owned())));
    let client = routed.client(db.tenant()).unwrap();
    client.notify("note", "by tokio-postgres").await.unwrap();
    assert_eq!(heard.next().await, Some(Notification::Payload("by tokio-postgres".to_owned())));
    let refused = [
        db.acquire().await.unwrap().notify("note", "").await.map_err(Error::from),
        client.acquire().await.unwrap().notify("note", "").await,
    ];
    for refused in refused {
        check_error(refused, ErrorKind::Unsupported, &["this connection leads to the worker", "`notify`"]);
    }
}

/// A coordinator and two workers by the looks of them.
struct Emulation {
    coordinator: ScratchServer,
    workers: Vec<ScratchServer>,
    database: ScratchDatabase,
    cluster: Cluster,
}

impl Emulation {
    /// Without workers yet, which are copies of what is there by then.
    async fn start() -> Self {
        let coordinator = ScratchServer::start().await.unwrap();
        let database = coordinator.database("saas").await.unwrap();
        Client::superuser(&database).await.run(EMULATION).await;
        let cluster = Cluster::at(database.url()).await;
        Self { coordinator, workers: Vec::new(), database, cluster }
    }

    async fn add_workers(&mut self) {
        for _ in 0..2 {
            self.workers.push(self.coordinator.standby().await.unwrap());
        }
        let ports: Vec<_> = self.workers.iter().map(ScratchServer::port).collect();
        let of_coordinator = self.database.superuser_url().to_owned();
        let place =
            |port: u16| of_coordinator.replacen(&self.coordinator.port().to_string(), &port.to_string(), 1);
        for (group, port) in (1..).zip(&ports) {
            let mut worker = Client::connect(&place(*port)).await;
            worker.run("SELECT pg_promote()").await;
            worker.run(&format!("UPDATE pg_dist_local_group SET groupid = {group}")).await;
        }
        for port in ports.iter().copied().chain([self.coordinator.port()]) {
            let mut server = Client::connect(&place(port)).await;
            for (group, port) in (1..).zip(&ports) {
                let name = "UPDATE pg_dist_node SET nodename = '127.0.0.1', nodeport";
                server.run(&format!("{name} = {port} WHERE groupid = {group}")).await;
            }
        }
    }

    fn config(&self) -> DatabaseConfig {
        DatabaseConfig::from_url(self.database.url()).unwrap().route_to_workers(true)
    }
}

#[tokio::test]
async fn statements_go_to_the_worker_of_their_tenant_also_while_the_coordinator_is_away() {
    let mut servers = Emulation::start().await;
    let tenancy = servers.cluster.open().await;
    migrate(&tenancy, Fleet::all()).await;
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    assert!(node_in_registry(&mut servers.cluster).await.unwrap().starts_with("worker:"));
    servers.add_workers().await;
    assert_eq!(tenancy.record_nodes(&Alias::default()).await.unwrap(), 2);
    conforms(&mut servers.cluster).await;

    let routed = servers.cluster.open_routed().await;
    let acme = routed.tenant("acme").await.unwrap();
    let (kept, home) = (routed.db(&acme).unwrap(), acme.node().unwrap().port());
    assert_eq!(port(&kept).await, home);
    // A listener that is only just connected empties the cache, and nobody could fill it again.
    let change = "UPDATE tenantry.tenant SET settings = '{\"heard\": true}' WHERE slug = 'acme'";
    servers.cluster.client.run(change).await;
    let hears = async || routed.tenant("acme").await.unwrap().settings()["heard"] == true;
    eventually("the listener hears", hears).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    routed.tenant("acme").await.unwrap();
    servers.coordinator.kill().await;
    // Longer than a handle believes what it knows without a look into the cache.
    for _ in 0..4 {
        assert_eq!(port(&kept).await, home);
        assert_eq!(port(&routed.db(&routed.tenant("acme").await.unwrap()).unwrap()).await, home);
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let master: Result<String, _> = sqlx::query_scalar(PORT).fetch_one(&routed.master()).await;
    check_error(master.map_err(Error::from), ErrorKind::DatabaseUnavailable, &[]);
}

#[tokio::test]
async fn a_registry_elsewhere_leads_to_the_workers_for_as_long_as_the_coordinator_is_away() {
    let (mut servers, registry) = (Emulation::start().await, database().await);
    let alias = Alias::parse("cluster").unwrap();
    let brief = Duration::from_millis(20);
    let cache = RegistryConfig { cache_ttl: brief, negative_ttl: brief, ..RegistryConfig::default() };
    let builder = Tenancy::builder()
        .database(DatabaseConfig::from_url(registry.url()).unwrap())
        .database_as(alias.clone(), servers.config())
        .registry(cache)
        .migrations(servers.cluster.folder.migrations())
        .install(true);
    let tenancy = builder.connect().await.unwrap();
    tenancy.create(NewTenant::new("acme").database(alias.clone())).await.unwrap();
    servers.add_workers().await;
    assert_eq!(tenancy.record_nodes(&alias).await.unwrap(), 1);
    let find = async || tenancy.tenant("acme").await.unwrap();
    let kept = tenancy.db(&find().await).unwrap();
    let home = find().await.node().unwrap().port();
    assert_eq!(port(&kept).await, home);
    servers.coordinator.kill().await;
    for _ in 0..3 {
        tokio::time::sleep(5 * brief).await;
        assert_eq!((port(&kept).await, port(&tenancy.db(&find().await).unwrap()).await), (home, home));
    }
    // A worker that is away stops its own tenants.
    let at_home = servers.workers.iter_mut().find(|worker| worker.port() == home).unwrap();
    at_home.kill().await;
    // The connection that was open is lost, and no other one is opened.
    assert!(kept.fetch_all(PORT).await.is_err());
    let refused = kept.fetch_all(PORT).await.map(drop).map_err(Error::from);
    check_error(refused, ErrorKind::DatabaseUnavailable, &["cannot be reached", &home.to_string()]);
}

#[tokio::test]
async fn routing_is_refused_where_there_are_no_workers_to_go_to() {
    let config = |url: &str| DatabaseConfig::from_url(url).unwrap().route_to_workers(true);
    let (url, socket) = ("postgres://a@localhost/a", "postgres:///a?host=/run/nowhere");
    let pooler = PoolConfig { mode: PoolMode::Transaction, ..PoolConfig::default() };
    for (config, says) in [
        (config(url).engine(Engine::Postgres), "`engine = \"postgres\"`"),
        (config(url).pool(pooler), "`mode = \"transaction\"`"),
        (config(url).replica_url(url).unwrap(), "`replica_url`"),
        (config(socket), "a socket"),
    ] {
        let refused = Tenancy::builder().database(config).connect().await.map(drop);
        check_error(refused, ErrorKind::Configuration, &["`route_to_workers` of database `default`", says]);
    }
}
