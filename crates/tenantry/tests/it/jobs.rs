//! Jobs of a queue: whose they are, what becomes of them when the tenant changes meanwhile, and the queue's own pool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool};
use tenantry::database::PoolMode;
use tenantry::tenant::{Alias, Status, Suspension, Tenant, TenantId};
use tenantry::{
    DatabaseConfig, Error, ErrorKind, ForTenant, MoveOptions, NewTenant, PoolConfig, PurgeOptions, Tenancy,
    TenantDb,
};
use tenantry_embedded::ScratchDatabase;

use crate::clone::dump;
use crate::support::{
    Client, Folder, builder, check_error, config, database, domain, eventually, schema, table, tenancy,
    tenant_files,
};

const NOTE: &str = "CREATE TABLE note (title text NOT NULL)";
const NOW: PurgeOptions = PurgeOptions { now: true, drop_dependents: false };

/// A queue keeps a job as text.
fn kept(tenant: &Tenant, title: &str) -> String {
    serde_json::to_string(&ForTenant::new(tenant, title.to_owned())).unwrap()
}

async fn open(tenancy: &Tenancy, kept: &str) -> tenantry::Result<(TenantDb, String)> {
    serde_json::from_str::<ForTenant<String>>(kept).unwrap().open(tenancy).await
}

/// Does what a worker does with a job.
async fn work(tenancy: &Tenancy, kept: &str) -> tenantry::Result<()> {
    let (db, title) = open(tenancy, kept).await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(&db).await?;
    Ok(())
}

async fn titles(tenancy: &Tenancy, tenant: &Tenant) -> Vec<String> {
    let db = tenancy.db_of(tenant.id()).await.unwrap();
    sqlx::query_scalar("SELECT title FROM note ORDER BY title").fetch_all(&db).await.unwrap()
}

/// Waits until this process has heard that the tenant has a status.
async fn heard(tenancy: &Tenancy, id: TenantId, status: Status) {
    let key = tenantry::resolve::TenantKey::Id(id);
    eventually("the status is known", async || {
        tenancy.find(&key).await.is_ok_and(|it| it.status() == status)
    })
    .await;
}

#[tokio::test]
async fn a_job_is_of_its_tenant_whoever_has_the_slug_now() {
    let database = database().await;
    // Whoever enqueues is another process than the worker, and each of them caches.
    let (web, worker) = (tenancy(&database, &[NOTE]).await, tenancy(&database, &[NOTE]).await);
    let acme = web.create(NewTenant::new("acme")).await.unwrap();
    let job = kept(&acme, "of the first");
    work(&worker, &job).await.unwrap();

    let umbrella = web.rename_for(&acme, "umbrella", tenantry::database::Period::days(0)).await.unwrap();
    let successor = web.create(NewTenant::new("acme")).await.unwrap();
    eventually("the rename is known", async || {
        open(&worker, &job).await.unwrap().0.tenant().slug().as_str() == "umbrella"
    })
    .await;
    work(&worker, &job).await.unwrap();
    assert_eq!(titles(&worker, &umbrella).await, ["of the first", "of the first"]);
    assert!(titles(&worker, &successor).await.is_empty());
}

#[tokio::test]
async fn each_reason_for_not_working_is_an_error_of_its_own() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let job = kept(&acme, "once");
    let refusal = async |says: &str| {
        let error = open(&tenancy, &job).await.expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.is_retryable(), "nothing changes in a moment: {error}");
        (error.kind(), error.tenant_status(), error.is_permanent())
    };

    tenancy.suspend(&acme, Suspension::new()).await.unwrap();
    assert_eq!(refusal("suspended").await, (ErrorKind::Suspended, Some(Status::Suspended), false));
    tenancy.resume(&acme).await.unwrap();
    work(&tenancy, &job).await.unwrap();

    let deleted = tenancy.delete(&acme).await.unwrap();
    assert_eq!(refusal("deleted").await, (ErrorKind::UnknownTenant, Some(Status::Deleted), true));
    let acme = tenancy.undelete(&deleted).await.unwrap();
    work(&tenancy, &job).await.unwrap();
    assert_eq!(titles(&tenancy, &acme).await, ["once", "once"]);

    let mut client = Client::owner(&database).await;
    for status in [Status::Provisioning, Status::Purging] {
        client.run(&format!("UPDATE tenantry.tenant SET status = '{status}'")).await;
        heard(&tenancy, acme.id(), status).await;
        let expect = match status {
            Status::Purging => (ErrorKind::UnknownTenant, Some(status), true),
            _ => (ErrorKind::TenantUnavailable, Some(status), false),
        };
        assert_eq!(refusal(status.as_str()).await, expect);
    }
    client.run("UPDATE tenantry.tenant SET status = 'active'").await;
    heard(&tenancy, acme.id(), Status::Active).await;

    let deleted = tenancy.delete(&acme).await.unwrap();
    tenancy.purge(&deleted, NOW).await.unwrap();
    assert_eq!(refusal(&acme.id().to_string()).await, (ErrorKind::UnknownTenant, None, true));
}

#[tokio::test]
async fn a_job_of_a_suspended_tenant_may_read_where_reads_go_on() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy.suspend(&acme, Suspension::new().read_only()).await.unwrap();
    assert!(titles(&tenancy, &acme).await.is_empty());
    let refused = check_error(work(&tenancy, &kept(&acme, "x")).await, ErrorKind::Suspended, &["acme"]);
    assert!(!refused.is_permanent(), "the tenant may be resumed: {refused}");
}

#[tokio::test]
async fn a_job_waits_while_its_tenant_is_moved() {
    let database = database().await;
    let pool = PoolConfig { move_wait: Duration::from_millis(200), ..PoolConfig::default() };
    let builder = builder(&database).database(config(&database).pool(pool)).migrations(tenant_files(&[NOTE]));
    let tenancy = builder.connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run("UPDATE tenantry.tenant SET status = 'moving'").await;
    heard(&tenancy, acme.id(), Status::Moving).await;

    let error =
        check_error(work(&tenancy, &kept(&acme, "x")).await, ErrorKind::TenantUnavailable, &["moving"]);
    assert_eq!((error.tenant_status(), error.is_permanent()), (Some(Status::Moving), false));

    let job = kept(&acme, "after the move");
    let (done, ()) = tokio::join!(work(&tenancy, &job), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.run("UPDATE tenantry.tenant SET status = 'active'").await;
    });
    done.unwrap();
    assert_eq!(titles(&tenancy, &acme).await, ["after the move"]);
}

#[tokio::test]
async fn jobs_that_are_done_while_their_tenant_moves_are_done_once_and_at_the_place_where_it_is() {
    let (home, away) = (database().await, database().await);
    let eu = Alias::parse("eu").unwrap();
    // Whoever moves it is another process than the worker.
    let open = || builder(&home).database_as(eu.clone(), config(&away)).migrations(tenant_files(&[NOTE]));
    let (operator, worker) = (open().connect().await.unwrap(), open().connect().await.unwrap());
    let acme = operator.create(NewTenant::new("acme")).await.unwrap();
    let kept_handle = worker.db_of(acme.id()).await.unwrap();
    let is_moved = AtomicBool::new(false);
    let jobs = async {
        let mut done = Vec::new();
        // Some of them behind the move, with what this process knows of it by then.
        while !is_moved.load(Ordering::Relaxed) || done.len() % 10 != 0 {
            let title = format!("job {:05}", done.len());
            work(&worker, &kept(&acme, &title)).await.unwrap();
            done.push(title);
        }
        done
    };
    let relocate = async {
        let dump = async |arguments: &[String]| Ok::<_, Error>(dump(&home, arguments));
        operator.move_tenant(&acme, MoveOptions::to(eu.clone()), dump).await.unwrap();
        is_moved.store(true, Ordering::Relaxed);
    };
    let (done, ()) = tokio::join!(jobs, relocate);
    assert_eq!(titles(&worker, &acme).await, done);
    assert_eq!(worker.db_of(acme.id()).await.unwrap().tenant().database(), &eu);
    let in_eu: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&kept_handle).await.unwrap();
    assert_eq!(usize::try_from(in_eu).unwrap(), done.len(), "a handle from before follows");
    let there = Client::owner(&away).await.count(&table(&acme, "note")).await;
    assert_eq!(usize::try_from(there).unwrap(), done.len(), "nothing is written where it was");
}

#[tokio::test]
async fn a_job_of_a_tenant_that_is_known_asks_the_registry_nothing() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme").domain(domain("acme.test"))).await.unwrap();
    let job = kept(&acme, "again");
    work(&tenancy, &job).await.unwrap();
    let mut loads = Vec::new();
    // That the tenant was made is announced, and may be heard while the first of them run.
    for _ in 0..3 {
        let before = tenancy.status().cache.loads;
        for _ in 0..50 {
            work(&tenancy, &job).await.unwrap();
        }
        loads.push(tenancy.status().cache.loads - before);
    }
    assert_eq!(loads.last(), Some(&0), "{loads:?}");
}

#[tokio::test]
async fn ids_that_nobody_here_has_lead_nowhere() {
    let (here, elsewhere) = (database().await, database().await);
    let (tenancy, other) = (tenancy(&here, &[NOTE]).await, tenancy(&elsewhere, &[NOTE]).await);
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    // The same slug and, by the same rules, the same tables.
    let stranger = other.create(NewTenant::new("acme")).await.unwrap();
    let mut hostile: Vec<String> = ["0", "f"].map(uuid_of).into();
    hostile.push(stranger.id().to_string());
    hostile.push(acme.id().to_string().chars().rev().collect::<String>().replace('-', ""));
    for id in hostile {
        let payload = format!(r#"{{ "tenant": "{id}", "job": "x" }}"#);
        let error = check_error(work(&tenancy, &payload).await, ErrorKind::UnknownTenant, &[]);
        assert_eq!((error.tenant(), error.is_permanent()), (None, true), "{id}");
    }
    // Braces, capitals and a prefix are other ways to write the same id.
    let id = acme.id().to_string();
    for same in [id.to_uppercase(), format!("{{{id}}}"), format!("urn:uuid:{id}"), id.replace('-', "")] {
        work(&tenancy, &format!(r#"{{ "tenant": "{same}", "job": "{same}" }}"#)).await.unwrap();
    }
    assert_eq!(titles(&tenancy, &acme).await.len(), 4);
    let twice = format!(r#"{{ "tenant": "{id}", "tenant": "{}", "job": "x" }}"#, stranger.id());
    assert!(serde_json::from_str::<ForTenant<String>>(&twice).is_err());
}

fn uuid_of(digit: &str) -> String {
    [8, 4, 4, 4, 12].map(|length| digit.repeat(length)).join("-")
}

#[tokio::test]
async fn an_id_that_is_given_again_leads_to_who_has_it_now() {
    let database = database().await;
    let (tenancy, worker) = (tenancy(&database, &[NOTE]).await, tenancy(&database, &[NOTE]).await);
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let job = kept(&acme, "x");
    work(&worker, &job).await.unwrap();
    // A handle that is kept from before, and a connection that was last in the old schema.
    let (old, _) = open(&worker, &job).await.unwrap();
    let deleted = tenancy.delete(&acme).await.unwrap();
    tenancy.purge(&deleted, NOW).await.unwrap();
    eventually("the purge is known", async || {
        open(&worker, &job).await.is_err_and(|error| error.tenant_status().is_none())
    })
    .await;

    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run(&format!("UPDATE tenantry.tenant SET id = '{}' WHERE slug = 'globex'", acme.id())).await;
    eventually("its new owner is found", async || open(&worker, &job).await.is_ok()).await;
    let (db, _) = open(&worker, &job).await.unwrap();
    assert_eq!(db.tenant().schema(), globex.schema());
    for db in [&db, &old] {
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(db).await.unwrap();
        assert_eq!(rows, 0, "nothing of the one that is gone");
    }
}

async fn value(pool: &PgPool, sql: &str) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(pool).await
}

/// A master schema of its own, with a table, and a tenant.
async fn with_master(database: &ScratchDatabase) -> Tenancy {
    let folder = Folder::of(&[NOTE]);
    folder.write("master/0001_plan.sql", "CREATE TABLE plan (name text); INSERT INTO plan VALUES ('gold')");
    Client::owner(database).await.run("CREATE SCHEMA back_office").await;
    let tenancy = builder(database).master_schema(schema("back_office")).migrations(folder.migrations());
    let tenancy = tenancy.connect().await.unwrap();
    let fleet = tenantry::Fleet::all();
    tenancy.migrate(fleet, crate::support::unobserved).await.unwrap();
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy
}

#[tokio::test]
async fn the_pool_of_the_master_shows_its_tables_and_those_of_no_tenant() {
    let database = database().await;
    let tenancy = with_master(&database).await;
    let pool = tenancy.master_pool().unwrap();
    assert_eq!(value(&pool, "SELECT name FROM plan").await.unwrap(), "gold");
    assert_eq!(value(&pool, "SELECT current_schema()::text").await.unwrap(), "back_office");
    let missing = value(&pool, "SELECT title FROM note").await.unwrap_err();
    assert_eq!(missing.as_database_error().unwrap().code().as_deref(), Some("42P01"));
    let registry = value(&pool, "SELECT slug FROM tenant").await.unwrap_err();
    assert_eq!(registry.as_database_error().unwrap().code().as_deref(), Some("42P01"));

    // One pool for all, with few connections, that is closed with the tenancy.
    let again = tenancy.clone().master_pool().unwrap();
    let mut held = Vec::new();
    while let Some(connection) = again.try_acquire() {
        held.push(connection);
    }
    while held.len() < 5 {
        held.push(pool.acquire().await.unwrap());
    }
    assert_eq!((again.size(), pool.try_acquire().is_none()), (5, true));
    let closed = tenancy.close(Duration::from_millis(100)).await;
    check_error(closed, ErrorKind::PoolTimeout, &["5 connections of the master pool", "stop the workers"]);
    drop(held);
    tenancy.close(Duration::from_secs(5)).await.unwrap();
    assert!(matches!(pool.acquire().await, Err(sqlx::Error::PoolClosed)));
    let late = tenancy.master_pool().unwrap();
    assert!(matches!(late.acquire().await, Err(sqlx::Error::PoolClosed)), "nor for those who ask now");
}

#[tokio::test]
async fn behind_a_pooler_the_pool_of_the_master_needs_a_way_past_it() {
    let database = database().await;
    tenancy(&database, &[]).await;
    let behind = |config: DatabaseConfig| {
        let pool = PoolConfig { mode: PoolMode::Transaction, ..PoolConfig::default() };
        Tenancy::builder().database(config.pool(pool)).connect()
    };
    let without = behind(config(&database)).await.unwrap();
    check_error(without.master_pool(), ErrorKind::Unsupported, &["transaction mode", "`direct_url`"]);
    let with = behind(config(&database).direct_url(database.url()).unwrap()).await.unwrap();
    assert_eq!(value(&with.master_pool().unwrap(), "SELECT current_schema()::text").await.unwrap(), "public");
}

#[tokio::test]
async fn a_job_is_enqueued_with_the_rows_of_its_tenant_or_not_at_all() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let pool = tenancy.master_pool().unwrap();
    let queue = "CREATE SCHEMA queue CREATE TABLE job (payload jsonb NOT NULL)";
    sqlx::raw_sql(queue).execute(&pool).await.unwrap();
    for commits in [false, true] {
        let title = if commits { "committed" } else { "rolled back" };
        let mut tx = tenancy.db(&acme).unwrap().begin().await.unwrap();
        sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(&mut *tx).await.unwrap();
        let enqueue =
            sqlx::query("INSERT INTO queue.job (payload) VALUES ($1::jsonb)").bind(kept(&acme, title));
        enqueue.execute(&mut *tx).await.unwrap();
        if commits { tx.commit().await.unwrap() } else { tx.rollback().await.unwrap() }
    }
    let kept = value(&pool, "SELECT string_agg(payload::text, '') FROM queue.job").await.unwrap();
    let (db, title) = open(&tenancy, &kept).await.unwrap();
    assert_eq!((db.tenant(), title.as_str()), (&acme, "committed"));
    assert_eq!(titles(&tenancy, &acme).await, ["committed"]);
    let findings = tenancy.doctor().await;
    let about: Vec<_> = findings.iter().filter(|finding| finding.what.contains("queue")).collect();
    assert!(about.is_empty(), "a queue's schema is nobody's business: {about:?}");
}
