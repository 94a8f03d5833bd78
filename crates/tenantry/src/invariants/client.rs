//! The switch that travels with its statement, which only tokio-postgres does.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_embedded::ScratchDatabase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::database::PoolMode;
use crate::error::BoxError;
use crate::fixture::{Driver, Installation, builder, with_one_connection};
use crate::pool::{CheckoutRequest, Hook, Preprocessor, SessionSettings, TenantClient};
use crate::{DatabaseConfig, ErrorKind, Fleet, NewTenant, PoolConfig, Tenancy};

const NOTES: &str = "CREATE TABLE note (id serial, title text)";
const SCHEMA: &str = "SELECT current_schema()::text";
const PID: &str = "SELECT pg_backend_pid()::text";

async fn client(tenancy: &Tenancy, slug: &str) -> TenantClient {
    tenancy.client(&tenancy.tenant(slug).await.unwrap()).unwrap()
}

async fn two_clients() -> (Installation, TenantClient, TenantClient) {
    let installation = with_one_connection(&[NOTES]).await;
    installation.create("acme").await;
    installation.create("globex").await;
    let tenancy = &installation.tenancy;
    let (acme, globex) = (client(tenancy, "acme").await, client(tenancy, "globex").await);
    (installation, acme, globex)
}

async fn text(client: &TenantClient, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

fn one_connection() -> PoolConfig {
    PoolConfig { max_connections: 1, ..PoolConfig::default() }
}

/// A way to the server on which answers take their time, so that what is sent without waiting for
/// one arrives before it. Counts the round trips.
struct SlowWay {
    port: u16,
    flights: Arc<AtomicU32>,
}

impl SlowWay {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let flights = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&flights);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&counter)));
            }
        });
        Self { port, flights }
    }

    /// The round trips since the last time.
    fn flights(&self) -> u32 {
        self.flights.swap(0, Ordering::Relaxed)
    }
}

async fn carry(client: TcpStream, server: TcpStream, flights: Arc<AtomicU32>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let has_answered = Arc::new(AtomicBool::new(true));
    let answered = Arc::clone(&has_answered);
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
            answered.store(true, Ordering::Relaxed);
            if to_client.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
        if has_answered.swap(false, Ordering::Relaxed) {
            flights.fetch_add(1, Ordering::Relaxed);
        }
        to_server.write_all(&buffer[..length]).await.unwrap();
    }
}

/// Two tenants behind a slow way, on one connection that has served both.
async fn two_clients_far_away() -> (Installation, SlowWay, TenantClient, TenantClient) {
    let installation = with_one_connection(&[NOTES]).await;
    installation.create("acme").await;
    installation.create("globex").await;
    let url = installation.database.url();
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
    let way = SlowWay::to(port.parse().unwrap()).await;
    let slow = url.replace(&format!(":{port}/"), &format!(":{}/", way.port));
    // What the registry listens on takes another way.
    let database = DatabaseConfig::from_url(&slow).unwrap().direct_url(url).unwrap();
    let database = database.pool(one_connection());
    let far = Tenancy::builder().database(database).connect().await.unwrap();
    let (acme, globex) = (client(&far, "acme").await, client(&far, "globex").await);
    for client in [&acme, &globex, &acme, &globex] {
        text(client, SCHEMA).await;
    }
    way.flights();
    (installation, way, acme, globex)
}

#[tokio::test]
async fn a_switch_costs_no_round_trip_of_its_own() {
    let (_installation, way, acme, globex) = two_clients_far_away().await;
    for client in [&acme, &globex, &acme, &globex] {
        assert_eq!(text(client, SCHEMA).await, client.tenant().schema().as_str());
        assert_eq!(way.flights(), 1);
    }
    // Again for the same one, and it stays; then it is warm.
    for _ in 0..3 {
        text(&globex, SCHEMA).await;
        assert_eq!(way.flights(), 1);
    }
    // To leave it is a round trip.
    text(&acme, SCHEMA).await;
    assert_eq!(way.flights(), 2);
    // What is not known on the connection is prepared behind the switch.
    text(&globex, PID).await;
    assert_eq!(way.flights(), 2);
}

#[tokio::test]
async fn a_transaction_is_opened_together_with_its_first_statement() {
    let (_installation, way, acme, globex) = two_clients_far_away().await;
    for client in [&acme, &globex, &globex] {
        let mut tx = client.begin().await.unwrap();
        assert_eq!(way.flights(), 0);
        let row = tx.query_one(SCHEMA, &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), client.tenant().schema().as_str());
        tx.commit().await.unwrap();
        assert_eq!(way.flights(), 2);
    }
    globex.begin().await.unwrap().rollback().await.unwrap();
    assert_eq!(way.flights(), 0, "nothing was to be rolled back");
}

#[tokio::test]
async fn nothing_runs_behind_a_switch_that_fails() {
    let (installation, acme, globex) = two_clients().await;
    installation.run("CREATE TABLE public.trace (who text)").await;
    let leave_trace = "INSERT INTO public.trace VALUES ('acme')";
    // The connection is in the void, so that only the switch ahead of the statement can notice.
    text(&globex, SCHEMA).await;
    installation.run(&format!("DROP SCHEMA {} CASCADE", acme.tenant().schema())).await;
    let error = acme.execute(leave_trace, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingSchema, "{error}");
    assert_eq!(text(&globex, "SELECT count(*)::text FROM public.trace").await, "0");
}

#[tokio::test]
async fn a_schema_that_vanishes_between_switches_is_an_error_at_once_and_named_soon() {
    let (installation, acme, globex) = two_clients().await;
    installation.run("CREATE TABLE public.note (title text); GRANT ALL ON public.note TO PUBLIC").await;
    let insert = "INSERT INTO note (title) VALUES ('lost')";
    for client in [&acme, &globex, &acme, &globex] {
        client.execute(insert, &[]).await.unwrap();
    }
    installation.run(&format!("DROP SCHEMA {} CASCADE", acme.tenant().schema())).await;
    let error = acme.execute(insert, &[]).await.unwrap_err();
    assert_eq!(error.database_code().as_deref(), Some("42P01"), "{error}");
    assert_eq!(acme.execute(insert, &[]).await.unwrap_err().kind(), ErrorKind::MissingSchema);
}

/// Sets what a database with another encoding cannot read.
struct Unreadable;

impl Preprocessor for Unreadable {
    fn name(&self) -> &'static str {
        "unreadable"
    }

    fn prepare(&self, request: &CheckoutRequest, session: &mut SessionSettings) -> crate::Result<()> {
        match request.tenant() {
            Some(tenant) if tenant.slug().as_str() == "acme" => session.set("app.actor", "Łódź"),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_switch_that_fails_before_its_transaction_leaves_its_statement_in_the_void() {
    let outer = ScratchDatabase::create().await.unwrap();
    let (name, url) = latin1_beside(&outer).await;
    let database = DatabaseConfig::from_url(&url).unwrap().pool(one_connection());
    let tenancy = Tenancy::builder().database(database).migrations(crate::fixture::migrations(&[NOTES]));
    let tenancy = tenancy.preprocessor(Unreadable).install(true).connect().await.unwrap();
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    let (acme, globex) = (client(&tenancy, "acme").await, client(&tenancy, "globex").await);
    // Warm for `globex`: what runs in the session as it is, runs there.
    for _ in 0..3 {
        text(&globex, SCHEMA).await;
    }
    let insert = "INSERT INTO note (title) VALUES ('of acme')";
    for _ in 0..2 {
        // Nothing to prepare, so it is sent whatever comes of the switch.
        let error = acme.batch_execute(insert).await.unwrap_err();
        assert_eq!(error.database_code().as_deref(), Some("22P05"), "{error}");
    }
    assert_eq!(text(&globex, "SELECT count(*)::text FROM note").await, "0", "it ran for somebody else");
    tenancy.close(Duration::from_secs(5)).await.unwrap();
    run_as_superuser(&outer, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

/// A database whose characters are those of Western Europe, and its URL.
async fn latin1_beside(outer: &ScratchDatabase) -> (String, String) {
    let own_name = outer.url().rsplit('/').next().unwrap().to_owned();
    let name = format!("{own_name}_latin1");
    let owner = outer.url().split("://").nth(1).unwrap().split(':').next().unwrap();
    run_as_superuser(
        outer,
        &format!("CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"),
    )
    .await;
    (name.clone(), outer.url().trim_end_matches(&own_name).to_owned() + &name)
}

async fn run_as_superuser(database: &ScratchDatabase, sql: &str) {
    let mut connection = PgConnection::connect(database.superuser_url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}

#[derive(Debug)]
struct Happy;

impl ToSql for Happy {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        out.extend_from_slice(b"happy");
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        ty.name() == "mood"
    }

    to_sql_checked!();
}

#[tokio::test]
async fn types_of_one_name_in_two_schemas_work_through_one_text() {
    let tables = "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE diary (mood mood)";
    let installation = with_one_connection(&[tables]).await;
    installation.create("acme").await;
    installation.create("globex").await;
    for round in 1..=4 {
        for slug in ["acme", "globex"] {
            let client = client(&installation.tenancy, slug).await;
            client.execute("INSERT INTO diary VALUES ($1)", &[&Happy]).await.unwrap();
            let same = "SELECT count(*) FROM diary WHERE mood = $1";
            let count: i64 = client.query_one(same, &[&Happy]).await.unwrap().get(0);
            assert_eq!(count, round);
        }
    }
}

struct Hooked<H>(H);

struct ForSqlx;
struct ForBoth;

impl<H: Hook + 'static> Preprocessor for Hooked<H> {
    fn name(&self) -> &'static str {
        "hooked"
    }

    fn prepare(&self, _: &CheckoutRequest, _: &mut SessionSettings) -> crate::Result<()> {
        Ok(())
    }

    fn hook(&self) -> Option<&dyn Hook> {
        Some(&self.0)
    }
}

impl Hook for ForSqlx {
    fn after_switch<'a>(
        &'a self,
        _: &'a CheckoutRequest,
        _: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Hook for ForBoth {
    fn after_switch<'a>(
        &'a self,
        _: &'a CheckoutRequest,
        _: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async { Ok(()) })
    }

    fn after_client_switch<'a>(
        &'a self,
        request: &'a CheckoutRequest,
        client: &'a tokio_postgres::Client,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        let sql = format!("SELECT set_config('app.hooked', '{}', false)", request.schema());
        Box::pin(async move { Ok(client.batch_execute(&sql).await?) })
    }
}

#[tokio::test]
async fn a_hook_is_run_or_the_connection_is_refused() {
    let database = ScratchDatabase::create().await.unwrap();
    let tenancy = builder(&database, &[], one_connection()).preprocessor(Hooked(ForSqlx));
    let tenancy = tenancy.connect().await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let acme = client(&tenancy, "acme").await;
    for error in [acme.query(SCHEMA, &[]).await.unwrap_err(), acme.begin().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(error.to_string(), "preprocessor `hooked` refused the connection");
    }

    let tenancy = builder(&database, &[], one_connection()).preprocessor(Hooked(ForBoth));
    let tenancy = tenancy.connect().await.unwrap();
    tenancy.create(NewTenant::new("globex")).await.unwrap();
    for slug in ["acme", "globex", "acme"] {
        let client = client(&tenancy, slug).await;
        let hooked = text(&client, "SELECT current_setting('app.hooked')").await;
        assert_eq!(hooked, client.tenant().schema().as_str());
    }
}

#[tokio::test]
async fn a_role_lasts_as_long_as_its_tenant() {
    struct Monitor;
    impl Preprocessor for Monitor {
        fn name(&self) -> &'static str {
            "monitor"
        }

        fn prepare(&self, request: &CheckoutRequest, session: &mut SessionSettings) -> crate::Result<()> {
            match request.tenant() {
                Some(tenant) if tenant.slug().as_str() == "acme" => session.role("pg_monitor"),
                _ => Ok(()),
            }
        }
    }
    let database = ScratchDatabase::create().await.unwrap();
    let tenancy = builder(&database, &[], one_connection()).preprocessor(Monitor).connect().await.unwrap();
    for slug in ["acme", "globex"] {
        let tenant = tenancy.create(NewTenant::new(slug)).await.unwrap();
        let grant = format!("GRANT USAGE ON SCHEMA {} TO pg_monitor", tenant.schema());
        run_as_superuser(&database, &grant).await;
    }
    let owner = database.url().split("://").nth(1).unwrap().split(':').next().unwrap();
    run_as_superuser(&database, &format!("GRANT pg_monitor TO {owner}")).await;
    let (acme, globex) = (client(&tenancy, "acme").await, client(&tenancy, "globex").await);
    let role = "SELECT (current_user = 'pg_monitor')::text";
    for (client, expect) in [
        (&acme, "true"),
        (&globex, "false"),
        (&acme, "true"),
        (&acme, "true"),
        (&acme, "true"),
        (&globex, "false"),
    ] {
        assert_eq!(text(client, role).await, expect);
    }
}

#[tokio::test]
async fn a_mistake_in_a_statement_does_not_cost_the_connection() {
    let (installation, acme, globex) = two_clients().await;
    let pid = text(&acme, PID).await;
    for client in [&acme, &globex, &globex, &globex] {
        for (sql, says) in [
            ("SELECT $1::int4", "takes 1 parameters and was given 0"),
            ("SELECT nowhere", "refused the statement"),
            ("SELECT 1/0", "refused the statement"),
            ("SELECT generate_series(1, 2)", "answered with 2 rows"),
            ("SELECT 1 WHERE false", "no such row"),
        ] {
            let error = client.query_one(sql, &[]).await.unwrap_err();
            assert!(error.to_string().contains(says), "{sql}: {error}");
        }
        client.query("SELECT $1::int4", &[&"text"]).await.unwrap_err();
        assert_eq!(text(client, PID).await, pid);
        assert_eq!(text(client, SCHEMA).await, client.tenant().schema().as_str());
    }
    assert_eq!(installation.counts(Driver::TokioPostgres).doubtful, 0);
}

#[tokio::test]
async fn a_connection_keeps_no_more_statements_than_it_may() {
    for capacity in [0, 3] {
        let pool = PoolConfig { statement_cache_capacity: capacity, ..one_connection() };
        let installation = crate::fixture::installation(&[NOTES], pool).await;
        installation.create("acme").await;
        installation.create("globex").await;
        let prepared = "SELECT count(*) FROM pg_prepared_statements";
        for slug in ["acme", "globex", "acme", "globex"] {
            let client = client(&installation.tenancy, slug).await;
            for number in 0..5 {
                client.query(&format!("SELECT {number}"), &[]).await.unwrap();
            }
            let count: i64 = client.query_one(prepared, &[]).await.unwrap().get(0);
            // The one that counts is kept only afterwards.
            assert!(count <= i64::try_from(capacity).unwrap() + 1, "{count}");
        }
    }
}

#[tokio::test]
async fn statements_that_are_shared_are_of_one_version() {
    let second = "ALTER TABLE note ADD COLUMN done boolean";
    let pool = PoolConfig { statement_cache_capacity: 4, ..one_connection() };
    let installation = crate::fixture::installation(&[NOTES], pool).await;
    installation.create("acme").await;
    installation.create("globex").await;
    let deploy = builder(&installation.database, &[NOTES, second], PoolConfig::default());
    let only_acme = Fleet::only([crate::tenant::Slug::parse("acme").unwrap()]);
    deploy.connect().await.unwrap().migrate(only_acme, ()).await.unwrap();
    installation.tenancy.migrate(Fleet::only([]), ()).await.unwrap();

    // More than the connection may keep, so that it shares from here on.
    let globex = client(&installation.tenancy, "globex").await;
    for number in 0..5 {
        globex.query(&format!("SELECT {number}"), &[]).await.unwrap();
    }
    for _ in 0..3 {
        for (slug, columns) in [("acme", 3), ("globex", 2)] {
            let mut tx = client(&installation.tenancy, slug).await.begin().await.unwrap();
            tx.execute("INSERT INTO note (title) VALUES ('x')", &[]).await.unwrap();
            assert_eq!(tx.query_one("SELECT * FROM note LIMIT 1", &[]).await.unwrap().len(), columns);
            tx.commit().await.unwrap();
        }
    }
}

#[tokio::test]
async fn behind_a_pooler_in_transaction_mode_there_is_no_client() {
    let installation = with_one_connection(&[]).await;
    let acme = installation.create("acme").await;
    let pool = PoolConfig { mode: PoolMode::Transaction, ..one_connection() };
    let url = installation.database.url();
    let database = DatabaseConfig::from_url(url).unwrap().direct_url(url).unwrap().pool(pool);
    let behind = Tenancy::builder().database(database).connect().await.unwrap();
    let acme = behind.client(&acme).unwrap();
    for error in [acme.query(SCHEMA, &[]).await.unwrap_err(), acme.begin().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
}

#[tokio::test]
async fn a_terminated_backend_is_noticed_before_it_is_used() {
    let (installation, acme, globex) = two_clients().await;
    for client in [&acme, &acme, &acme, &globex, &acme] {
        let pid = text(client, PID).await;
        installation.run_as_superuser(&format!("SELECT pg_terminate_backend({pid})")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_ne!(text(client, PID).await, pid);
    }
}

#[tokio::test]
async fn a_closed_tenancy_leaves_no_client_behind() {
    let (installation, acme, _) = two_clients().await;
    let pid = text(&acme, PID).await;
    installation.tenancy.close(Duration::from_secs(5)).await.unwrap();
    assert_eq!(acme.query("SELECT 1", &[]).await.unwrap_err().kind(), ErrorKind::PoolClosed);
    let mut outside = installation.outside().await;
    for _ in 0..100 {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut outside).await.unwrap();
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the backend is still there");
}
