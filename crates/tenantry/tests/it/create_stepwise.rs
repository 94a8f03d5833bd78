//! Making a tenant step by step, where a file must not run in a transaction.

use std::time::Duration;

use tenantry::tenant::Status;
use tenantry::{Error, ErrorKind, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;
use tokio::task::JoinSet;

use crate::support::{
    Client, Folder, NOTHING, ONE_TENANT, builder, by_domain, check_error, database, domain, eventually,
    ledger, random_up_to, tenancy,
};

const NOTE: &str = "CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text)";
const INDEX: &str = "-- no-transaction\nCREATE INDEX CONCURRENTLY note_title ON note (title)";
const BODY: &str = "ALTER TABLE note ADD COLUMN body text";

async fn open(database: &ScratchDatabase, folder: &Folder) -> Tenancy {
    builder(database).migrations(folder.migrations()).connect().await.unwrap()
}

/// Repeats the command while the server has not noticed that the last one is gone.
async fn patiently<T>(mut command: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let mut result = None;
    eventually("the command goes through", async || match command().await {
        Err(error) if error.kind() == ErrorKind::Conflict => false,
        done => {
            result = Some(done);
            true
        }
    })
    .await;
    result.unwrap().unwrap()
}

async fn check_whole(tenancy: &Tenancy, client: &mut Client, slug: &str, versions: i64) {
    let tenant = tenancy.tenant(slug).await.unwrap();
    assert_eq!((tenant.status(), tenant.last_error()), (Status::Active, None), "{slug}");
    assert_eq!(tenant.digest(), Some(&tenancy.migrations().tenant().digest()), "{slug}");
    let expect: Vec<_> = (1..=versions).map(|version| (version, true)).collect();
    assert_eq!(ledger(client, &tenant).await, expect, "{slug}");
    assert_eq!(client.traces(slug).await, ONE_TENANT, "{slug}");
    let invalid = format!(
        "pg_index JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace \
         WHERE nspname = '{}' AND NOT indisvalid",
        tenant.schema()
    );
    assert_eq!(client.count(&invalid).await, 0, "{slug}");
}

#[tokio::test]
async fn an_index_may_be_built_concurrently() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE, INDEX, BODY]).await;
    let acme = tenancy.create(NewTenant::new("acme").domain(domain("acme.test"))).await.unwrap();
    assert_eq!(acme.status(), Status::Active);
    assert_eq!(tenancy.find(&by_domain("acme.test")).await.unwrap(), acme);
    let mut client = Client::owner(&database).await;
    check_whole(&tenancy, &mut client, "acme", 3).await;
    let indexed: bool =
        client.value(&format!("SELECT to_regclass('\"{}\".note_title') IS NOT NULL", acme.schema())).await;
    assert!(indexed);
}

#[tokio::test]
async fn a_failing_file_leaves_a_tenant_that_the_same_command_completes() {
    let database = database().await;
    let folder = Folder::of(&[NOTE, INDEX, "SELECT broken"]);
    let new = || NewTenant::new("acme").name("Acme").domain(domain("acme.test"));
    let tenancy = open(&database, &folder).await;
    for _ in 0..2 {
        let error =
            check_error(tenancy.create(new()).await, ErrorKind::Migration, &["0003_step.sql:1:8", "`acme`"]);
        assert_eq!(error.tenant().unwrap().as_str(), "acme");
        let half = tenancy.tenant("acme").await.unwrap();
        assert_eq!(half.status(), Status::Provisioning);
        assert_eq!(half.last_error(), Some(error.to_string().as_str()));
        check_error(tenancy.db(&half), ErrorKind::TenantUnavailable, &["`acme` is provisioning"]);
    }
    folder.write("tenant/0003_step.sql", BODY);
    let tenancy = open(&database, &folder).await;
    let acme = tenancy.create(new()).await.unwrap();
    assert_eq!(acme.name(), "Acme");
    assert_eq!(tenancy.domains(&acme).await.unwrap(), [domain("acme.test")]);
    check_whole(&tenancy, &mut Client::owner(&database).await, "acme", 3).await;
    check_error(tenancy.create(new()).await, ErrorKind::AlreadyExists, &["is active"]);
}

#[tokio::test]
async fn a_half_made_tenant_can_be_removed_and_made_again() {
    let database = database().await;
    let folder = Folder::of(&[NOTE, INDEX, "SELECT broken"]);
    let new = || NewTenant::new("acme").domain(domain("acme.test"));
    let tenancy = open(&database, &folder).await;
    let mut client = Client::owner(&database).await;
    // Do, undo, do, undo.
    for _ in 0..2 {
        tenancy.create(new()).await.unwrap_err();
        assert_eq!(client.traces("acme").await, ONE_TENANT);
        tenancy.abort_creation("acme").await.unwrap();
        assert_eq!(client.traces("acme").await, NOTHING);
        assert_eq!(client.count("tenantry.domain").await, 0);
        check_error(tenancy.tenant("acme").await, ErrorKind::UnknownTenant, &[]);
        check_error(tenancy.abort_creation("acme").await, ErrorKind::UnknownTenant, &["`acme`"]);
    }
    folder.write("tenant/0003_step.sql", BODY);
    let tenancy = open(&database, &folder).await;
    tenancy.create(new()).await.unwrap();
    check_whole(&tenancy, &mut client, "acme", 3).await;
}

#[tokio::test]
async fn an_interrupted_removal_can_be_repeated() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE, INDEX, "SELECT broken"]).await;
    let mut client = Client::owner(&database).await;
    for what_is_left in ["", "DELETE FROM tenantry.applied", "DROP SCHEMA {schema} CASCADE"] {
        tenancy.create(NewTenant::new("acme")).await.unwrap_err();
        let half = tenancy.tenant("acme").await.unwrap();
        client.run("UPDATE tenantry.tenant SET status = 'purging'").await;
        client.run(&what_is_left.replace("{schema}", half.schema().as_str())).await;
        check_error(
            tenancy.create(NewTenant::new("acme")).await,
            ErrorKind::AlreadyExists,
            &["`acme` already exists and is purging"],
        );
        tenancy.abort_creation("acme").await.unwrap();
        assert_eq!(client.traces("acme").await, NOTHING, "after {what_is_left:?}");
    }
}

#[tokio::test]
async fn only_a_half_made_tenant_can_be_removed_this_way() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    for status in ["active", "suspended", "deleted", "moving"] {
        client.run(&format!("UPDATE tenantry.tenant SET status = '{status}'")).await;
        let aborted = tenancy.abort_creation("acme").await;
        check_error(
            aborted,
            ErrorKind::TenantUnavailable,
            &[&format!("is {status}"), "still `provisioning`"],
        );
        assert_eq!(client.traces("acme").await, ONE_TENANT);
    }
    check_error(tenancy.abort_creation("globex").await, ErrorKind::UnknownTenant, &["`globex`"]);
    check_error(tenancy.abort_creation("no slug").await, ErrorKind::InvalidInput, &["' '"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_processes_that_make_one_slug_one_wins() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE, INDEX]).await;
    let mut client = Client::owner(&database).await;
    for round in 0..3 {
        let slug = format!("acme-{round}");
        let mut creations = JoinSet::new();
        for _ in 0..10 {
            let (tenancy, slug) = (tenancy.clone(), slug.clone());
            creations.spawn(async move { tenancy.create(NewTenant::new(slug)).await });
        }
        let results = creations.join_all().await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        for error in results.into_iter().filter_map(Result::err) {
            assert!(matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict), "{error:?}");
        }
        check_whole(&tenancy, &mut client, &slug, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn different_slugs_are_made_at_the_same_time() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE, INDEX]).await;
    let mut creations = JoinSet::new();
    for number in 0..8 {
        let tenancy = tenancy.clone();
        creations.spawn(async move { tenancy.create(NewTenant::new(format!("tenant-{number}"))).await });
    }
    for created in creations.join_all().await {
        assert_eq!(created.unwrap().status(), Status::Active);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn making_and_removing_at_the_same_time_leaves_a_whole_tenant_or_nothing() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE, INDEX, "-- no-transaction\nVACUUM note"]).await;
    let mut client = Client::owner(&database).await;
    for number in 0..15 {
        let slug = format!("tenant-{number}");
        let mut race = JoinSet::new();
        for removes in [false, false, true, true] {
            let (tenancy, slug) = (tenancy.clone(), slug.clone());
            race.spawn(async move {
                tokio::time::sleep(random_up_to(Duration::from_millis(60))).await;
                if removes {
                    tenancy.abort_creation(&slug).await
                } else {
                    tenancy.create(NewTenant::new(slug)).await
                }
            });
        }
        for error in race.join_all().await.into_iter().filter_map(Result::err) {
            let expected = [
                ErrorKind::AlreadyExists,
                ErrorKind::Conflict,
                ErrorKind::TenantUnavailable,
                ErrorKind::UnknownTenant,
            ];
            assert!(expected.contains(&error.kind()), "{error:?}");
        }
        let traces = client.traces(&slug).await;
        assert!(traces == NOTHING || traces == ONE_TENANT, "{slug}: {traces:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_on_with_what_somebody_else_just_removed() {
    let database = database().await;
    let broken = tenancy(&database, &[NOTE, INDEX, "SELECT broken"]).await;
    let cured = tenancy(&database, &[NOTE, INDEX, BODY]).await;
    let mut client = Client::owner(&database).await;
    for number in 0..30 {
        let slug = format!("tenant-{number}");
        broken.create(NewTenant::new(slug.as_str())).await.unwrap_err();
        // Neither waits for the other: the later one may read the row just before it goes.
        let limit = Duration::from_millis(8);
        let (before_create, before_abort) = (random_up_to(limit), random_up_to(limit));
        let (created, aborted) = tokio::join!(
            async {
                tokio::time::sleep(before_create).await;
                cured.create(NewTenant::new(slug.as_str())).await
            },
            async {
                tokio::time::sleep(before_abort).await;
                cured.abort_creation(&slug).await
            }
        );
        let traces = client.traces(&slug).await;
        let expect = if created.is_ok() { ONE_TENANT } else { NOTHING };
        let is_untouched = created.is_err() && aborted.is_err();
        assert!(traces == expect || is_untouched, "{slug}: {traces:?} after {created:?} and {aborted:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_future_at_any_moment_leaves_what_the_same_command_completes() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE, INDEX, BODY]).await;
    let start = std::time::Instant::now();
    tenancy.create(NewTenant::new("usual")).await.unwrap();
    let usual = start.elapsed();

    let mut client = Client::owner(&database).await;
    let mut half_made = 0;
    for number in 0..30 {
        let slug = format!("tenant-{number}");
        let limit = random_up_to(usual * 5 / 4);
        let _ = tokio::time::timeout(limit, tenancy.create(NewTenant::new(slug.as_str()))).await;
        let sql = format!("SELECT status FROM tenantry.tenant WHERE slug = '{slug}'");
        let status = async |client: &mut Client| -> Option<String> {
            client.rows::<(String,)>(&sql).await.pop().map(|row| row.0)
        };
        let found = status(&mut client).await;
        half_made += i32::from(found.as_deref() == Some("provisioning"));
        if number % 2 == 0 && found.as_deref() == Some("provisioning") {
            patiently(async || tenancy.abort_creation(&slug).await).await;
            assert_eq!(client.traces(&slug).await, NOTHING);
        }
        eventually("the same command completes it", async || {
            match tenancy.create(NewTenant::new(slug.as_str())).await {
                Ok(_) => true,
                // It was on its way when it was dropped, half-made or whole.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    status(&mut client).await.as_deref() == Some("active")
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                    false
                }
            }
        })
        .await;
        check_whole(&tenancy, &mut client, &slug, 3).await;
    }
    assert!(half_made > 0, "no creation was interrupted half-way, so nothing was tested");
}

#[tokio::test]
async fn a_set_that_needs_a_commit_in_between_is_made_step_by_step() {
    let database = database().await;
    // 55P04: a new value of an enum cannot be used before it is committed.
    let tenancy = tenancy(
        &database,
        &[
            "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE person (mood mood)",
            "ALTER TYPE mood ADD VALUE 'happy'",
            "INSERT INTO person VALUES ('happy')",
        ],
    )
    .await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    assert!(acme.owns_types());
    check_whole(&tenancy, &mut Client::owner(&database).await, "acme", 3).await;
}
