//! Reads from standbys that lag, cancel, stop and are promoted, while the primary goes on.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::AssertSqlSafe;
use tenantry::database::{PoolMode, ReplicaConfig, WithoutReplica};
use tenantry::doctor::{Check, Severity};
use tenantry::pool::{CommitToken, IsolationLevel, ReplicaState, ReplicaStatus, TxOptions};
use tenantry::registry::ReplicaProbe;
use tenantry::tenant::{Alias, Tenant};
use tenantry::{DatabaseConfig, Error, ErrorKind, NewTenant, PoolConfig, Tenancy, TenantReadDb};
use tenantry_embedded::{ScratchDatabase, ScratchPooler, ScratchServer};

use crate::proxy::Proxy;
use crate::support::{Client, eventually, tenant_files};

const PORT: &str = "SELECT current_setting('port')";
const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY, title text)";

/// A primary and a standby.
struct Servers {
    database: ScratchDatabase,
    standby: ScratchServer,
    primary: ScratchServer,
}

impl Servers {
    async fn start() -> Self {
        let primary = ScratchServer::start().await.unwrap();
        let standby = primary.standby().await.unwrap();
        let database = primary.database("app").await.unwrap();
        Self { database, standby, primary }
    }

    fn replica_url(&self) -> String {
        self.standby.url_of(&self.database)
    }

    fn config(&self, replicas: &[&str], without: WithoutReplica) -> DatabaseConfig {
        let pool = PoolConfig { max_connections: 3, ..PoolConfig::default() };
        let config = DatabaseConfig::from_url(self.database.url()).unwrap().pool(pool);
        let config = config.replicas(terms(without));
        replicas.iter().fold(config, |config, url| config.replica_url(url).unwrap())
    }

    async fn tenancy(&self, replicas: &[&str], without: WithoutReplica) -> Tenancy {
        let builder = Tenancy::builder().database(self.config(replicas, without)).install(true);
        builder.migrations(tenant_files(&[NOTE])).connect().await.unwrap()
    }

    async fn at_standby(&self, sql: &str) {
        Client::connect(self.standby.url()).await.run(sql).await;
    }

    /// Reads, and says which server has answered.
    async fn reads(&self, db: &TenantReadDb) -> At {
        self.at(&port(db).await)
    }

    fn at(&self, port: &str) -> At {
        match port.parse::<u16>().unwrap() {
            port if port == self.primary.port() => At::Primary,
            port if port == self.standby.port() => At::Standby,
            port => panic!("nobody is at {port}"),
        }
    }

    /// Waits until a server answers that is this one.
    async fn until(&self, db: &TenantReadDb, at: At) {
        eventually(&format!("{at:?} answers"), async || self.reads(db).await == at).await;
    }
}

fn terms(without: WithoutReplica) -> ReplicaConfig {
    let (max_lag, max_wait) = (Duration::from_millis(800), Duration::from_secs(1));
    ReplicaConfig { max_lag, max_wait, without, ..ReplicaConfig::default() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Primary,
    Standby,
}

async fn port(db: &TenantReadDb) -> String {
    sqlx::query_scalar(PORT).fetch_one(db).await.unwrap()
}

async fn count(db: &TenantReadDb) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(db).await.unwrap()
}

async fn write(tenancy: &Tenancy, tenant: &Tenant, sql: &str) -> CommitToken {
    let db = tenancy.db(tenant).unwrap();
    sqlx::query(AssertSqlSafe(sql)).execute(&db).await.unwrap();
    db.commit_token().await.unwrap()
}

fn replica(tenancy: &Tenancy) -> ReplicaStatus {
    tenancy.status().replicas[&Alias::default()][0].clone()
}

/// The doctor finds this of the replicas and nothing else.
async fn diagnose(servers: &Servers, replicas: &[&str], expected: &[(Check, &str)]) {
    let config = servers.config(replicas, WithoutReplica::Primary);
    let findings = Tenancy::builder().database(config).migrations(tenant_files(&[NOTE])).doctor().await;
    let found: Vec<_> = findings.iter().map(|finding| (finding.check, finding.what.as_str())).collect();
    assert_eq!(found.len(), expected.len(), "{findings:#?}");
    for (finding, (check, says)) in findings.iter().zip(expected) {
        assert_eq!((finding.check, finding.severity), (*check, Severity::Warning), "{finding:?}");
        assert!(finding.what.contains(says) && !finding.mend.is_empty(), "{says}: {finding:?}");
    }
}

#[tokio::test]
async fn a_replica_is_read_and_left_and_found_again() {
    let mut servers = Servers::start().await;
    let url = servers.replica_url();
    let tenancy = servers.tenancy(&[&url], WithoutReplica::Primary).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let db = tenancy.replica(&acme).unwrap();

    reads_and_nothing_else(&servers, &tenancy, &acme).await;
    diagnose(&servers, &[&url], &[]).await;
    sees_own_writes(&servers, &tenancy, &acme).await;
    is_left_while_it_lags(&servers, &tenancy, &acme).await;
    gives_up_what_is_in_the_way(&servers, &tenancy, &acme).await;

    // It stops: the warm connections are lost, and the first read that notices is answered elsewhere.
    servers.until(&db, At::Standby).await;
    servers.standby.kill().await;
    for _ in 0..5 {
        assert_eq!(servers.reads(&db).await, At::Primary);
    }
    assert_eq!(replica(&tenancy).state, ReplicaState::Away);
    diagnose(&servers, &[&url], &[(Check::Unreachable, "gives no session")]).await;
    servers.standby.start_again().await.unwrap();
    servers.until(&db, At::Standby).await;

    // It is promoted.
    servers.at_standby("SELECT pg_promote()").await;
    servers.until(&db, At::Primary).await;
    eventually("the promotion is known", async || replica(&tenancy).state == ReplicaState::Promoted).await;
    for _ in 0..5 {
        assert_eq!(servers.reads(&db).await, At::Primary);
    }
    diagnose(&servers, &[&url], &[(Check::Replica, "is no standby")]).await;
    tenancy.close(Duration::from_secs(5)).await.unwrap();
    let closed = sqlx::query(PORT).execute(&db).await.unwrap_err();
    assert_eq!(Error::from(closed).kind(), ErrorKind::PoolClosed);
}

async fn reads_and_nothing_else(servers: &Servers, tenancy: &Tenancy, acme: &Tenant) {
    let token = write(tenancy, acme, "INSERT INTO note VALUES (1, 'one')").await;
    let db = tenancy.replica(acme).unwrap().after(&token);
    assert_eq!((servers.reads(&db).await, count(&db).await), (At::Standby, 1));
    for sql in [
        "INSERT INTO note VALUES (2, 'two')",
        "SELECT * FROM note FOR UPDATE",
        "CREATE TEMP TABLE t (x int)",
        "NOTIFY x",
        "SET TRANSACTION READ WRITE",
    ] {
        let error = Error::from(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&db).await.unwrap_err());
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unsupported, false), "{sql}: {error:#}");
        assert!(error.hint().is_some_and(|hint| hint.contains("tenancy.db")), "{error:?}");
    }
    // A mistake of the statement's own is one on both servers.
    let error = Error::from(sqlx::query("SELECT nothing FROM note").execute(&db).await.unwrap_err());
    assert_eq!(error.database_code().as_deref(), Some("42703"), "{error:#}");

    let repeatable = TxOptions::new().isolation(IsolationLevel::RepeatableRead);
    let mut tx = db.begin_with(repeatable).await.unwrap();
    let port: String = sqlx::query_scalar(PORT).fetch_one(&mut tx).await.unwrap();
    assert_eq!(servers.at(&port), At::Standby);
    let error = sqlx::query("DELETE FROM note").execute(&mut tx).await.unwrap_err();
    assert_eq!(Error::from(error).kind(), ErrorKind::Unsupported);
    tx.end().await.unwrap();
    let serializable = TxOptions::new().isolation(IsolationLevel::Serializable);
    assert_eq!(Error::from(db.begin_with(serializable).await.unwrap_err()).kind(), ErrorKind::Unsupported);

    let titles: Vec<(String,)> =
        db.fetch_owned(sqlx::query("SELECT title FROM note")).try_collect().await.unwrap();
    assert_eq!(titles, [("one".to_owned(),)]);
    let copied: Vec<_> = db.copy_out("COPY note TO STDOUT").try_collect().await.unwrap();
    assert_eq!(copied.concat(), b"1\tone\n");
    let db = db.with_setting("app.actor", "jane").unwrap();
    let actor = "SELECT current_setting('app.actor') || current_setting('port')";
    let actor: String = sqlx::query_scalar(actor).fetch_one(&db).await.unwrap();
    assert_eq!(actor, format!("jane{}", servers.standby.port()));
}

/// Without the token, some of these reads would be too early.
async fn sees_own_writes(servers: &Servers, tenancy: &Tenancy, acme: &Tenant) {
    let db = tenancy.replica(acme).unwrap();
    let before = count(&db).await;
    let mut at_standby = 0;
    for number in 0..100_i32 {
        let token = write(tenancy, acme, &format!("INSERT INTO note VALUES (100 + {number}, 'x')")).await;
        let token: CommitToken = token.to_string().parse().unwrap();
        let after = db.after(&token);
        let (notes, port): (i64, String) =
            sqlx::query_as("SELECT count(*), current_setting('port') FROM note")
                .fetch_one(&after)
                .await
                .unwrap();
        assert_eq!(notes, before + 1 + i64::from(number));
        at_standby += i32::from(servers.at(&port) == At::Standby);
    }
    assert!(at_standby > 50, "{at_standby} of 100 were read from the standby");
    // Of another server: nobody can tell.
    let other: CommitToken = "elsewhere:0/1".parse().unwrap();
    assert_eq!(servers.reads(&db.after(&other)).await, At::Primary);
}

async fn is_left_while_it_lags(servers: &Servers, tenancy: &Tenancy, acme: &Tenant) {
    let db = tenancy.replica(acme).unwrap();
    let (pause, resume) = ("SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()");
    servers.at_standby(pause).await;
    let token = write(tenancy, acme, "INSERT INTO note VALUES (1000, 'late')").await;
    let resumed = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        servers.at_standby(resume).await;
    };
    let after = db.after(&token);
    let (at, ()) = tokio::join!(servers.reads(&after), resumed);
    assert_eq!(at, At::Standby, "it waited for the replica");

    servers.at_standby(pause).await;
    let token = write(tenancy, acme, "CREATE TABLE late AS SELECT 1 AS x").await;
    // What it does not have yet is looked for where it is.
    let rows = sqlx::query("SELECT x FROM late").fetch_all(&db).await.unwrap();
    assert_eq!(rows.len(), 1);
    let after = db.after(&token);
    for _ in 0..2 {
        assert_eq!(servers.reads(&after).await, At::Primary);
    }
    servers.until(&db, At::Primary).await;
    let known = replica(tenancy);
    assert_eq!(known.state, ReplicaState::Behind);
    assert!(known.lag.is_some_and(|lag| lag >= Duration::from_millis(600)), "{known:?}");
    let url = servers.replica_url();
    diagnose(servers, &[&url], &[(Check::Replica, "KiB behind")]).await;
    let refuses = servers.tenancy(&[&url], WithoutReplica::Refuse).await.replica(acme).unwrap();
    let error = Error::from(sqlx::query(PORT).execute(&refuses.after(&token)).await.unwrap_err());
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::DatabaseUnavailable, true), "{error:#}");

    write(tenancy, acme, "DROP TABLE late").await;
    servers.at_standby(resume).await;
    servers.until(&db, At::Standby).await;
    assert_eq!(servers.reads(&after).await, At::Standby);
}

async fn gives_up_what_is_in_the_way(servers: &Servers, tenancy: &Tenancy, acme: &Tenant) {
    let db = tenancy.replica(acme).unwrap();
    servers.at_standby("ALTER SYSTEM SET max_standby_streaming_delay TO '20ms'").await;
    servers.at_standby("SELECT pg_reload_conf()").await;
    let mut tx = db.begin_with(TxOptions::new().isolation(IsolationLevel::RepeatableRead)).await.unwrap();
    let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&mut tx).await.unwrap();
    assert!(notes > 90);
    let long = "SELECT current_setting('port') FROM (SELECT count(*) FROM note) AS note, pg_sleep(0.4)";
    let long = sqlx::query_scalar::<_, String>(long).fetch_one(&db);
    let vacuum = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut owner = Client::owner(&servers.database).await;
        owner.run(&format!("DELETE FROM {0}.note WHERE id >= 100", acme.schema())).await;
        owner.run(&format!("VACUUM {0}.note", acme.schema())).await;
    };
    let (port, ()) = tokio::join!(long, vacuum);
    assert_eq!(servers.at(&port.unwrap()), At::Primary, "cancelled by the standby, and run again");
    let error = sqlx::query("SELECT count(*) FROM note").execute(&mut tx).await.unwrap_err();
    let error = Error::from(error);
    assert!(error.is_retryable(), "{error:#}");
    drop(tx);
    servers.until(&db, At::Standby).await;
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn of_several_replicas_one_that_is_away_or_no_standby_costs_one_attempt() {
    let servers = Servers::start().await;
    let other = ScratchServer::start().await.unwrap();
    other.database("app").await.unwrap();
    let proxy = Proxy::to(&servers.replica_url()).await;
    let (near, far) = (servers.replica_url(), proxy.url(&servers.replica_url()));
    let nowhere = near.replacen(&format!(":{}/", servers.standby.port()), ":1/", 1);
    let another = format!("{}/app", other.url().trim_end_matches("/postgres"));
    let tenancy = servers.tenancy(&[&nowhere, &another, &far, &near], WithoutReplica::Refuse).await;
    let mut tenants = Vec::new();
    for number in 0..4 {
        tenants.push(tenancy.create(NewTenant::new(format!("tenant-{number}"))).await.unwrap());
    }
    let token = tenancy.db(&tenants[3]).unwrap().commit_token().await.unwrap();
    let dbs: Vec<_> = tenants.iter().map(|tenant| tenancy.replica(tenant).unwrap().after(&token)).collect();
    let states = || tenancy.status().replicas.remove(&Alias::default()).unwrap();
    for db in &dbs {
        assert_eq!(servers.reads(db).await, At::Standby);
    }
    let expected = [ReplicaState::Away, ReplicaState::Promoted, ReplicaState::Usable, ReplicaState::Usable];
    eventually("each is known for what it is", async || {
        states().iter().map(|replica| replica.state).eq(expected)
    })
    .await;
    for _ in 0..3 {
        for db in &dbs {
            assert_eq!(servers.reads(db).await, At::Standby);
        }
    }
    let opened = |index: usize| states()[index].pool.counts.opened;
    assert_eq!((opened(0), opened(1)), (0, 0));
    assert!(opened(2) + opened(3) > 0, "{:?}", states());

    // One of the two falls silent: reads go on, and it is left.
    proxy.silence_open();
    proxy.swallow_new(true);
    eventually("the silent one is left", async || states()[2].state == ReplicaState::Away).await;
    let begun = Instant::now();
    for db in &dbs {
        assert_eq!(servers.reads(db).await, At::Standby);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    proxy.swallow_new(false);
    eventually("it is found again", async || states()[2].state == ReplicaState::Usable).await;

    let expected = [(Check::Unreachable, "replica 1"), (Check::Replica, "is no standby")];
    diagnose(&servers, &[&nowhere, &another, &far, &near], &expected).await;
}

#[tokio::test]
async fn behind_poolers_replicas_are_read_and_left() {
    let mut servers = Servers::start().await;
    let replica_url = servers.replica_url();
    let near = ScratchPooler::start(&[servers.database.url()], 2).await.unwrap();
    let far = ScratchPooler::start(&[&replica_url], 2).await.unwrap();
    let pool = PoolConfig { mode: PoolMode::Transaction, max_connections: 3, ..PoolConfig::default() };
    let config = DatabaseConfig::from_url(&near.url(servers.database.url())).unwrap().pool(pool);
    let config = config.direct_url(servers.database.url()).unwrap().replicas(terms(WithoutReplica::Primary));
    let config = config.replica_url(&far.url(&replica_url)).unwrap();
    let builder = Tenancy::builder().database(config.clone()).install(true);
    let tenancy = builder.migrations(tenant_files(&[NOTE])).connect().await.unwrap();
    let (mut tenants, mut last) = (Vec::new(), None);
    for slug in ["acme", "globex"] {
        let tenant = tenancy.create(NewTenant::new(slug)).await.unwrap();
        last = Some(write(&tenancy, &tenant, &format!("INSERT INTO note VALUES (1, '{slug}')")).await);
        tenants.push(tenant);
    }
    let dbs: Vec<_> = tenants.iter().map(|tenant| tenancy.replica(tenant).unwrap()).collect();
    let title = "SELECT title || ' ' || current_setting('port') FROM note";
    for _ in 0..3 {
        for db in &dbs {
            let read: String =
                sqlx::query_scalar(title).fetch_one(&db.after(last.as_ref().unwrap())).await.unwrap();
            assert_eq!(read, format!("{} {}", db.tenant().slug(), servers.standby.port()));
        }
    }
    let db = &dbs[0];
    for sql in
        ["INSERT INTO note VALUES (2, 'two')", "SELECT * FROM note FOR UPDATE", "SET TRANSACTION READ WRITE"]
    {
        let error = Error::from(sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}: {error:#}");
    }
    let copied = db.copy_out("COPY note TO STDOUT").try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(Error::from(copied).kind(), ErrorKind::Unsupported, "it needs a session");
    let repeatable = TxOptions::new().isolation(IsolationLevel::RepeatableRead);
    let mut tx = db.with_setting("app.actor", "jane").unwrap().begin_with(repeatable).await.unwrap();
    let actor = "SELECT current_setting('app.actor') || current_setting('port')";
    let actor: String = sqlx::query_scalar(actor).fetch_one(&mut tx).await.unwrap();
    assert_eq!(actor, format!("jane{}", servers.standby.port()));
    tx.end().await.unwrap();

    let probed = async || ReplicaProbe::of_all(&config, Duration::from_secs(5)).await.pop().unwrap().1;
    servers.at_standby("SELECT pg_wal_replay_pause()").await;
    let token = write(&tenancy, &tenants[0], "UPDATE note SET title = 'later'").await;
    assert_eq!(servers.reads(&db.after(&token)).await, At::Primary);
    servers.until(db, At::Primary).await;
    let behind = probed().await.unwrap();
    assert!(behind.bytes_behind > Some(0) && behind.lag > Some(Duration::from_millis(500)), "{behind:?}");
    servers.at_standby("SELECT pg_wal_replay_resume()").await;
    servers.until(db, At::Standby).await;
    eventually("it has all", async || {
        let probe = probed().await.unwrap();
        (probe.state, probe.lag) == (ReplicaState::Usable, Some(Duration::ZERO))
    })
    .await;

    servers.standby.kill().await;
    for _ in 0..3 {
        assert_eq!(servers.reads(db).await, At::Primary);
    }
    // When it is found again is the pooler's to say: `server_login_retry`, 15 seconds.
    assert!(probed().await.is_err());
}
