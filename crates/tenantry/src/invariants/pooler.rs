//! 1, 2 and 3 behind a pooler in transaction mode: a connection is no session there.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};
use tenantry_embedded::{ScratchDatabase, ScratchPooler};

use super::cancellation::send_and_drop;
use crate::database::{Comment, PoolMode};
use crate::fixture::{migrations, text};
use crate::pool::{IsolationLevel, TxOptions};
use crate::tenant::Suspension;
use crate::{DatabaseConfig, ErrorKind, NewTenant, PoolConfig, Tenancy, TenantDb};

/// An installation whose application comes through a pooler that has one session for everybody.
struct Behind {
    tenancy: Tenancy,
    pooler: ScratchPooler,
    database: Arc<ScratchDatabase>,
}

impl Behind {
    async fn new(tenant_sql: &[&str]) -> Self {
        Self::with_comment(tenant_sql, Comment::Off).await
    }

    async fn with_comment(tenant_sql: &[&str], comment: Comment) -> Self {
        let database = Arc::new(ScratchDatabase::create().await.unwrap());
        let pooler = ScratchPooler::start(&[database.url()], 1).await.unwrap();
        let config = DatabaseConfig::from_url(&pooler.url(database.url()))
            .unwrap()
            .direct_url(database.url())
            .unwrap()
            .pool(PoolConfig {
                mode: PoolMode::Transaction,
                drain_timeout: Duration::from_secs(5),
                comment,
                ..PoolConfig::default()
            });
        let builder = Tenancy::builder().database(config).migrations(migrations(tenant_sql)).install(true);
        let behind = Self { tenancy: builder.connect().await.unwrap(), pooler, database };
        for slug in ["acme", "globex"] {
            behind.tenancy.create(NewTenant::new(slug)).await.unwrap();
        }
        behind
    }

    async fn db(&self, slug: &str) -> TenantDb {
        self.tenancy.db(&self.tenancy.tenant(slug).await.unwrap()).unwrap()
    }

    /// The state that another client of the pooler finds in the only session there is.
    async fn next_client(&self) -> PgConnection {
        let options: sqlx::postgres::PgConnectOptions = self.pooler.url(self.database.url()).parse().unwrap();
        PgConnection::connect_with(&options.extra_float_digits(None)).await.unwrap()
    }

    async fn next_text(&self, sql: &'static str) -> String {
        let row = sqlx::raw_sql(sql).fetch_one(&mut self.next_client().await).await.unwrap();
        sqlx::Row::get(&row, 0)
    }
}

#[tokio::test]
async fn a_statement_and_what_prepares_it_are_one_transaction() {
    let behind = Behind::new(&["CREATE TABLE note (title text)"]).await;
    let (acme, globex) = (behind.db("acme").await, behind.db("globex").await);
    for _ in 0..3 {
        for db in [&acme, &globex] {
            assert_eq!(text(db, "SELECT current_schema()::text").await, db.tenant().schema().as_str());
            sqlx::query("INSERT INTO note VALUES ($1)").bind("x").execute(db).await.unwrap();
        }
    }
    let path = behind.next_text("SHOW search_path").await;
    assert!(path.starts_with("\"$user\""), "{path}");
}

#[tokio::test]
async fn a_statement_names_its_tenant_on_the_server() {
    let behind = Behind::with_comment(&["CREATE TABLE note (title text)"], Comment::Tenant).await;
    let own = "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    for slug in ["acme", "globex", "acme"] {
        let db = behind.db(slug).await;
        assert_eq!(text(&db, own).await, format!("{own}\n/*tenant='{slug}'*/"));
        let mut tx = db.begin().await.unwrap();
        let seen: String = sqlx::query_scalar(own).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(seen, format!("{own}\n/*tenant='{slug}'*/"));
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_tenant_that_may_only_be_read_is_not_written() {
    let behind = Behind::new(&["CREATE TABLE note (title text)"]).await;
    let (acme, globex) = (behind.db("acme").await, behind.db("globex").await);
    let write =
        async |db: &TenantDb| sqlx::query("INSERT INTO note VALUES ('x')").execute(db).await.map(drop);
    write(&acme).await.unwrap();
    let acme_then = acme.tenant().clone();
    behind.tenancy.suspend(&acme_then, Suspension::new().read_only()).await.unwrap();
    for _ in 0..3 {
        let error = crate::Error::from(write(&acme).await.unwrap_err());
        assert_eq!((error.kind(), error.database_code().as_deref()), (ErrorKind::Suspended, Some("25006")));
        assert_eq!(text(&acme, "SELECT count(*)::text FROM note").await, "1");
        let mut tx = acme.begin().await.unwrap();
        let refused = sqlx::query("INSERT INTO note VALUES ('x')").execute(&mut *tx).await.unwrap_err();
        assert_eq!(crate::Error::from(refused).kind(), ErrorKind::Suspended);
        tx.rollback().await.unwrap();
        write(&globex).await.unwrap();
        for next in ["SHOW transaction_read_only", "SHOW default_transaction_read_only"] {
            assert_eq!(behind.next_text(next).await, "off");
        }
    }
    behind.tenancy.resume(&acme_then).await.unwrap();
    write(&acme).await.unwrap();
    assert_eq!(text(&acme, "SELECT count(*)::text FROM note").await, "2");
}

#[derive(Clone, Copy, sqlx::Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
enum Mood {
    Happy,
}

#[tokio::test]
async fn types_that_were_made_at_run_time_reach_no_other_tenant() {
    let behind = Behind::new(&["CREATE TABLE note (title text)"]).await;
    let tenants = [behind.db("acme").await, behind.db("globex").await];
    let mut outside = PgConnection::connect(behind.database.url()).await.unwrap();
    for (db, labels) in tenants.iter().zip(["'happy'", "'sad', 'happy'"]) {
        let schema = db.tenant().schema();
        let made = format!(
            "CREATE TYPE {schema}.mood AS ENUM ({labels}); CREATE TABLE {schema}.diary (mood {schema}.mood UNIQUE)"
        );
        outside.execute(sqlx::AssertSqlSafe(made)).await.unwrap();
    }
    let [insert, delete] = ["INSERT INTO diary VALUES ($1)", "DELETE FROM diary WHERE mood = $1"];
    for db in tenants.iter().cycle().take(4) {
        sqlx::query(insert).bind(Mood::Happy).execute(db).await.unwrap();
        let twice = sqlx::query(insert).bind(Mood::Happy).execute(db).await.unwrap_err();
        assert!(twice.as_database_error().unwrap().is_unique_violation(), "{twice}");
        sqlx::query(delete).bind(Mood::Happy).execute(db).await.unwrap();
    }
    // The only statement that meets the type fails.
    let refused = "INSERT INTO diary SELECT $1 FROM generate_series(1, 2)";
    for db in tenants.iter().cycle().take(4) {
        let twice = sqlx::query(refused).bind(Mood::Happy).execute(db).await.unwrap_err();
        assert!(twice.as_database_error().unwrap().is_unique_violation(), "{twice}");
    }
}

#[tokio::test]
async fn a_missing_schema_is_an_error_before_the_first_statement() {
    let behind = Behind::new(&["CREATE TABLE note (title text)"]).await;
    let acme = behind.db("acme").await;
    let mut outside = PgConnection::connect(behind.database.url()).await.unwrap();
    let hide = format!(
        "CREATE TABLE public.note (title text); ALTER SCHEMA {} RENAME TO gone",
        acme.tenant().schema()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(hide)).execute(&mut outside).await.unwrap();

    let insert = sqlx::query("INSERT INTO note VALUES ('lost')");
    let error = crate::Error::from(insert.execute(&acme).await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::MissingSchema, "{error}");
    let error = crate::Error::from(acme.begin().await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::MissingSchema, "{error}");
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM public.note").fetch_one(&mut outside).await.unwrap();
    assert_eq!(rows, 0, "it fell through");
}

#[tokio::test]
async fn a_dropped_transaction_costs_no_connection_and_reaches_nobody() {
    let behind = Behind::new(&["CREATE TABLE note (title text)"]).await;
    let acme = behind.db("acme").await;
    let look = "SELECT concat(current_setting('app.secret', true), (SELECT count(*) FROM pg_locks \
                WHERE locktype = 'advisory' AND objid = 7))";
    let leave = "DO $$ BEGIN PERFORM set_config('app.secret', 'of acme', false), pg_advisory_lock(7); END $$";
    for last in ["SELECT 1", leave, "SELECT * FROM nowhere"] {
        let mut tx = acme.begin().await.unwrap();
        sqlx::query("INSERT INTO note VALUES ('half')").execute(&mut *tx).await.unwrap();
        let _ = sqlx::query(last).execute(&mut *tx).await;
        drop(tx);
        assert_eq!(behind.next_text(look).await, "0", "the next client finds it, after: {last}");
        assert_eq!(text(&acme, "SELECT count(*)::text FROM note").await, "0", "after: {last}");
    }
    let counts = behind.tenancy.status().pools.into_values().next().unwrap().counts;
    assert_eq!((counts.rolled_back, counts.doubtful), (3, 0));
}

#[tokio::test]
async fn a_statement_that_is_cut_off_costs_no_connection_and_reaches_nobody() {
    let behind = Behind::new(&["CREATE TABLE note (title text)"]).await;
    let (acme, globex) = (behind.db("acme").await, behind.db("globex").await);
    let look = "SELECT concat(current_setting('app.secret', true), (SELECT count(*) FROM pg_locks \
                WHERE locktype = 'advisory' AND objid = 7))";
    let leave = "DO $$ BEGIN PERFORM set_config('app.secret', 'of acme', false), pg_advisory_lock(7), \
                 pg_sleep(0.05); END $$";
    let failing = "SELECT 1 / (pg_sleep(0.05)::text = 'x')::int";
    let session = behind.next_text("SELECT pg_backend_pid()::text").await;
    for cut_off in ["SELECT pg_sleep(0.05)", failing, leave] {
        let mut tx = acme.begin().await.unwrap();
        sqlx::query("INSERT INTO note VALUES ('half')").execute(&mut *tx).await.unwrap();
        let statement = sqlx::raw_sql(cut_off).execute(&mut *tx);
        assert!(send_and_drop(statement).await, "it sleeps for longer than that");
        drop(tx);
        assert_eq!(text(&globex, "SELECT current_schema()::text").await, globex.tenant().schema().as_str());
        assert_eq!(behind.next_text(look).await, "0", "the next client finds it, after: {cut_off}");
        assert_eq!(text(&acme, "SELECT count(*)::text FROM note").await, "0", "after: {cut_off}");
    }
    // Without a transaction of the caller's, the switch begins one.
    let writing = sqlx::query("INSERT INTO note SELECT 'half' FROM pg_sleep(1)").execute(&acme);
    tokio::time::timeout(Duration::from_millis(700), writing).await.unwrap_err();
    assert_eq!(
        text(&acme, "SELECT count(*)::text FROM note").await,
        "0",
        "nobody has heard that it was written"
    );
    let counts = behind.tenancy.status().pools.into_values().next().unwrap().counts;
    assert_eq!((counts.rolled_back, counts.doubtful), (4, 0));
    assert_eq!(
        behind.next_text("SELECT pg_backend_pid()::text").await,
        session,
        "the server's session goes on"
    );
}

#[tokio::test]
async fn a_nested_transaction_is_undone_by_itself() {
    let behind = Behind::new(&["CREATE TABLE note (title text UNIQUE)"]).await;
    let acme = behind.db("acme").await;
    let mut tx = acme.begin().await.unwrap();
    for (title, is_kept) in [("one", true), ("two", false), ("one", false), ("three", true)] {
        let mut attempt = tx.begin().await.unwrap();
        let insert = sqlx::query("INSERT INTO note VALUES ($1)").bind(title).execute(&mut *attempt).await;
        // Committed if it is to be kept, else rolled back or dropped, one after the other.
        match insert {
            Ok(_) if is_kept => attempt.commit().await.unwrap(),
            Ok(_) => attempt.rollback().await.unwrap(),
            Err(_) => drop(attempt),
        }
    }
    tx.commit().await.unwrap();
    let titles = "SELECT string_agg(title, ' ' ORDER BY title) FROM note";
    assert_eq!(text(&acme, titles).await, "one three");
    let mut tx = acme.begin().await.unwrap();
    let mut last = tx.begin().await.unwrap();
    sqlx::query("DELETE FROM note").execute(&mut *last).await.unwrap();
    drop(last);
    tx.commit().await.unwrap();
    assert_eq!(text(&acme, titles).await, "one three", "what was dropped last is undone before the commit");
}

#[tokio::test]
async fn a_kind_of_transaction_and_a_setting_are_for_those_who_asked() {
    let behind = Behind::new(&["CREATE TABLE note (title text)"]).await;
    let acme = behind.db("acme").await;
    let look = "SELECT concat_ws(' ', current_setting('transaction_isolation'), \
                current_setting('transaction_read_only'), current_setting('app.actor', true))";
    let jane = acme.with_setting("app.actor", "jane").unwrap();
    let kind = TxOptions::new().isolation(IsolationLevel::Serializable).read_only().deferrable();
    for _ in 0..3 {
        let mut tx = jane.begin_with(kind).await.unwrap();
        let seen: String = sqlx::query_scalar(look).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(seen, "serializable on jane");
        tx.commit().await.unwrap();
        assert_eq!(text(&jane, look).await, "read committed off jane");
        assert_eq!(text(&acme, look).await.trim_end(), "read committed off");
        acme.notify("note", "heard by the pooler's session").await.unwrap();
        assert_eq!(behind.next_text(look).await.trim_end(), "read committed off");
    }
}

#[tokio::test]
async fn what_a_statement_sets_by_words_that_look_harmless_reaches_nobody() {
    let behind = Behind::new(&[]).await;
    let acme = behind.db("acme").await;
    let look = "SELECT concat(current_setting('app.secret', true), current_setting('statement_timeout'))";
    for leave in [
        "UPDATE pg_settings SET setting = '77000' WHERE name = 'statement_timeout'",
        "SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, set_'
            || 'config(''app.secret'', ''acme'', false)::tsquery')",
        "SELECT query_to_xml('SELECT set_' || 'config(''app.secret'', ''acme'', false)', true, false, '')",
    ] {
        sqlx::query(leave).execute(&acme).await.unwrap();
        let mut tx = acme.begin().await.unwrap();
        sqlx::query(leave).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(behind.next_text(look).await, "0", "after: {leave}");
    }
}

#[tokio::test]
async fn a_connection_of_dblink_reaches_nobody() {
    let behind = Behind::new(&[]).await;
    let mut superuser = PgConnection::connect(behind.database.superuser_url()).await.unwrap();
    superuser.execute("CREATE EXTENSION dblink SCHEMA extensions").await.unwrap();
    let url = behind.database.url();
    let leave =
        format!("DO $$ BEGIN PERFORM dblink_connect('{url}'), dblink_connect('of acme', '{url}'); END $$");
    sqlx::query(sqlx::AssertSqlSafe(leave)).execute(&behind.db("acme").await).await.unwrap();
    let look = "SELECT coalesce(array_length(extensions.dblink_get_connections(), 1), 0)::text";
    assert_eq!(behind.next_text(look).await, "0");
    let unnamed = sqlx::raw_sql("SELECT extensions.dblink_exec('ROLLBACK')");
    let missing = unnamed.execute(&mut behind.next_client().await).await.unwrap_err();
    assert_eq!(
        missing.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(),
        Some("08003")
    );
}

#[tokio::test]
async fn what_a_block_of_code_sets_reaches_nobody() {
    let behind = Behind::new(&[]).await;
    let acme = behind.db("acme").await;
    let leave = "DO $$ BEGIN PERFORM set_config('app.secret', 'of acme', false), pg_advisory_lock(7); END $$";
    let look = "SELECT concat(current_setting('app.secret', true), (SELECT count(*) FROM pg_locks \
                WHERE locktype = 'advisory' AND objid = 7))";
    for fails in [false, true] {
        let sql = if fails { leave.replace("END", "RAISE 'as asked'; END") } else { leave.to_owned() };
        let done = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&acme).await;
        assert_eq!(done.is_err(), fails, "{done:?}");
        assert_eq!(behind.next_text(look).await, "0", "the next client finds it");
    }
}
