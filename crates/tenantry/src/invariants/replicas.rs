//! The invariants of a tenant's tables on a replica, before and after it is promoted.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_embedded::{ScratchDatabase, ScratchServer};

use crate::database::{ReplicaConfig, WithoutReplica};
use crate::fixture::migrations;
use crate::pool::TenantReadDb;
use crate::{DatabaseConfig, Error, ErrorKind, NewTenant, PoolConfig, Tenancy};

const PORT: &str = "SELECT current_setting('port')";

/// A primary with two tenants, and a standby to which the pool has one connection.
struct Pair {
    tenancy: Tenancy,
    acme: TenantReadDb,
    globex: TenantReadDb,
    database: ScratchDatabase,
    standby: ScratchServer,
    primary: ScratchServer,
}

impl Pair {
    async fn start(without: WithoutReplica) -> Self {
        let primary = ScratchServer::start().await.unwrap();
        let standby = primary.standby().await.unwrap();
        let database = primary.database("app").await.unwrap();
        let hour = Duration::from_hours(1);
        // Nobody looks twice: what a look would find out is not to help.
        let terms = ReplicaConfig { max_lag: 8 * hour, look_every: hour, max_wait: hour, without };
        let config = DatabaseConfig::from_url(database.url())
            .unwrap()
            .replica_url(&standby.url_of(&database))
            .unwrap()
            .replicas(terms)
            .pool(PoolConfig { max_connections: 1, ..PoolConfig::default() });
        let files = migrations(&["CREATE TABLE note (id int)"]);
        let tenancy = Tenancy::builder().database(config).migrations(files).install(true);
        let tenancy = tenancy.connect().await.unwrap();
        let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
        let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
        let (acme, globex) = (tenancy.replica(&acme).unwrap(), tenancy.replica(&globex).unwrap());
        let pair = Self { tenancy, acme, globex, database, standby, primary };
        pair.replicate().await;
        pair
    }

    /// Waits until the standby has all that was committed.
    async fn replicate(&self) {
        let token = self.tenancy.db(self.globex.tenant()).unwrap().commit_token().await.unwrap();
        assert_eq!(text(&self.globex.after(&token), PORT).await, self.standby.port().to_string());
    }

    async fn promote(&self) {
        let mut superuser = PgConnection::connect(self.standby.url()).await.unwrap();
        let promote = "SELECT pg_promote()";
        assert!(sqlx::query_scalar::<_, bool>(promote).fetch_one(&mut superuser).await.unwrap());
    }
}

async fn text(db: &TenantReadDb, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(db).await.unwrap()
}

async fn refusal(db: &TenantReadDb, sql: &str) -> Error {
    Error::from(sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.unwrap_err())
}

#[tokio::test]
async fn nothing_crosses_on_a_replica_and_a_missing_schema_is_an_error() {
    let pair = Pair::start(WithoutReplica::Refuse).await;
    let (acme, globex) = (&pair.acme, &pair.globex);
    for (leave, look, expect) in [
        ("SET statement_timeout TO '77s'", "SELECT current_setting('statement_timeout')", "0"),
        (
            "SELECT set_config('app.secret', 'acme', false)",
            "SELECT coalesce(current_setting('app.secret', true), '')",
            "",
        ),
        (
            "SELECT pg_advisory_lock(42)",
            "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory'",
            "0",
        ),
        (
            "PREPARE secret AS SELECT 1",
            "SELECT count(*)::text FROM pg_prepared_statements WHERE from_sql",
            "0",
        ),
        (
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "SELECT count(*)::text FROM pg_cursors WHERE name = 'c'",
            "0",
        ),
        ("SET search_path TO pg_catalog", "SELECT current_schema()::text", globex.tenant().schema().as_str()),
    ] {
        sqlx::raw_sql(AssertSqlSafe(leave)).execute(acme).await.unwrap();
        assert_eq!(text(globex, look).await, expect, "after: {leave}");
        let mut tx = acme.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(leave)).execute(&mut tx).await.unwrap();
        drop(tx);
        assert_eq!(text(globex, look).await, expect, "after a transaction with: {leave}");
    }
    sqlx::raw_sql("BEGIN").execute(acme).await.unwrap();
    // Each statement of one transaction has the same time.
    let now = "SELECT now()::text";
    assert_ne!(text(globex, now).await, text(globex, now).await);
    assert_eq!(text(globex, "SELECT pg_is_in_recovery()::text").await, "true");

    // On a connection of the other tenant, then on a warm one.
    let schema = acme.tenant().schema();
    for is_warm in [false, true] {
        if is_warm {
            text(acme, PORT).await;
        }
        let owner = &mut PgConnection::connect(pair.database.url()).await.unwrap();
        let rename = format!("ALTER SCHEMA {schema} RENAME TO gone");
        sqlx::raw_sql(AssertSqlSafe(rename)).execute(&mut *owner).await.unwrap();
        let token = pair.tenancy.db(globex.tenant()).unwrap().commit_token().await.unwrap();
        if is_warm {
            // Not by way of the pool, whose only connection is to stay where it is.
            wait_for_replay(&pair.standby, &token.to_string()).await;
        } else {
            pair.replicate().await;
        }
        let error = refusal(acme, "SELECT count(*) FROM note").await;
        assert_eq!(error.kind(), ErrorKind::MissingSchema, "{error:#}");
        assert_eq!(error.tenant().map(ToString::to_string).as_deref(), Some("acme"));
        let back = format!("ALTER SCHEMA gone RENAME TO {schema}");
        sqlx::raw_sql(AssertSqlSafe(back)).execute(owner).await.unwrap();
        pair.replicate().await;
        assert_eq!(text(acme, "SELECT count(*)::text FROM note").await, "0");
    }
}

async fn wait_for_replay(standby: &ScratchServer, token: &str) {
    let (_, position) = token.split_once(':').unwrap();
    let mut superuser = PgConnection::connect(standby.url()).await.unwrap();
    let question = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
    let begun = std::time::Instant::now();
    while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(question.clone()))
        .fetch_one(&mut superuser)
        .await
        .unwrap()
    {
        assert!(begun.elapsed().as_secs() < 10, "never replayed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_replica_that_was_promoted_takes_no_write_on_a_warm_connection() {
    let pair = Pair::start(WithoutReplica::Primary).await;
    let acme = &pair.acme;
    assert_eq!(text(acme, PORT).await, pair.standby.port().to_string());
    pair.promote().await;
    for sql in ["INSERT INTO note VALUES (1)", "WITH x AS (DELETE FROM note RETURNING 1) SELECT * FROM x"] {
        for _ in 0..2 {
            let error = refusal(acme, sql).await;
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:#}");
        }
    }
    let lifted = "SET default_transaction_read_only TO off; INSERT INTO note VALUES (1)";
    assert_eq!(refusal(acme, lifted).await.kind(), ErrorKind::Unsupported);
    let mut tx = acme.begin().await.unwrap();
    let insert = sqlx::query("INSERT INTO note VALUES (1)").execute(&mut tx).await.unwrap_err();
    assert_eq!(Error::from(insert).kind(), ErrorKind::Unsupported);
    drop(tx);
    assert_eq!(text(acme, "SELECT count(*)::text FROM note").await, "0");
}

#[tokio::test]
async fn a_replica_that_was_promoted_answers_no_further_tenant() {
    let pair = Pair::start(WithoutReplica::Primary).await;
    assert_eq!(text(&pair.acme, PORT).await, pair.standby.port().to_string());
    pair.promote().await;
    assert_eq!(text(&pair.globex, PORT).await, pair.primary.port().to_string());
    // The warm connection of the first went with that.
    assert_eq!(text(&pair.acme, PORT).await, pair.primary.port().to_string());
}
