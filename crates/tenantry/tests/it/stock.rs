//! A stock `PgPool` in the hands of a library that knows nothing of tenants.

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgPool, Row as _};
use tenantry::tenant::{Alias, Tenant};
use tenantry::{ErrorKind, Fleet, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::{
    Client, Folder, builder, check_error, config, database, eventually, slug, tenant_files, unobserved,
};

const NOTE: &str = "CREATE TABLE note (title text NOT NULL)";

/// Two tenants with a note each, and one connection for both.
struct World {
    database: ScratchDatabase,
    tenancy: Tenancy,
    pool: PgPool,
    acme: Tenant,
    globex: Tenant,
}

async fn world() -> World {
    world_of(&[NOTE]).await
}

async fn world_of(tenant_sql: &[&str]) -> World {
    let database = database().await;
    let tenancy = builder(&database).migrations(tenant_files(tenant_sql)).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    let pool = one_connection(&tenancy);
    World { database, tenancy, pool, acme, globex }
}

fn one_connection(tenancy: &Tenancy) -> PgPool {
    // What contradicts the hooks is not taken over.
    let options =
        PgPoolOptions::new().max_connections(1).min_connections(1).acquire_timeout(Duration::from_secs(5));
    tenancy.stock_pool(&Alias::default(), options).unwrap()
}

impl World {
    async fn run(&self, tenant: &Tenant, sql: &str) -> Result<(), sqlx::Error> {
        let query = sqlx::query(AssertSqlSafe(sql)).execute(&self.pool);
        self.tenancy.scope(tenant, query).await.map(drop)
    }

    async fn value(&self, tenant: &Tenant, sql: &str) -> Option<String> {
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool);
        self.tenancy.scope(tenant, query).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    async fn titles(&self, tenant: &Tenant) -> Vec<String> {
        let query = sqlx::query_scalar("SELECT title FROM note ORDER BY title").fetch_all(&self.pool);
        self.tenancy.scope(tenant, query).await.unwrap()
    }

    async fn backend(&self, tenant: &Tenant) -> Option<String> {
        self.value(tenant, "SELECT pg_backend_pid()::text").await
    }

    /// Somebody leaves something in the session; afterwards the next one finds the answer of a new one.
    async fn check_nothing_crosses(&self, leave: &'static str, ask: &str) {
        let before = self.value(&self.globex, ask).await;
        let leaving = async {
            let mut connection = self.pool.acquire().await.unwrap();
            sqlx::raw_sql(leave).execute(&mut *connection).await.unwrap();
        };
        self.tenancy.scope(&self.acme, leaving).await;
        assert_eq!(self.value(&self.globex, ask).await, before, "after {leave}");
    }
}

/// The first statement says why it is refused; those that follow on the connection fail as well, even
/// those that name their schema or no table at all.
async fn check_refused(pool: &PgPool, reason: &str) {
    let mut connection = pool.acquire().await.unwrap();
    let error = sqlx::query("SELECT 1").execute(&mut *connection).await.unwrap_err();
    assert!(error.to_string().contains(reason), "{error}");
    for sql in ["SELECT 1", "SELECT count(*) FROM tenantry.tenant", "BEGIN"] {
        let error = sqlx::query(sql).execute(&mut *connection).await.unwrap_err();
        let code = error.as_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "25P02", "{sql}: {error}");
    }
    drop(connection);
    let error = pool.begin().await.unwrap_err();
    assert!(error.to_string().contains(reason), "{error}");
}

#[tokio::test]
async fn each_scope_sees_its_own_rows_through_one_connection() {
    let world = world().await;
    let backend = world.backend(&world.acme).await;
    for round in 0..3 {
        for tenant in [&world.acme, &world.globex] {
            let insert = format!("INSERT INTO note VALUES ('{} {round}')", tenant.slug());
            world.run(tenant, &insert).await.unwrap();
        }
    }
    assert_eq!(world.titles(&world.acme).await, ["acme 0", "acme 1", "acme 2"]);
    assert_eq!(world.titles(&world.globex).await, ["globex 0", "globex 1", "globex 2"]);
    assert_eq!(world.backend(&world.globex).await, backend, "the connection was kept");
}

#[tokio::test]
async fn without_a_scope_every_statement_fails_and_says_why() {
    let world = world().await;
    let reason = "no tenant is current in this task";
    check_refused(&world.pool, reason).await;
    // The same on a connection that has served.
    assert!(world.titles(&world.acme).await.is_empty());
    check_refused(&world.pool, reason).await;
    assert!(world.titles(&world.acme).await.is_empty(), "and the pool goes on working");
}

#[tokio::test]
async fn a_refusal_does_not_take_until_the_timeout() {
    let world = world().await;
    let started = std::time::Instant::now();
    check_refused(&world.pool, "no tenant").await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_spawned_task_has_no_tenant() {
    let world = world().await;
    let pool = world.pool.clone();
    let spawning =
        async { tokio::spawn(async move { check_refused(&pool, "no tenant is current").await }).await };
    world.tenancy.scope(&world.acme, spawning).await.unwrap();
}

#[tokio::test]
async fn a_missing_schema_is_refused_by_name() {
    let world = world().await;
    let schema = world.acme.schema();
    let gone = format!("ALTER SCHEMA {schema} RENAME TO {schema}_old");
    Client::owner(&world.database).await.run(&gone).await;
    let reason = format!("schema `{schema}` of tenant `acme` is missing");
    world.tenancy.scope(&world.acme, check_refused(&world.pool, &reason)).await;
    assert!(world.titles(&world.globex).await.is_empty());
}

#[tokio::test]
async fn who_is_suspended_is_refused() {
    let world = world().await;
    let mut client = Client::owner(&world.database).await;
    client.run("UPDATE tenantry.tenant SET status = 'suspended' WHERE slug = 'acme'").await;
    // Another process, which has not seen the tenant active.
    let tenancy = builder(&world.database).connect().await.unwrap();
    let acme = tenancy.tenant("acme").await.unwrap();
    tenancy.scope(&acme, check_refused(&world.pool, "tenant `acme` is suspended")).await;
}

#[tokio::test]
async fn who_lives_in_another_database_is_refused() {
    let (home, away) = (database().await, database().await);
    let alias = Alias::parse("away").unwrap();
    let tenancy = builder(&home).database_as(alias.clone(), config(&away)).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let pool = tenancy.stock_pool(&alias, PgPoolOptions::new()).unwrap();
    let reason = "tenant `acme` lives in database `default`, this pool is of `away`";
    tenancy.scope(&acme, check_refused(&pool, reason)).await;

    let nowhere = tenancy.stock_pool(&Alias::parse("nowhere").unwrap(), PgPoolOptions::new());
    check_error(nowhere, ErrorKind::Configuration, &["no database is named `nowhere`"]);
}

#[tokio::test]
async fn what_a_session_holds_does_not_cross() {
    let world = world().await;
    let path = "SELECT current_setting('search_path')";
    let temporary = "SELECT count(*)::text FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'";
    let locks = "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    let timeout = "SELECT current_setting('statement_timeout')";
    for (leave, ask) in [
        ("SET search_path TO public", path),
        ("RESET ALL", path),
        ("CREATE TEMP TABLE note (title text)", temporary),
        ("SELECT pg_advisory_lock(42)", locks),
        ("SET statement_timeout = '1min'", timeout),
        ("LISTEN news", "SELECT count(*)::text FROM pg_listening_channels()"),
        ("PREPARE p AS SELECT 1", "SELECT count(*)::text FROM pg_prepared_statements WHERE from_sql"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SELECT count(*)::text FROM pg_cursors WHERE name = 'c'"),
        // Behind sqlx's back.
        ("BEGIN", "SELECT (now() = statement_timestamp())::text"),
        ("BEGIN; SET LOCAL search_path TO public", path),
    ] {
        world.check_nothing_crosses(leave, ask).await;
    }
}

#[tokio::test]
async fn a_dropped_transaction_is_rolled_back_and_does_not_cross() {
    let world = world().await;
    let backend = world.backend(&world.globex).await;
    let dropping = async {
        let mut tx = world.pool.begin().await.unwrap();
        sqlx::query("INSERT INTO note VALUES ('never')").execute(&mut *tx).await.unwrap();
    };
    world.tenancy.scope(&world.acme, dropping).await;
    world.run(&world.globex, "INSERT INTO note VALUES ('kept')").await.unwrap();
    assert_eq!(world.titles(&world.globex).await, ["kept"]);
    assert!(world.titles(&world.acme).await.is_empty());
    assert_eq!(world.backend(&world.globex).await, backend, "sqlx knew of it, so the connection was kept");
}

#[tokio::test]
async fn a_begin_cancelled_in_flight_does_not_swallow_the_next_write() {
    let world = world().await;
    for polls in 1..6 {
        let cancelling = async {
            let mut connection = world.pool.acquire().await.unwrap();
            let begin = connection.begin();
            give_up_after(polls, begin).await;
        };
        world.tenancy.scope(&world.acme, cancelling).await;
        world.run(&world.globex, "INSERT INTO note VALUES ('kept')").await.unwrap();
        // Asked from outside: an open transaction would see its own row.
        let mut client = Client::owner(&world.database).await;
        let count = client.count(&format!("{}.note", world.globex.schema())).await;
        assert_eq!(count, polls, "cancelled after {polls} polls");
    }
}

/// Polls a future this many times and drops it.
async fn give_up_after(polls: i64, future: impl Future) {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        left -= 1;
        let is_over = future.as_mut().poll(cx).is_ready() || left == 0;
        if is_over { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn a_checkout_cancelled_at_any_moment_leaves_no_session_behind() {
    let world = world().await;
    for polls in 1..12 {
        let acquiring = give_up_after(polls, world.pool.acquire());
        let acquiring = Box::pin(world.tenancy.scope(&world.acme, acquiring));
        // A poll may never come; what matters is that the future is dropped.
        let _ = tokio::time::timeout(Duration::from_millis(200), acquiring).await;
        let schema = world.value(&world.globex, "SELECT current_schema()::text").await;
        assert_eq!(schema.as_deref(), Some(world.globex.schema().as_str()), "after {polls} polls");
    }
}

#[tokio::test]
async fn the_error_of_a_cancelled_statement_does_not_cross() {
    let world = world().await;
    let cancelling = async {
        let mut connection = world.pool.acquire().await.unwrap();
        give_up_after(1, sqlx::raw_sql("SELECT 1 / 0").execute(&mut *connection)).await;
    };
    world.tenancy.scope(&world.acme, cancelling).await;
    assert!(world.titles(&world.globex).await.is_empty());
}

#[derive(Debug, PartialEq, sqlx::Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
enum Mood {
    Happy,
    Sad,
}

#[tokio::test]
async fn types_of_one_name_are_each_tenants_own() {
    let world = world_of(&["CREATE TYPE mood AS ENUM ('happy', 'sad'); CREATE TABLE note (mood mood)"]).await;
    for round in 0..3 {
        for tenant in [&world.acme, &world.globex] {
            let insert = sqlx::query("INSERT INTO note VALUES ($1)").bind(Mood::Sad).execute(&world.pool);
            world.tenancy.scope(tenant, insert).await.unwrap_or_else(|error| panic!("{round}: {error}"));
            let select = sqlx::query_scalar("SELECT mood FROM note WHERE mood <> $1").bind(Mood::Happy);
            let moods: Vec<Mood> = world.tenancy.scope(tenant, select.fetch_all(&world.pool)).await.unwrap();
            assert_eq!(moods.len(), round + 1);
        }
    }
}

#[tokio::test]
async fn tenants_at_two_versions_share_the_text_of_a_statement() {
    let folder = Folder::of(&[NOTE]);
    let database = database().await;
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy.create(NewTenant::new("globex")).await.unwrap();
    folder.write("tenant/0002_body.sql", "ALTER TABLE note ADD COLUMN body text");
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    tenancy.migrate(Fleet::only([slug("acme")]), unobserved).await.unwrap();

    let pool = one_connection(&tenancy);
    for _ in 0..3 {
        for (name, columns) in [("acme", 2), ("globex", 1)] {
            let tenant = tenancy.tenant(name).await.unwrap();
            let insert = sqlx::query("INSERT INTO note (title) VALUES ('x') RETURNING *").fetch_one(&pool);
            let row = tenancy.scope(&tenant, insert).await.unwrap();
            assert_eq!(row.len(), columns, "{name}");
        }
    }
}

#[tokio::test]
async fn what_sqlx_hands_out_without_a_hook_sees_nothing() {
    let world = world().await;
    world.run(&world.acme, "INSERT INTO note VALUES ('secret')").await.unwrap();
    eventually("the connection is back", async || world.pool.num_idle() == 1).await;
    let trying = async {
        let mut connection = world.pool.try_acquire().unwrap();
        sqlx::query("SELECT title FROM note").fetch_all(&mut *connection).await.unwrap_err()
    };
    let error = world.tenancy.scope(&world.globex, trying).await;
    assert!(error.to_string().contains("relation \"note\" does not exist"), "{error}");
    assert_eq!(world.titles(&world.acme).await, ["secret"]);
}

#[tokio::test]
async fn a_lost_connection_is_replaced() {
    let world = world().await;
    assert!(world.titles(&world.acme).await.is_empty());
    eventually("the connection is back", async || world.pool.num_idle() == 1).await;
    let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE pid <> pg_backend_pid() AND datname = current_database()";
    Client::superuser(&world.database).await.run(all).await;
    assert!(world.titles(&world.globex).await.is_empty());
}
