//! The application behind a `PgBouncer` in transaction mode.

mod leftovers;
mod refusals;
mod traffic;

use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tenantry::database::PoolMode;
use tenantry::pool::{CheckoutRequest, Hook, Preprocessor, SearchPath, SessionSettings};
use tenantry::{Builder, DatabaseConfig, Error, ErrorKind, Fleet, NewTenant, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::{ScratchDatabase, ScratchPooler};

use crate::support::{
    Client, Folder, check_error, database, eventually, random_up_to, tenant_files, unobserved,
};

/// A database with a pooler in front of it.
struct Behind {
    database: ScratchDatabase,
    pooler: ScratchPooler,
}

impl Behind {
    /// Starts a pooler with this many sessions for all of its clients together.
    async fn with_sessions(sessions: u32) -> Self {
        let database = database().await;
        let pooler =
            ScratchPooler::start(&[database.url(), database.superuser_url()], sessions).await.unwrap();
        Self { database, pooler }
    }

    fn url(&self) -> String {
        self.pooler.url(self.database.url())
    }

    /// Nothing but the way through the pooler.
    fn config(&self) -> DatabaseConfig {
        let pool = PoolConfig { mode: PoolMode::Transaction, ..PoolConfig::default() };
        DatabaseConfig::from_url(&self.url()).unwrap().pool(pool)
    }

    fn builder(&self) -> Builder {
        let config = self.config().direct_url(self.database.url()).unwrap();
        Tenancy::builder().database(config).install(true)
    }

    async fn tenancy(&self, tenant_sql: &[&str]) -> Tenancy {
        self.builder().migrations(tenant_files(tenant_sql)).connect().await.unwrap()
    }

    /// A client of the pooler's that knows nothing of Tenantry.
    async fn client(&self) -> Bare {
        Bare::connect(&self.url()).await
    }
}

/// A connection that asks for nothing a pooler refuses, and sends statements by the simple protocol.
struct Bare(PgConnection);

impl Bare {
    async fn connect(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        Self(PgConnection::connect_with(&options.extra_float_digits(None)).await.unwrap())
    }

    async fn run(&mut self, sql: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.0).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The first column of all rows.
    async fn column(&mut self, sql: &str) -> Vec<String> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut self.0).await;
        rows.unwrap_or_else(|error| panic!("{sql}: {error}")).iter().map(|row| row.get(0)).collect()
    }
}

async fn create(tenancy: &Tenancy, slug: &str) -> TenantDb {
    tenancy.db(&tenancy.create(NewTenant::new(slug)).await.unwrap()).unwrap()
}

async fn text(db: &TenantDb, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(db).await.unwrap()
}

#[tokio::test]
async fn transactions_hold_what_they_promise() {
    let behind = Behind::with_sessions(1).await;
    let tenancy = behind.tenancy(&["CREATE TABLE note (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)"]).await;
    let (acme, globex) = (create(&tenancy, "acme").await, create(&tenancy, "globex").await);
    let count = "SELECT count(*)::text FROM note";

    let mut tx = acme.begin().await.unwrap();
    sqlx::query("INSERT INTO note VALUES ($1)").bind(1).execute(&mut *tx).await.unwrap();
    sqlx::query("SAVEPOINT a").execute(&mut *tx).await.unwrap();
    sqlx::query("INSERT INTO note VALUES ($1)").bind(2).execute(&mut *tx).await.unwrap();
    sqlx::query("ROLLBACK TO a").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((text(&acme, count).await, text(&globex, count).await), ("1".into(), "0".into()));

    let mut tx = acme.begin().await.unwrap();
    sqlx::query("DELETE FROM note").execute(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = acme.begin().await.unwrap();
    sqlx::query("DELETE FROM note").execute(&mut *tx).await.unwrap();
    drop(tx);
    assert_eq!(text(&acme, count).await, "1", "neither was committed");

    // A constraint that is checked at the end fails there, alone and in a transaction.
    let duplicate = sqlx::query("INSERT INTO note VALUES (1)");
    let error = Error::from(duplicate.execute(&acme).await.unwrap_err());
    assert_eq!(error.database_code().as_deref(), Some("23505"), "{error}");
    let mut tx = acme.begin().await.unwrap();
    sqlx::query("INSERT INTO note VALUES (1)").execute(&mut *tx).await.unwrap();
    let error = Error::from(tx.commit().await.unwrap_err());
    assert_eq!(error.database_code().as_deref(), Some("23505"), "{error}");
    assert_eq!(text(&acme, count).await, "1");

    // Rows that were not read to the end are rows that were not written.
    let mut rows = sqlx::query("INSERT INTO note SELECT generate_series(2, 9999) RETURNING id").fetch(&acme);
    rows.try_next().await.unwrap().unwrap();
    drop(rows);
    assert_eq!(text(&acme, count).await, "1");
}

#[derive(Clone, Debug, PartialEq, sqlx::Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
enum Mood {
    Happy,
}

/// The driver asks for a type that it meets in the rows of a statement, and loses the statement by it.
#[tokio::test]
async fn types_of_a_tenant_are_learned_alone_and_in_transactions() {
    let behind = Behind::with_sessions(1).await;
    let tables =
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE diary AS SELECT 'happy'::mood AS mood";
    create(&behind.tenancy(&[tables]).await, "acme").await;
    let look = || sqlx::query_scalar::<_, Mood>("SELECT mood FROM diary");

    // Connections that have met no type.
    let tenancy = behind.tenancy(&[tables]).await;
    let acme = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    assert_eq!(look().fetch_all(&acme).await.unwrap(), [Mood::Happy]);
    // The second attempt cleans up like the first.
    let tenancy = behind.tenancy(&[tables]).await;
    let acme = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    let set =
        "SELECT mood, query_to_xml('SELECT set_config(''app.secret'', ''x'', false)', true, true, '')::text
               FROM diary";
    sqlx::query(set).execute(&acme).await.unwrap();
    let secret = "SELECT coalesce(current_setting('app.secret', true), '')";
    assert_eq!(behind.client().await.column(secret).await, [""]);
    let tenancy = behind.tenancy(&[tables]).await;
    let acme = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    let mut tx = acme.begin().await.unwrap();
    sqlx::query("INSERT INTO diary VALUES ('happy')").execute(&mut *tx).await.unwrap();
    assert_eq!(look().fetch_all(&mut *tx).await.unwrap(), [Mood::Happy, Mood::Happy]);
    tx.commit().await.unwrap();
    assert_eq!(look().fetch_all(&acme).await.unwrap(), [Mood::Happy, Mood::Happy]);
}

#[tokio::test]
async fn types_of_two_tenants_work_through_one_text() {
    let behind = Behind::with_sessions(2).await;
    let tables =
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE diary (id int, mood mood, moods mood[])";
    let tenancy = behind.tenancy(&[tables]).await;
    let tenants = [create(&tenancy, "acme").await, create(&tenancy, "globex").await];
    for round in 1..=3 {
        for db in &tenants {
            let mut tx = db.begin().await.unwrap();
            sqlx::query("SELECT count(*) FROM diary").execute(&mut *tx).await.unwrap();
            let insert = sqlx::query("INSERT INTO diary VALUES ($1, $2, $3)");
            let insert = insert.bind(round).bind(Mood::Happy).bind(vec![Mood::Happy]);
            insert.execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
            let moods: Vec<Mood> = sqlx::query_scalar("SELECT mood FROM diary").fetch_all(db).await.unwrap();
            assert_eq!(moods.len(), usize::try_from(round).unwrap());
            let mut tx = db.begin().await.unwrap();
            let list: Vec<Mood> =
                sqlx::query_scalar("SELECT moods FROM diary LIMIT 1").fetch_one(&mut *tx).await.unwrap();
            assert_eq!(list, [Mood::Happy]);
            tx.commit().await.unwrap();
        }
    }
}

/// Deferred triggers run at the very end, when the session is cleaned already.
#[tokio::test]
async fn a_deferred_trigger_runs_in_the_schema_of_its_tenant() {
    let behind = Behind::with_sessions(1).await;
    let tables = "CREATE TABLE note (id int); CREATE TABLE log (id int);
        CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO log VALUES (new.id); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER log AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION log()";
    let tenancy = behind.tenancy(&[tables]).await;
    Client::owner(&behind.database).await.run("CREATE TABLE public.log (id int)").await;
    let acme = create(&tenancy, "acme").await;
    sqlx::query("INSERT INTO note VALUES (1)").execute(&acme).await.unwrap();
    sqlx::query("DO 'BEGIN INSERT INTO note VALUES (2); END'").execute(&acme).await.unwrap();
    assert_eq!(text(&acme, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM log").await, "1 2");
}

#[tokio::test]
async fn what_a_connection_said_of_itself_lasts() {
    let behind = Behind::with_sessions(1).await;
    let elsewhere = format!("ALTER DATABASE {} SET timezone TO 'Asia/Tokyo'", behind.database.name());
    Client::owner(&behind.database).await.run(&elsewhere).await;
    let tenancy = behind.tenancy(&[]).await;
    let acme = create(&tenancy, "acme").await;
    let look = "SELECT concat_ws(' ', current_setting('timezone'), current_setting('application_name'))";
    assert_eq!(text(&acme, look).await, "UTC tenantry");
    sqlx::query("DO 'BEGIN END'").execute(&acme).await.unwrap();
    assert_eq!(text(&acme, look).await, "UTC tenantry");
}

/// Asks something on the bare connection, in a statement that sqlx gives a name.
struct Asks;

impl Preprocessor for Asks {
    fn name(&self) -> &'static str {
        "asks"
    }

    fn prepare(&self, request: &CheckoutRequest, session: &mut SessionSettings) -> tenantry::Result<()> {
        session.set("app.actor", request.tenant().map_or("", |tenant| tenant.slug().as_str()))?;
        session.set("transaction_isolation", "serializable")
    }

    fn hook(&self) -> Option<&dyn Hook> {
        Some(self)
    }
}

impl Hook for Asks {
    fn after_switch<'a>(
        &'a self,
        request: &'a CheckoutRequest,
        connection: &'a mut PgConnection,
    ) -> futures_util::future::BoxFuture<'a, Result<(), Box<dyn std::error::Error + Send + Sync>>> {
        Box::pin(async move {
            let schema: String =
                sqlx::query_scalar("SELECT current_schema()::text").fetch_one(connection).await?;
            assert_eq!(schema, request.schema().as_str());
            Ok(())
        })
    }
}

#[tokio::test]
async fn preprocessors_work_inside_of_each_transaction() {
    let behind = Behind::with_sessions(1).await;
    let tenancy = behind.builder().preprocessor(SearchPath).preprocessor(Asks).connect().await.unwrap();
    let tenants = [create(&tenancy, "acme").await, create(&tenancy, "globex").await];
    for _ in 0..3 {
        for db in &tenants {
            let look = "SELECT concat_ws(' ', current_setting('app.actor'), current_setting('transaction_isolation'))";
            assert_eq!(text(db, look).await, format!("{} serializable", db.tenant().slug()));
        }
    }
    let mut client = behind.client().await;
    let left = client.column("SELECT name FROM pg_prepared_statements").await;
    assert_eq!(left, [""; 0]);
}

#[tokio::test]
async fn cancelled_futures_leave_no_transaction_open() {
    let behind = Behind::with_sessions(2).await;
    let tenancy = behind.tenancy(&["CREATE TABLE note (id serial)"]).await;
    let (acme, globex) = (create(&tenancy, "acme").await, create(&tenancy, "globex").await);
    for _ in 0..200 {
        let work = async {
            sqlx::query("INSERT INTO note DEFAULT VALUES").execute(&acme).await?;
            let mut tx = globex.begin().await?;
            sqlx::query("INSERT INTO note DEFAULT VALUES").execute(&mut *tx).await?;
            tx.commit().await
        };
        let _ = tokio::time::timeout(random_up_to(Duration::from_millis(6)), work).await;
    }
    assert_eq!(text(&acme, "SELECT current_schema()::text").await, acme.tenant().schema().as_str());
    let mut server = Client::superuser(&behind.database).await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND state LIKE 'idle in transaction%'";
    eventually("no transaction is open", async || server.value::<i64>(open).await == 0).await;
    let mut console = Bare::connect(&format!("{}/pgbouncer", behind.url().rsplit_once('/').unwrap().0)).await;
    eventually("no session is lent", async || {
        let servers = sqlx::raw_sql("SHOW SERVERS").fetch_all(&mut console.0).await.unwrap();
        servers.iter().all(|server| server.get::<String, _>("state") != "active")
    })
    .await;
}

#[tokio::test]
async fn migrations_and_announcements_go_around_the_pooler() {
    let behind = Behind::with_sessions(1).await;
    let folder = Folder::of(&["CREATE TABLE note (id int)"]);
    let tenancy = behind.builder().migrations(folder.migrations()).connect().await.unwrap();
    let acme = create(&tenancy, "acme").await;
    folder.write("tenant/0002_title.sql", "ALTER TABLE note ADD COLUMN title text DEFAULT 'x'");
    folder
        .write("tenant/0003_index.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY note_id ON note (id)");
    let other = behind.builder().migrations(folder.migrations()).connect().await.unwrap();
    // The handle may be the first to hear of it.
    let loads = tenancy.status().cache.loads;
    let summary = other.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 0));
    sqlx::query("INSERT INTO note VALUES (1)").execute(&acme).await.unwrap();
    assert_eq!(text(&acme, "SELECT title FROM note").await, "x");

    eventually("the other process announced it", async || {
        tenancy.tenant("acme").await.unwrap();
        tenancy.status().cache.loads > loads
    })
    .await;
}

#[tokio::test]
async fn without_a_way_around_the_pooler_it_serves_and_changes_nothing() {
    let behind = Behind::with_sessions(1).await;
    create(&behind.tenancy(&[]).await, "acme").await;
    let tenancy = Tenancy::builder().database(behind.config()).connect().await.unwrap();
    let acme = tenancy.db(&tenancy.tenant("acme").await.unwrap()).unwrap();
    assert_eq!(text(&acme, "SELECT current_schema()::text").await, acme.tenant().schema().as_str());
    let says = ["takes a session of its own", "hint: set `direct_url`"];
    check_error(tenancy.create(NewTenant::new("globex")).await, ErrorKind::Unsupported, &says);
    check_error(tenancy.migrate(Fleet::all(), unobserved).await, ErrorKind::Unsupported, &says);
    let installs = Tenancy::builder().database(behind.config()).install(true);
    check_error(installs.connect().await, ErrorKind::Unsupported, &says);
    let mut server = Client::superuser(&behind.database).await;
    let listeners = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                     AND query LIKE 'LISTEN%'";
    eventually("the first tenancy's listener is gone", async || server.value::<i64>(listeners).await == 0)
        .await;
}
