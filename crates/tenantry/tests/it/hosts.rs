//! A URL with several hosts, of which one takes writes.

use std::time::Duration;

use tenantry::{DatabaseConfig, NewTenant, PoolConfig, Tenancy};
use tenantry_embedded::{ScratchDatabase, ScratchServer};

use crate::support::{Client, eventually, tenant_files};

/// A server with an installation in it, and a role that is the same on every one.
struct Host {
    server: ScratchServer,
    database: ScratchDatabase,
}

impl Host {
    async fn start() -> Self {
        let server = ScratchServer::start().await.unwrap();
        let database = server.database("app").await.unwrap();
        let mut superuser = Client::superuser(&database).await;
        superuser.run("CREATE ROLE shared SUPERUSER LOGIN PASSWORD 'shared'").await;
        let host = Self { server, database };
        let files = tenant_files(&["CREATE TABLE note (id int)"]);
        let config = DatabaseConfig::from_url(&host.url()).unwrap();
        let builder = Tenancy::builder().database(config).migrations(files).install(true);
        builder.connect().await.unwrap().create(NewTenant::new("acme")).await.unwrap();
        host
    }

    fn place(&self) -> String {
        format!("127.0.0.1:{}", self.server.port())
    }

    fn url(&self) -> String {
        format!("postgres://shared:shared@{}/app", self.place())
    }

    /// Goes on as a standby, as the old primary does after a failover.
    async fn become_standby(&mut self) {
        let folder: String = Client::superuser(&self.database).await.value("SHOW data_directory").await;
        self.server.kill().await;
        std::fs::write(format!("{folder}/standby.signal"), "").unwrap();
        self.server.start_again().await.unwrap();
    }
}

fn url(hosts: &[&str], query: &str) -> String {
    format!("postgres://shared:shared@{}/app?{query}", hosts.join(","))
}

async fn connect(url: &str) -> Tenancy {
    let pool = PoolConfig { max_connections: 2, ..PoolConfig::default() };
    let config = DatabaseConfig::from_url(url).unwrap().pool(pool);
    Tenancy::builder().database(config).connect().await.unwrap()
}

/// The port of the server that answers to each driver.
async fn ports(tenancy: &Tenancy) -> Vec<String> {
    let show = "SELECT current_setting('port')";
    let port: String = sqlx::query_scalar(show).fetch_one(&tenancy.master()).await.unwrap();
    #[cfg(feature = "tokio-postgres")]
    return vec![port, tenancy.master_client().query_one(show, &[]).await.unwrap().get(0)];
    #[cfg(not(feature = "tokio-postgres"))]
    return vec![port];
}

#[track_caller]
fn all_at(ports: &[String], host: &Host) {
    assert!(ports.iter().all(|port| *port == host.server.port().to_string()), "{ports:?}");
}

#[tokio::test]
async fn the_next_host_is_tried_until_one_does() {
    let host = Host::start().await;
    let (place, nowhere) = (host.place(), "127.0.0.1:1");
    all_at(&ports(&connect(&url(&[nowhere, &place], "")).await).await, &host);
    // Accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let tenancy = connect(&url(&[&silent, nowhere, &place], "connect_timeout=1")).await;
    all_at(&ports(&tenancy).await, &host);
    let tenancy = connect(&url(&[&silent, &place], "")).await;
    all_at(&ports(&tenancy).await, &host);
}

#[tokio::test]
async fn the_host_that_takes_writes_is_found_again_after_a_failover() {
    let (mut old, new) = (Host::start().await, Host::start().await);
    let (first, second) = (old.place(), new.place());
    let read_write = connect(&url(&[&first, &second], "target_session_attrs=read-write")).await;
    let primary = connect(&url(&[&first, &second], "target_session_attrs=primary")).await;
    for tenancy in [&read_write, &primary] {
        all_at(&ports(tenancy).await, &old);
    }
    old.become_standby().await;
    for tenancy in [&read_write, &primary] {
        eventually("the new primary answers", async || {
            sqlx::query("SELECT 1").execute(&tenancy.master()).await.is_ok()
        })
        .await;
        all_at(&ports(tenancy).await, &new);
        // The listener has moved as well.
        let changed = "UPDATE tenantry.tenant SET settings = jsonb_build_object('name', gen_random_uuid()::text) \
            RETURNING settings->>'name'";
        eventually("the listener hears of changes there", async || {
            let name: String = Client::superuser(&new.database).await.value(changed).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            tenancy.tenant("acme").await.unwrap().name() == name
        })
        .await;
    }
}

#[tokio::test]
async fn where_any_host_does_a_refused_write_leads_to_the_next() {
    let (mut old, new) = (Host::start().await, Host::start().await);
    old.become_standby().await;
    let tenancy = connect(&url(&[&old.place(), &new.place()], "")).await;
    all_at(&ports(&tenancy).await, &old);
    let write = "UPDATE tenantry.tenant SET last_error = NULL";
    let error = sqlx::query(write).execute(&tenancy.master()).await.unwrap_err();
    let error = tenantry::Error::from(error);
    assert_eq!((error.database_code().as_deref(), error.is_retryable()), (Some("25006"), true), "{error:#}");
    eventually("the other one takes it", async || {
        sqlx::query(write).execute(&tenancy.master()).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_login_that_one_host_refuses_is_not_tried_at_the_next() {
    let (one, other) = (Host::start().await, Host::start().await);
    Client::superuser(&one.database).await.run("ALTER ROLE shared PASSWORD 'another'").await;
    let config = DatabaseConfig::from_url(&url(&[&one.place(), &other.place()], "")).unwrap();
    let error = Tenancy::builder().database(config).connect().await.unwrap_err();
    assert_eq!(error.database_code().as_deref(), Some("28P01"), "{error:#}");
    assert!(!format!("{error:?} {error:#}").contains(":shared"), "{error:?}");
}
