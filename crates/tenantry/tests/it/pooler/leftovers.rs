use tenantry::database::{PoolMode, Verify};
use tenantry::pool::Role;
use tenantry::{DatabaseConfig, PoolConfig, Tenancy, TenantDb};

use super::{Bare, Behind, create};

const SESSIONS: u32 = 3;

/// Statements that leave something in a session, unless somebody removes it.
const LEAVING: &[&str] = &[
    "INSERT INTO note DEFAULT VALUES",
    "CREATE TEMP TABLE mine (id int) ON COMMIT DROP",
    "DO $$ BEGIN PERFORM set_config('app.secret', 'x', false) FROM note; END $$",
    "DO $$ BEGIN SET statement_timeout TO '55s'; SET search_path TO public; END $$",
    "DO $$ BEGIN SET TIME ZONE 'Asia/Tokyo'; SET application_name TO 'mine'; END $$",
    "DO $$ BEGIN CREATE TEMP TABLE mine (id int); INSERT INTO mine VALUES (1); END $$",
    "DO $$ BEGIN CREATE TEMP VIEW mine AS SELECT 1; END $$",
    "DO $$ BEGIN PERFORM pg_advisory_lock(7), pg_advisory_lock_shared(8); END $$",
    "DO $$ BEGIN EXECUTE 'PREPARE mine AS SELECT 1'; END $$",
    "DO $$ BEGIN EXECUTE 'PREPARE \"my \"\"own\" AS SELECT 1'; END $$",
    "DO $$ BEGIN LISTEN mine; END $$",
    "CREATE FUNCTION leave() RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.secret', 'y', false) $$",
    "EXPLAIN ANALYZE SELECT leave()",
    "DROP FUNCTION leave()",
    // What fails leaves locks and prepared statements behind.
    "DO $$ BEGIN PERFORM pg_advisory_lock(9); EXECUTE 'PREPARE mine AS SELECT 1'; RAISE 'as asked'; END $$",
];

/// The state that a session of the server should not hold when nobody uses it.
const LOOK: &str = "
    SELECT 'setting ' || name || ' = ' || setting FROM pg_settings
    WHERE source = 'session'
      AND name NOT IN ('DateStyle', 'TimeZone', 'application_name', 'client_encoding', 'standard_conforming_strings')
    UNION ALL SELECT 'secret' WHERE current_setting('app.secret', true) <> ''
    UNION ALL SELECT 'role ' || current_user WHERE current_user <> session_user
    UNION ALL SELECT 'path ' || current_setting('search_path')
              WHERE current_setting('search_path') <> '\"$user\", public'
    UNION ALL SELECT 'zone ' || current_setting('timezone') WHERE current_setting('timezone') <> 'UTC'
    UNION ALL SELECT 'temp ' || relname FROM pg_class
              WHERE relnamespace = pg_my_temp_schema() AND pg_my_temp_schema() <> 0
    UNION ALL SELECT 'lock ' || objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'prepared ' || name FROM pg_prepared_statements
    UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE name <> ''
    UNION ALL SELECT 'listens ' || pg_listening_channels()";

/// The leftovers in each of the pooler's sessions: as many clients at once see them all.
async fn leftovers(behind: &Behind) -> Vec<String> {
    let mut clients = Vec::new();
    for _ in 0..SESSIONS {
        let mut client = behind.client().await;
        client.run("BEGIN").await;
        clients.push(client);
    }
    let mut pids = std::collections::BTreeSet::new();
    let mut found = Vec::new();
    for Bare(connection) in &mut clients {
        let mut client = Bare(std::mem::replace(connection, behind.client().await.0));
        pids.extend(client.column("SELECT pg_backend_pid()::text").await);
        found.extend(client.column(LOOK).await);
        *connection = client.0;
    }
    assert_eq!(pids.len(), SESSIONS as usize, "not every session was seen");
    for client in &mut clients {
        client.run("ROLLBACK").await;
    }
    found
}

/// Runs it alone, and in transactions that end either way. Looks each time, for the next may clean up.
async fn leave(behind: &Behind, db: &TenantDb, sql: &'static str) {
    let fails = sql.contains("RAISE");
    let _ = sqlx::query(sql).execute(db).await.inspect_err(|error| assert!(fails, "{sql}: {error}"));
    assert_eq!(leftovers(behind).await, [""; 0], "{sql}");
    if !sql.contains("leave()") {
        let mut tx = db.begin().await.unwrap();
        let _ = sqlx::raw_sql(sql).execute(&mut *tx).await;
        let _ = tx.commit().await;
        assert_eq!(leftovers(behind).await, [""; 0], "{sql}, committed");
        let mut tx = db.begin().await.unwrap();
        let _ = sqlx::raw_sql(sql).execute(&mut *tx).await;
        tx.rollback().await.unwrap();
        assert_eq!(leftovers(behind).await, [""; 0], "{sql}, rolled back");
    }
}

#[tokio::test]
async fn no_statement_leaves_anything_in_a_session() {
    let behind = Behind::with_sessions(SESSIONS).await;
    let tenancy = behind.tenancy(&["CREATE TABLE note (id serial)"]).await;
    let acme = create(&tenancy, "acme").await;
    let mut tx = acme.begin().await.unwrap();
    sqlx::query("SET LOCAL statement_timeout TO '55s'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    for sql in LEAVING {
        leave(&behind, &acme, sql).await;
    }
    // Not in the pooler's sessions, but in what the next tenant can see of them.
    let globex = create(&tenancy, "globex").await;
    sqlx::query("INSERT INTO note DEFAULT VALUES").execute(&acme).await.unwrap();
    let last = sqlx::query("SELECT lastval()").execute(&globex).await.unwrap_err();
    assert_eq!(last.as_database_error().unwrap().code().as_deref(), Some("55000"), "{last}");
}

/// The text of such a statement does not show it; `verify = "always"` cleans in any case.
#[tokio::test]
async fn with_verification_always_not_even_a_function_leaves_anything() {
    let behind = Behind::with_sessions(SESSIONS).await;
    let pool = PoolConfig { mode: PoolMode::Transaction, verify: Verify::Always, ..PoolConfig::default() };
    let config = DatabaseConfig::from_url(&behind.url()).unwrap().direct_url(behind.database.url()).unwrap();
    let builder = Tenancy::builder().database(config.pool(pool)).install(true);
    let tenancy = builder.connect().await.unwrap();
    let acme = create(&tenancy, "acme").await;
    let make = "CREATE FUNCTION leave() RETURNS text LANGUAGE sql AS
                $$ SELECT set_config('app.secret', pg_advisory_lock(7)::text || 'y', false) $$";
    sqlx::query(make).execute(&acme).await.unwrap();
    sqlx::query("SELECT leave()").execute(&acme).await.unwrap();
    assert_eq!(leftovers(&behind).await, [""; 0]);
}

#[tokio::test]
async fn the_role_of_a_tenant_ends_with_its_transaction() {
    let behind = Behind::with_sessions(SESSIONS).await;
    // Making roles takes more than the owner of a database may do.
    let superuser = behind.database.superuser_url();
    let installation = behind.database.name().to_owned();
    let config = behind.config().owner_url(superuser).unwrap();
    let builder = Tenancy::builder().database(config).install(true).role_per_tenant(Role::of(&installation));
    let tenancy = builder.connect().await.unwrap();
    let acme = create(&tenancy, "acme").await;
    let role = format!("{installation}_{}", acme.tenant().schema());
    let grant = format!("GRANT \"{role}\" TO {}", behind.database.name());
    crate::support::Client::superuser(&behind.database).await.run(&grant).await;
    assert_eq!(super::text(&acme, "SELECT current_user::text").await, role);
    let mut tx = acme.begin().await.unwrap();
    sqlx::query("DO 'BEGIN END'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(leftovers(&behind).await, [""; 0]);

    // And a role that somebody else left behind is not the tenant's.
    let mut careless = behind.client().await;
    careless.run(&format!("SET ROLE \"{role}\"")).await;
    let globex = tenancy.master();
    let user: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&globex).await.unwrap();
    assert_eq!(user, behind.database.name());
    let drop_role = format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\"");
    crate::support::Client::superuser(&behind.database).await.run(&drop_role).await;
}
