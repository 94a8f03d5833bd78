//! Tenants that are suspended and resumed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::response::IntoResponse as _;
use futures_util::TryStreamExt as _;
use http::HeaderValue;
use serde_json::{Value, json};
use tenantry::http::{BYPASS, BypassKey, Rejection, RejectionKind};
use tenantry::registry::AuditState;
use tenantry::tenant::{Status, Suspension, Tenant};
use tenantry::{Error, ErrorKind, Fleet, NewTenant, Tenancy, TenantDb};
use time::OffsetDateTime;

use crate::http::{Answer, Application, by_subdomain, request, routes, send};
use crate::log::Log;
use crate::support::{Client, builder, check_error, database, tenancy, tenant_files};

const NOTE: &str = "CREATE TABLE note (title text)";
const INSERT: &str = "INSERT INTO note VALUES ('x')";

fn in_an_hour() -> OffsetDateTime {
    OffsetDateTime::now_utc().replace_nanosecond(0).unwrap() + time::Duration::HOUR
}

async fn insert(db: &TenantDb) -> tenantry::Result<()> {
    Ok(sqlx::query(INSERT).execute(db).await.map(drop)?)
}

async fn verbs(tenancy: &Tenancy, tenant: &Tenant) -> Vec<(String, String, AuditState)> {
    let entries = tenancy.audit(tenant.id(), 10).await.unwrap();
    entries.into_iter().rev().map(|entry| (entry.verb, entry.operator, entry.state)).collect()
}

#[tokio::test]
async fn it_is_done_undone_and_done_again_and_each_time_entered() {
    let database = database().await;
    let tenancy =
        builder(&database).migrations(tenant_files(&[NOTE])).operator("ann").connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let terms = Suspension::new().because("unpaid").saying("Please pay").until(in_an_hour());
    for _ in 0..2 {
        let suspended = tenancy.suspend(&acme, terms.clone()).await.unwrap();
        assert_eq!((suspended.status(), suspended.suspension()), (Status::Suspended, Some(&terms)));
        let error = check_error(tenancy.db(&suspended), ErrorKind::Suspended, &["`acme` is suspended until"]);
        assert_eq!(
            (error.suspension(), error.is_retryable(), error.is_permanent()),
            (Some(&terms), false, false)
        );
        // A second time it is the same, and nothing is entered.
        assert_eq!(tenancy.suspend(&suspended, terms.clone()).await.unwrap(), suspended);
        let kept = tenancy.tenant("acme").await.unwrap();
        assert_eq!(kept, suspended);

        let resumed = tenancy.resume(&suspended).await.unwrap();
        assert_eq!((resumed.status(), resumed.suspension()), (Status::Active, None));
        insert(&tenancy.db(&resumed).unwrap()).await.unwrap();
        assert_eq!(tenancy.resume(&suspended).await.unwrap(), resumed);
    }
    let verbs = verbs(&tenancy, &acme).await;
    let expect = ["create", "suspend", "resume", "suspend", "resume"];
    assert_eq!(verbs, expect.map(|verb| (verb.to_owned(), "ann".to_owned(), AuditState::Done)));
    let entry = &tenancy.audit(acme.id(), 2).await.unwrap()[1];
    assert_eq!(
        (&entry.options["reason"], &entry.options["message"]),
        (&json!("unpaid"), &json!("Please pay"))
    );
}

#[tokio::test]
async fn suspending_a_suspended_tenant_changes_the_terms() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    tenancy.suspend(&acme, Suspension::new()).await.unwrap();
    let read_only = Suspension::new().read_only().saying("Reading is fine");
    let acme = tenancy.suspend(&acme, read_only.clone()).await.unwrap();
    assert_eq!(acme.suspension(), Some(&read_only));
    check_error(insert(&tenancy.db(&acme).unwrap()).await, ErrorKind::Suspended, &["may only be read"]);
    // By hand, without any terms.
    Client::owner(&database).await.run("UPDATE tenantry.tenant SET suspension = NULL").await;
    let acme = tenancy.suspend(&acme, Suspension::new()).await.unwrap();
    assert_eq!(acme.suspension(), Some(&Suspension::new()));
    assert_eq!(tenancy.audit(acme.id(), 10).await.unwrap().len(), 4);
}

#[tokio::test]
async fn what_cannot_be_suspended_or_resumed_stays_as_it_is() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let over = Suspension::new().until(OffsetDateTime::UNIX_EPOCH);
    check_error(tenancy.suspend(&acme, over).await, ErrorKind::InvalidInput, &["not in the future"]);
    let nul = Suspension::new().saying("a\0");
    check_error(tenancy.suspend(&acme, nul).await, ErrorKind::InvalidInput, &["message", "NUL"]);

    let mut client = Client::owner(&database).await;
    for status in ["provisioning", "deleted", "purging", "moving"] {
        client.run(&format!("UPDATE tenantry.tenant SET status = '{status}'")).await;
        let says = &[status, "cannot be suspended"];
        check_error(tenancy.suspend(&acme, Suspension::new()).await, ErrorKind::TenantUnavailable, says);
        check_error(
            tenancy.resume(&acme).await,
            ErrorKind::TenantUnavailable,
            &[status, "cannot be resumed"],
        );
    }
    client.run("DELETE FROM tenantry.tenant").await;
    check_error(
        tenancy.suspend(&acme, Suspension::new()).await,
        ErrorKind::UnknownTenant,
        &["`acme` is gone"],
    );
    check_error(tenancy.resume(&acme).await, ErrorKind::UnknownTenant, &["`acme` is gone"]);
    assert_eq!(client.count("tenantry.audit").await, 1, "only the creation");
}

#[tokio::test]
async fn what_is_no_suspension_is_not_stored_and_names_its_row_if_it_is() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    for nonsense in ["[]", "\"x\"", "{\"until\": null}", "{\"until\": \"whenever\"}"] {
        let sql = format!("UPDATE tenantry.tenant SET suspension = '{nonsense}'");
        client.try_run(&sql).await.expect_err(nonsense);
    }
    client.run("UPDATE tenantry.tenant SET suspension = '{\"message\": 7}'").await;
    let found = crate::support::eventually("the change", async || tenancy.tenant("acme").await.is_err());
    found.await;
    check_error(tenancy.tenant("acme").await, ErrorKind::Registry, &["column `suspension` of tenant"]);
}

#[tokio::test]
async fn an_end_that_has_come_counts_for_all_who_look() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let end = OffsetDateTime::now_utc() + time::Duration::milliseconds(700);
    let suspended = tenancy.suspend(&acme, Suspension::new().until(end)).await.unwrap();
    let jobs = async || {
        let job = async |db: TenantDb| Ok::<_, Error>(db.tenant().slug().to_string());
        tenancy.for_each(Fleet::all(), 1, job).try_collect::<Vec<_>>().await.unwrap().len()
    };
    let mut client = Client::owner(&database).await;
    let lookup = "SELECT status FROM tenantry.tenant_lookup";
    assert_eq!((jobs().await, client.value::<String>(lookup).await.as_str()), (0, "suspended"));
    assert_eq!(suspended.status(), Status::Suspended);

    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!((jobs().await, client.value::<String>(lookup).await.as_str()), (1, "active"));
    assert_eq!((suspended.status(), suspended.suspension()), (Status::Active, None), "it is the same value");
    insert(&tenancy.db(&suspended).unwrap()).await.unwrap();
    assert_eq!(client.value::<String>("SELECT status FROM tenantry.tenant").await, "suspended");
    // It can be suspended again, and resumed, like any other.
    let again = tenancy.suspend(&suspended, Suspension::new()).await.unwrap();
    tenancy.db(&again).unwrap_err();
    tenancy.db(&tenancy.resume(&again).await.unwrap()).unwrap();
}

#[tokio::test]
async fn jobs_run_for_who_may_be_read_and_not_for_who_is_suspended() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let terms = [Suspension::new().until(in_an_hour()), Suspension::new().read_only()];
    for (name, terms) in ["acme", "globex"].into_iter().zip(terms) {
        let tenant = tenancy.create(NewTenant::new(name)).await.unwrap();
        tenancy.suspend(&tenant, terms).await.unwrap();
    }
    tenancy.create(NewTenant::new("initech")).await.unwrap();
    let write = async |db: TenantDb| Ok::<_, Error>(insert(&db).await.map_err(|error| error.kind()));
    let done = tenancy.for_each(Fleet::all(), 1, write);
    let done: Vec<_> = done.try_collect().await.unwrap();
    let done: Vec<_> =
        done.iter().map(|(tenant, done)| (tenant.slug().as_str(), done.clone().unwrap())).collect();
    assert_eq!(done, [("globex", Err(ErrorKind::Suspended)), ("initech", Ok(()))]);
    let only = Fleet::only([crate::support::slug("acme")]);
    let mut refused = tenancy.for_each(only, 1, async |_: TenantDb| Ok::<_, Error>(()));
    check_error(refused.try_next().await, ErrorKind::Suspended, &["`acme`"]);
}

/// A row that somebody was told of is there, and who came after the suspension was told of that.
#[tokio::test]
async fn under_traffic_nothing_is_lost_and_nobody_is_told_anything_else() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let db = tenancy.db(&acme).unwrap();
    let (stop, written, refused) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (db, stop, written, refused) = (db.clone(), stop.clone(), written.clone(), refused.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match insert(&db).await {
                        Ok(()) => written.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Suspended, "{error:#}");
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 0..6 {
        let terms = if round % 2 == 0 { Suspension::new() } else { Suspension::new().read_only() };
        tokio::time::sleep(Duration::from_millis(50)).await;
        tenancy.suspend(&acme, terms).await.unwrap();
        insert(&db).await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(50)).await;
        tenancy.resume(&acme).await.unwrap();
        insert(&db).await.unwrap();
        written.fetch_add(1, Ordering::Relaxed);
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await.unwrap();
    assert_eq!(rows, written.load(Ordering::Relaxed));
    assert!(refused.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn draining_waits_for_what_is_under_way_here_and_elsewhere() {
    let database = database().await;
    let [here, elsewhere] = [tenancy(&database, &[NOTE]).await, tenancy(&database, &[NOTE]).await];
    let acme = here.create(NewTenant::new("acme")).await.unwrap();
    let globex = here.create(NewTenant::new("globex")).await.unwrap();
    let (soon, long) = (Duration::from_millis(300), Duration::from_secs(20));
    check_error(
        here.drain(&acme, soon).await,
        ErrorKind::InvalidInput,
        &["`acme` is active", "suspend it first"],
    );

    let in_the_way = elsewhere.db(&globex).unwrap().begin().await.unwrap();
    let mut there = elsewhere.db(&acme).unwrap().begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM note").execute(&mut *there).await.unwrap();
    let untouched = here.db(&acme).unwrap().begin().await.unwrap();
    here.suspend(&acme, Suspension::new()).await.unwrap();
    let says = &["`acme` is still at work", "1 connections of this process", "session ", "stays suspended"];
    check_error(here.drain(&acme, soon).await, ErrorKind::PoolTimeout, says);

    untouched.rollback().await.unwrap();
    let error = here.drain(&acme, soon).await.unwrap_err();
    assert!(!error.to_string().contains("this process"), "{error}");
    let (drained, ()) = tokio::join!(here.drain(&acme, long), async {
        tokio::time::sleep(soon).await;
        there.commit().await.unwrap();
    });
    drained.unwrap();
    drop(in_the_way);
}

#[tokio::test]
async fn where_reads_go_on_draining_waits_for_those_that_write() {
    let database = database().await;
    let [here, elsewhere] = [tenancy(&database, &[NOTE]).await, tenancy(&database, &[NOTE]).await];
    let acme = here.create(NewTenant::new("acme")).await.unwrap();
    let (soon, long) = (Duration::from_millis(500), Duration::from_secs(20));
    let mut writer = elsewhere.db(&acme).unwrap().begin().await.unwrap();
    sqlx::query(INSERT).execute(&mut *writer).await.unwrap();
    here.suspend(&acme, Suspension::new().read_only()).await.unwrap();
    let mut reader = here.db(&acme).unwrap().begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM note").execute(&mut *reader).await.unwrap();
    check_error(here.drain(&acme, soon).await, ErrorKind::PoolTimeout, &["session "]);
    writer.commit().await.unwrap();
    here.drain(&acme, long).await.unwrap();
    reader.commit().await.unwrap();
}

async fn ask(application: &Application, accept: &'static str) -> Answer {
    let mut request = request("acme.example.com", "/schema");
    request.headers_mut().insert("accept", HeaderValue::from_static(accept));
    send(routes().layer(application.tenancy.layer()), request).await
}

async fn suspend(application: &Application, terms: Suspension) {
    let acme = application.tenancy.tenant("acme").await.unwrap();
    application.tenancy.suspend(&acme, terms).await.unwrap();
}

#[tokio::test]
async fn a_request_gets_the_message_as_a_page_or_as_json() {
    let application = by_subdomain().await;
    suspend(
        &application,
        Suspension::new().because("secret").saying("<b>Pay</b> & smile").until(in_an_hour()),
    )
    .await;
    let log = Log::listen();
    let page = ask(&application, "text/html").await;
    let retry_after: u32 = page.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(page.status.as_u16(), 503);
    assert!((3_000..=3_600).contains(&retry_after), "{retry_after}");
    assert!(page.body.contains("&lt;b&gt;Pay&lt;/b&gt; &amp; smile"), "{}", page.body);
    assert!(!page.body.contains("secret") && !page.body.contains("<b>"), "{}", page.body);

    let answer = ask(&application, "application/json").await;
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let json: Value = serde_json::from_str(&answer.body).unwrap();
    let title = "This account is suspended.";
    assert_eq!(json, json!({ "status": 503, "title": title, "detail": "<b>Pay</b> & smile" }));
    assert_eq!(log.lines_with("ERROR"), [""; 0], "somebody's decision is no failure");

    suspend(&application, Suspension::new()).await;
    let plain = ask(&application, "text/html").await;
    assert_eq!((plain.status.as_u16(), plain.header("retry-after")), (503, None), "nobody knows when");
}

async fn write(db: TenantDb) -> tenantry::Result<()> {
    Ok(sqlx::query("CREATE TABLE here (id int)").execute(&db).await.map(drop)?)
}

#[tokio::test]
async fn a_request_that_writes_where_it_may_read_gets_the_message() {
    let application = by_subdomain().await;
    suspend(&application, Suspension::new().read_only().saying("We move your data")).await;
    assert_eq!(ask(&application, "*/*").await.status.as_u16(), 200);
    let router = routes().route("/write", axum::routing::get(write)).layer(application.tenancy.layer());
    let answer = send(router, request("acme.example.com", "/write")).await;
    let json: Value = serde_json::from_str(&answer.body).unwrap();
    let title = "This account can only be read at the moment.";
    assert_eq!(json, json!({ "status": 503, "title": title, "detail": "We move your data" }));
}

#[tokio::test]
async fn an_application_answers_with_a_page_of_its_own() {
    let application = by_subdomain().await;
    suspend(&application, Suspension::new().saying("Please pay")).await;
    let answer = |rejection: Rejection| match rejection.suspension().and_then(Suspension::message) {
        Some(message) if rejection.kind() == RejectionKind::Suspended => {
            (rejection.status(), Json(json!({ "sorry": message }))).into_response()
        }
        _ => rejection.into_response(),
    };
    let layer = application.tenancy.layer().on_rejection(answer);
    let answer = send(routes().layer(layer), request("acme.example.com", "/schema")).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (503, r#"{"sorry":"Please pay"}"#));
}

async fn ask_with(application: &Application, key: &BypassKey, path: &str, bypass: &str) -> u16 {
    let mut request = request("acme.example.com", path);
    request.headers_mut().insert(BYPASS, HeaderValue::from_str(bypass).unwrap());
    let router = routes().route("/write", axum::routing::get(write));
    send(router.layer(application.tenancy.layer().bypass(key.clone())), request).await.status.as_u16()
}

#[tokio::test]
async fn a_bypass_leads_to_its_suspended_tenant_and_to_nothing_else() {
    let application = by_subdomain().await;
    let tenancy = &application.tenancy;
    let acme = tenancy.tenant("acme").await.unwrap();
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    let key = BypassKey::new("k".repeat(32)).unwrap();
    let good = key.sign(acme.id(), in_an_hour());
    let bad = [
        key.sign(globex.id(), in_an_hour()),
        key.sign(acme.id(), OffsetDateTime::now_utc() - time::Duration::SECOND),
        BypassKey::new("l".repeat(32)).unwrap().sign(acme.id(), in_an_hour()),
    ];
    suspend(&application, Suspension::new()).await;
    assert_eq!(ask_with(&application, &key, "/schema", &good).await, 200);
    assert_eq!(ask_with(&application, &key, "/write", &good).await, 200);
    for bad in &bad {
        assert_eq!(ask_with(&application, &key, "/schema", bad).await, 503);
    }
    assert_eq!(ask(&application, "*/*").await.status.as_u16(), 503, "a layer without a key knows none");

    suspend(&application, Suspension::new().read_only()).await;
    assert_eq!(ask_with(&application, &key, "/schema", &good).await, 200);
    assert_eq!(ask_with(&application, &key, "/write", &good).await, 503, "nothing is written");
    for (status, expect) in [("deleted", 404), ("moving", 503), ("active", 200)] {
        let change = format!("UPDATE tenantry.tenant SET status = '{status}' WHERE slug = 'acme'");
        sqlx::query(sqlx::AssertSqlSafe(change)).execute(&tenancy.master()).await.unwrap();
        crate::support::eventually(status, async || {
            tenancy.tenant("acme").await.unwrap().status().as_str() == status
        })
        .await;
        assert_eq!(ask_with(&application, &key, "/schema", &good).await, expect, "{status}");
    }
}
