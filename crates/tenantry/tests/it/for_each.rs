//! One job for each tenant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tenantry::{DatabaseConfig, Error, ErrorKind, Fleet, NewTenant, PoolConfig, Tenancy, TenantDb};
use tenantry_embedded::ScratchDatabase;
use tokio::sync::Notify;

use crate::support::{Client, builder, check_error, database, eventually, slug, tenancy};

const NOTE: &str = "CREATE TABLE note (title text)";

async fn count_notes(db: TenantDb) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await
}

/// Rows of the registry without a schema.
async fn enter(database: &ScratchDatabase, number: u32) {
    let sql = format!(
        "INSERT INTO tenantry.tenant (id, slug, schema_name, status)
         SELECT gen_random_uuid(), 't' || n, 's' || n, 'active' FROM generate_series(1, {number}) n"
    );
    Client::owner(database).await.run(&sql).await;
}

async fn set_status(database: &ScratchDatabase, condition: &str, status: &str) {
    let sql = format!("UPDATE tenantry.tenant SET status = '{status}' WHERE {condition}");
    Client::owner(database).await.run(&sql).await;
}

fn with_connections(database: &ScratchDatabase, max_connections: u32) -> tenantry::Builder {
    let acquire_timeout = Duration::from_secs(2);
    let pool = PoolConfig { max_connections, acquire_timeout, ..PoolConfig::default() };
    Tenancy::builder().database(DatabaseConfig::from_url(database.url()).unwrap().pool(pool)).install(true)
}

#[tokio::test]
async fn each_active_tenant_has_its_job_in_its_own_schema() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    for (name, notes) in [("acme", 1), ("globex", 2), ("initech", 0), ("gone", 0)] {
        let tenant = tenancy.create(NewTenant::new(name)).await.unwrap();
        let db = tenancy.db(&tenant).unwrap();
        let insert = "INSERT INTO note SELECT 'a' FROM generate_series(1, $1)";
        sqlx::query(insert).bind(notes).execute(&db).await.unwrap();
    }
    set_status(&database, "slug = 'gone'", "suspended").await;
    let counts = tenancy.for_each(Fleet::all(), 3, count_notes);
    let counts: Vec<_> = counts.try_collect().await.unwrap();
    let counts: BTreeMap<_, _> =
        counts.iter().map(|it| (it.0.slug().as_str(), *it.1.as_ref().unwrap())).collect();
    assert_eq!(counts, BTreeMap::from([("acme", 1), ("globex", 2), ("initech", 0)]));

    let only = Fleet::only([slug("globex"), slug("acme")]);
    let counts: Vec<_> = tenancy.for_each(only, 1, count_notes).try_collect().await.unwrap();
    assert_eq!(counts.iter().map(|it| it.0.slug().as_str()).collect::<Vec<_>>(), ["acme", "globex"]);
}

#[tokio::test]
async fn a_job_that_fails_is_reported_and_stops_nobody() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    for name in ["acme", "globex", "initech"] {
        tenancy.create(NewTenant::new(name)).await.unwrap();
    }
    let schema = tenancy.tenant("globex").await.unwrap().schema().to_string();
    Client::owner(&database).await.run(&format!("DROP SCHEMA {schema} CASCADE")).await;
    // Somebody moved it, and this program does not know where to.
    let other = "UPDATE tenantry.tenant SET database = 'other' WHERE slug = 'initech'";
    Client::owner(&database).await.run(other).await;
    let job = async |db: TenantDb| count_notes(db).await.map_err(Error::from);
    let done: Vec<_> = tenancy.for_each(Fleet::all(), 2, job).try_collect().await.unwrap();
    assert_eq!(done.len(), 3);
    for (tenant, result) in done {
        match tenant.slug().as_str() {
            "acme" => assert_eq!(result.unwrap(), 0),
            "globex" => drop(check_error(result, ErrorKind::MissingSchema, &[])),
            _ => drop(check_error(result, ErrorKind::Configuration, &["`other`"])),
        }
    }
}

#[tokio::test]
async fn every_tenant_of_a_fleet_of_several_pages_has_one_job() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    enter(&database, 1_100).await;
    set_status(&database, "slug LIKE '%7'", "suspended").await;
    let job = async |db: TenantDb| Ok::<_, Error>(db.tenant().slug().to_string());
    // In a task of its own, as a service would have it.
    let work = tokio::spawn(async move { tenancy.for_each(Fleet::all(), 1, job).try_collect().await });
    let done: Vec<(_, _)> = work.await.unwrap().unwrap();
    let slugs: Vec<_> = done.into_iter().map(|(_, slug)| slug.unwrap()).collect();
    assert_eq!(slugs.len(), 1_100 - 110);
    assert!(slugs.is_sorted_by(|a, b| a < b), "each once, in the order of the slugs");
}

#[tokio::test]
async fn a_tenant_that_is_suspended_before_its_turn_has_no_job() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    enter(&database, 3).await;
    let job = async |db: TenantDb| Ok::<_, Error>(db.tenant().slug().to_string());
    let mut done = tenancy.for_each(Fleet::all(), 1, job);
    assert_eq!(done.try_next().await.unwrap().unwrap().1.unwrap(), "t1");
    set_status(&database, "slug = 't2'", "suspended").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(done.try_next().await.unwrap().unwrap().1.unwrap(), "t3");
    assert!(done.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn who_is_asked_for_by_name_and_not_served_is_told_before_anything_begins() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    enter(&database, 2).await;
    set_status(&database, "slug = 't2'", "suspended").await;
    for (name, kind) in [("nobody", ErrorKind::UnknownTenant), ("t2", ErrorKind::Suspended)] {
        let fleet = Fleet::only([slug("t1"), slug(name)]);
        let job = async |_: TenantDb| -> Result<(), Error> { panic!("nothing begins") };
        let mut done = tenancy.for_each(fleet, 1, job);
        check_error(done.try_next().await, kind, &[name]);
    }
}

/// Each job holds a connection and asks for another one, and so does who takes the results.
#[tokio::test]
async fn jobs_leave_a_connection_to_others() {
    let database = database().await;
    let tenancy = with_connections(&database, 3).migrations(crate::support::tenant_files(&[NOTE]));
    let tenancy = tenancy.connect().await.unwrap();
    for number in 0..6 {
        tenancy.create(NewTenant::new(format!("t{number}"))).await.unwrap();
    }
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let job = {
        let (tenancy, running, most) = (tenancy.clone(), Arc::clone(&running), Arc::clone(&most));
        move |db: TenantDb| {
            let (tenancy, running, most) = (tenancy.clone(), Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let tx = db.begin().await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
                sqlx::query("SELECT 1").execute(&tenancy.master()).await?;
                tx.commit().await?;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, sqlx::Error>(())
            }
        }
    };
    let mut done = tenancy.for_each(Fleet::all(), 50, job);
    let mut number = 0;
    while let Some((_, result)) = done.try_next().await.unwrap() {
        result.unwrap();
        sqlx::query("SELECT 1").execute(&tenancy.master()).await.unwrap();
        number += 1;
    }
    assert_eq!((number, most.load(Ordering::SeqCst)), (6, 2));
}

#[tokio::test]
async fn dropping_the_stream_ends_the_jobs_and_leaves_nothing() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    for number in 0..5 {
        tenancy.create(NewTenant::new(format!("t{number}"))).await.unwrap();
    }
    let (begun, written) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let job = |db: TenantDb| {
        let (begun, written) = (Arc::clone(&begun), Arc::clone(&written));
        async move {
            begun.fetch_add(1, Ordering::SeqCst);
            let mut tx = db.begin().await?;
            sqlx::query("INSERT INTO note VALUES ('half')").execute(&mut *tx).await?;
            written.notify_one();
            tokio::time::sleep(Duration::from_mins(1)).await;
            tx.commit().await
        }
    };
    let mut stream = tenancy.for_each(Fleet::all(), 2, job);
    tokio::select! {
        _ = stream.next() => panic!("no job ends"),
        () = async { for _ in 0..2 { written.notified().await } } => drop(stream),
    }
    eventually("no connection is in use", async || {
        tenancy.status().pools.values().all(|pool| pool.open == pool.idle)
    })
    .await;
    assert_eq!(begun.load(Ordering::SeqCst), 2);
    let counts: Vec<_> = tenancy.for_each(Fleet::all(), 2, count_notes).try_collect().await.unwrap();
    assert!(counts.iter().all(|(_, notes)| matches!(notes, Ok(0))), "{counts:?}");
}

#[tokio::test]
async fn a_registry_that_fails_is_told_after_the_jobs_that_have_begun() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    enter(&database, 600).await;
    let job = async |db: TenantDb| Ok::<_, Error>(db.tenant().slug().to_string());
    let mut done = tenancy.for_each(Fleet::all(), 4, job);
    assert!(done.try_next().await.unwrap().is_some());
    Client::owner(&database).await.run("ALTER TABLE tenantry.tenant RENAME TO nobody").await;
    let (mut number, mut error) = (1, None);
    while error.is_none() {
        match done.try_next().await {
            Ok(Some(_)) => number += 1,
            Ok(None) => break,
            Err(found) => error = Some(found),
        }
    }
    assert_eq!((number, error.unwrap().kind()), (500, ErrorKind::Database));
}

#[tokio::test]
async fn a_job_has_no_ambient_tenant_and_its_panic_goes_on() {
    let database = database().await;
    let tenancy = builder(&database).connect().await.unwrap();
    enter(&database, 1).await;
    let current = async |_: TenantDb| Ok::<_, Error>(Tenancy::current());
    let done: Vec<_> = tenancy.for_each(Fleet::all(), 1, current).try_collect().await.unwrap();
    assert!(matches!(done[0].1, Ok(None)));
    let panicking = tokio::spawn(async move {
        let job = async |_: TenantDb| -> Result<(), Error> { panic!("a mistake in the job") };
        tenancy.for_each(Fleet::all(), 1, job).try_collect::<Vec<_>>().await
    });
    assert!(panicking.await.unwrap_err().is_panic());
}

#[tokio::test]
async fn a_selection_is_made_by_the_registry_and_changes_nothing() {
    let database = database().await;
    let tenancy = builder(&database).connect().await.unwrap();
    enter(&database, 4).await;
    let slugs = async |fleet: Fleet| {
        let job = async |_: TenantDb| Ok::<_, Error>(());
        let done: Vec<_> = tenancy.for_each(fleet, 1, job).try_collect().await?;
        Ok::<_, Error>(done.iter().map(|(tenant, _)| tenant.slug().to_string()).collect::<Vec<_>>())
    };
    let not_t2 = |fleet: Fleet| fleet.except([slug("t2")]);
    assert_eq!(slugs(not_t2(Fleet::all())).await.unwrap(), ["t1", "t3", "t4"]);
    assert_eq!(slugs(not_t2(Fleet::only([slug("t2"), slug("t4")]))).await.unwrap(), ["t4"]);
    assert_eq!(slugs(not_t2(Fleet::matching("slug < 't4'"))).await.unwrap(), ["t1", "t3"]);
    check_error(slugs(Fleet::matching("slug <")).await, ErrorKind::InvalidInput, &["slug <"]);
    Client::owner(&database).await.run("CREATE SEQUENCE public.drawn").await;
    let error = slugs(Fleet::matching("nextval('public.drawn') > 0")).await;
    check_error(error, ErrorKind::InvalidInput, &["read-only transaction"]);
}

#[tokio::test]
async fn a_concurrency_of_nothing_is_refused() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let counts = tenancy.for_each(Fleet::all(), 0, count_notes).try_collect::<Vec<_>>().await;
    check_error(counts, ErrorKind::InvalidInput, &["concurrency of 0"]);
}
