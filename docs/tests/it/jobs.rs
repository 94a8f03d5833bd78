use serde::{Deserialize, Serialize};
use tenantry::{ForTenant, Tenancy, TenantDb};

#[derive(Serialize, Deserialize)]
struct AddNote {
    title: String,
}

async fn run(tenancy: &Tenancy, job: ForTenant<AddNote>) -> tenantry::Result<()> {
    let (db, AddNote { title }) = job.open(tenancy).await?;
    sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title).execute(&db).await?;
    Ok(())
}

use sqlx::types::Json;

async fn order(db: &TenantDb, title: String) -> tenantry::Result<()> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO note (title) VALUES ('ordered: ' || $1)").bind(&title).execute(&mut *tx).await?;
    let job = ForTenant::new(db.tenant(), AddNote { title });
    let enqueue = sqlx::query("INSERT INTO queue.job (payload) VALUES ($1)").bind(Json(job));
    enqueue.execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Kept<J> {
    ForTenant(ForTenant<J>),
    ForSlug { slug: String, job: J },
}

async fn open<J>(tenancy: &Tenancy, kept: Kept<J>) -> tenantry::Result<(TenantDb, J)> {
    let job = match kept {
        Kept::ForTenant(job) => job,
        Kept::ForSlug { slug, job } => ForTenant::new(&tenancy.tenant(&slug).await?, job),
    };
    job.open(tenancy).await
}

use futures_util::TryStreamExt as _;
use tenantry::Fleet;

async fn count_notes(db: TenantDb) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await
}

async fn report(tenancy: &Tenancy) -> tenantry::Result<Vec<String>> {
    let mut report = Vec::new();
    let mut counts = tenancy.for_each(Fleet::all(), 4, count_notes);
    while let Some((tenant, notes)) = counts.try_next().await? {
        report.push(match notes {
            Ok(notes) => format!("{}: {notes} notes", tenant.slug()),
            Err(error) => format!("{}: {error}", tenant.slug()),
        });
    }
    Ok(report)
}

use std::time::Duration;

async fn report_every_hour(tenancy: Tenancy) {
    let mut minutes = tokio::time::interval(Duration::from_mins(1));
    loop {
        minutes.tick().await;
        match report_if_due(&tenancy).await {
            Ok(Some(report)) => tracing::info!("The hourly report: {report:?}"),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "There is no hourly report"),
        }
    }
}

async fn report_if_due(tenancy: &Tenancy) -> tenantry::Result<Option<Vec<String>>> {
    let mut session = tenancy.master().acquire().await?;
    let try_lock = "SELECT pg_try_advisory_lock(hashtextextended('hourly report', 0))";
    let is_alone: bool = sqlx::query_scalar(try_lock).fetch_one(&mut session).await?;
    let claim = "INSERT INTO periodic VALUES ('hourly report', now()) ON CONFLICT (name) DO UPDATE \
                 SET begun_at = now() WHERE periodic.begun_at <= now() - interval '1 hour'";
    if !is_alone || sqlx::query(claim).execute(&mut session).await?.rows_affected() == 0 {
        return Ok(None);
    }
    report(tenancy).await.map(Some)
}

use docs::blocks_of;
use tenantry::tenant::Tenant;
use tenantry::{DatabaseConfig, ErrorKind};

use crate::support::{World, add, builder, eventually, run as run_sql, titles, world};

const PAGE: &str = "docs/jobs.md";

fn kept(tenant: &Tenant, title: &str) -> String {
    serde_json::to_string(&ForTenant::new(tenant, AddNote { title: title.to_owned() })).unwrap()
}

async fn run_kept(world: &World, kept: &str) -> tenantry::Result<()> {
    run(&world.tenancy, serde_json::from_str(kept).unwrap()).await
}

#[tokio::test]
async fn a_job_is_enqueued_with_its_rows_and_runs_for_its_tenant() {
    let world = world().await;
    let pool = world.tenancy.master_pool().unwrap();
    run_sql(world.database.url(), "CREATE SCHEMA queue CREATE TABLE job (payload jsonb NOT NULL)").await;
    order(&world.acme(), "anvils".to_owned()).await.unwrap();
    // There is such a note, so there is no second job.
    order(&world.acme(), "anvils".to_owned()).await.unwrap_err();
    let payloads: Vec<Json<ForTenant<AddNote>>> =
        sqlx::query_scalar("DELETE FROM queue.job RETURNING payload").fetch_all(&pool).await.unwrap();
    for Json(job) in payloads {
        run(&world.tenancy, job).await.unwrap();
    }
    assert_eq!(titles(&world.acme()).await, ["ordered: anvils", "anvils"]);
    assert!(titles(&world.globex()).await.is_empty());

    let job = kept(&world.acme, "later");
    world.suspend_acme().await;
    let error = run_kept(&world, &job).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_permanent(), error.is_retryable()),
        (ErrorKind::Suspended, false, false)
    );
}

#[tokio::test]
async fn payloads_of_yesterday_and_of_today_are_opened() {
    let world = world().await;
    let old = r#"{ "slug": "globex", "job": { "title": "old" } }"#;
    for payload in [old, &kept(&world.globex, "new")] {
        let kept: Kept<AddNote> = serde_json::from_str(payload).unwrap();
        let (db, job) = open(&world.tenancy, kept).await.unwrap();
        add(&db, &job.title).await;
    }
    assert_eq!(titles(&world.globex()).await, ["old", "new"]);
}

#[tokio::test]
async fn a_report_has_a_line_for_each_tenant() {
    let world = world().await;
    add(&world.globex(), "one").await;
    let mut lines = report(&world.tenancy).await.unwrap();
    lines.sort();
    assert_eq!(lines, ["acme: 0 notes", "globex: 1 notes"]);

    world.suspend_acme().await;
    assert_eq!(report(&world.tenancy).await.unwrap(), ["globex: 1 notes"]);
}

#[tokio::test]
async fn of_several_processes_one_reports_once_an_hour() {
    let world = world().await;
    let [table] = blocks_of(PAGE, "sql");
    run_sql(world.database.url(), &table).await;
    // The session that has the lock is one of the master's, so its pool needs more than two.
    let process = || builder(DatabaseConfig::from_url(world.database.url()).unwrap()).connect();
    let (here, other) = (process().await.unwrap(), process().await.unwrap());
    let (first, second) = tokio::join!(report_if_due(&here), report_if_due(&other));
    assert_eq!([first.unwrap(), second.unwrap()].into_iter().flatten().count(), 1);
    // As long as nothing is due, it does nothing.
    let every_hour = tokio::time::timeout(Duration::from_millis(100), report_every_hour(here.clone()));
    assert!(every_hour.await.is_err());
    assert_eq!(report_if_due(&other).await.unwrap(), None, "not twice in an hour");

    let mut rival = here.master().acquire().await.unwrap();
    let lock = "SELECT pg_advisory_lock(hashtextextended('hourly report', 0))";
    run_sql(world.database.url(), "UPDATE periodic SET begun_at = begun_at - interval '1 hour'").await;
    sqlx::query(lock).execute(&mut rival).await.unwrap();
    assert_eq!(report_if_due(&other).await.unwrap(), None, "another process is at it");
    drop(rival);
    eventually("the lock is gone with its session", async || report_if_due(&other).await.unwrap().is_some())
        .await;
}
