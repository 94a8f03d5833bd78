//! Making a tenant in one transaction: all of it or nothing.

use serde_json::json;
use tenantry::tenant::{Alias, ReservedSlugs, Status};
use tenantry::{ErrorKind, Fleet, Migrations, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;
use tokio::task::JoinSet;

use crate::support::{
    Client, Folder, NOTHING, ONE_TENANT, Traces, builder, by_domain, check_error, config, database, domain,
    eventually, ledger, random_up_to, slug, table, tenancy, unobserved,
};

const NOTE: &str =
    "CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL);
                    INSERT INTO note (title) VALUES ('welcome')";

#[tokio::test]
async fn a_tenant_has_its_schema_ledger_summary_and_row_and_is_served() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE, "ALTER TABLE note ADD COLUMN body text"]).await;
    let new = NewTenant::new("ACME-eu").name("Acme Ltd").setting("seats", 7).domain(domain("acme.test"));
    let acme = tenancy.create(new).await.unwrap();

    assert_eq!(acme.slug().as_str(), "acme-eu");
    assert_eq!(acme.status(), Status::Active);
    assert_eq!(acme.name(), "Acme Ltd");
    assert_eq!(acme.settings(), &json!({ "name": "Acme Ltd", "seats": 7 }));
    assert_eq!(acme.digest(), Some(&tenancy.migrations().tenant().digest()));
    assert!(acme.schema().as_str().starts_with("t_acme_eu_"), "{}", acme.schema());
    assert_eq!(tenancy.domains(&acme).await.unwrap(), [domain("acme.test")]);

    let mut client = Client::owner(&database).await;
    assert_eq!(client.traces("acme-eu").await, ONE_TENANT);
    assert_eq!(ledger(&mut client, &acme).await, [(1, true), (2, true)]);

    let title: String =
        sqlx::query_scalar("SELECT title FROM note").fetch_one(&tenancy.db(&acme).unwrap()).await.unwrap();
    assert_eq!(title, "welcome");
}

#[tokio::test]
async fn a_tenant_without_migrations_is_an_empty_schema() {
    let database = database().await;
    let tenancy = builder(&database).migrations(Migrations::none()).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let answer: String = sqlx::query_scalar("SELECT current_schema()::text")
        .fetch_one(&tenancy.db(&acme).unwrap())
        .await
        .unwrap();
    assert_eq!(answer, acme.schema().as_str());
    assert_eq!(Client::owner(&database).await.traces("acme").await, ONE_TENANT);
}

#[tokio::test]
async fn a_failing_statement_leaves_nothing_and_is_named() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    folder.write(
        "tenant/0002_seven.sql",
        "CREATE TABLE a ();\nCREATE TABLE b ();\nCREATE TABLE c ();\n-- a comment; with a semicolon\n\
         CREATE TABLE d ();\nCREATE TABLE e ();\nCREATE TABLE f ();\n  SELECT 'ä', titel FROM note;\n\
         CREATE TABLE g ();\n",
    );
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let created = tenancy.create(NewTenant::new("acme").domain(domain("acme.test"))).await;
    let error = check_error(
        created,
        ErrorKind::Migration,
        &[
            "0002_seven.sql:8:15:",
            "column \"titel\" does not exist",
            "in `SELECT 'ä', titel FROM note`",
            "tenant `acme`",
            "note.title",
        ],
    );
    assert_eq!(error.tenant(), Some(&slug("acme")));
    assert_eq!(error.database_code().as_deref(), Some("42703"));
    assert!(error.hint().unwrap().contains("note.title"), "PostgreSQL's own hint: {error:?}");

    let mut client = Client::owner(&database).await;
    assert_eq!(client.traces("acme").await, NOTHING);
    assert_eq!(client.count("tenantry.domain").await, 0);

    // Once the file is cured, nothing is in the way.
    folder.write("tenant/0002_seven.sql", "CREATE TABLE a ()");
    let cured = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    cured.create(NewTenant::new("acme").domain(domain("acme.test"))).await.unwrap();
}

#[tokio::test]
async fn an_error_without_position_names_the_line_of_its_statement() {
    let database = database().await;
    let tenancy =
        tenancy(&database, &[&format!("{NOTE};\n\nSELECT 1;\nINSERT INTO note (title)\nVALUES (NULL)")])
            .await;
    let created = tenancy.create(NewTenant::new("acme")).await;
    check_error(
        created,
        ErrorKind::Migration,
        &["0001_step.sql:5:", "null value in column \"title\"", "tenant `acme`", "Failing row contains"],
    );
}

#[tokio::test]
async fn an_error_at_commit_leaves_nothing() {
    let database = database().await;
    let deferred = "CREATE TABLE a (id int PRIMARY KEY);
                    CREATE TABLE b (a_id int REFERENCES a DEFERRABLE INITIALLY DEFERRED);
                    INSERT INTO b VALUES (1)";
    let tenancy = tenancy(&database, &[deferred]).await;
    let created = tenancy.create(NewTenant::new("acme")).await;
    let error = created.unwrap_err();
    assert_eq!(error.database_code().as_deref(), Some("23503"), "{error:?}");
    assert_eq!(error.tenant(), Some(&slug("acme")), "{error:?}");
    assert_eq!(Client::owner(&database).await.traces("acme").await, NOTHING);
}

#[tokio::test]
async fn what_a_file_sets_for_the_session_ends_with_the_file() {
    let database = database().await;
    let tenancy = tenancy(
        &database,
        &[
            "SET statement_timeout = '9min'; SET LOCAL work_mem = '1MB'; SET default_transaction_read_only = on",
            "CREATE TABLE seen AS SELECT current_setting('statement_timeout') AS timeout,
                 current_setting('work_mem') AS memory, current_setting('search_path') AS path",
            "SET statement_timeout = '9min'; SET default_transaction_read_only = on",
        ],
    )
    .await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    let memory: String = client.value("SELECT current_setting('work_mem')").await;
    let seen: Vec<(String, String, String)> = client.rows(&format!("TABLE {}", table(&acme, "seen"))).await;
    let path = format!("{}, tenantry_void, extensions, pg_temp", acme.schema());
    assert_eq!(seen, [("0".to_owned(), memory, path)]);
}

#[tokio::test]
async fn a_slug_is_made_once() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    for slug in ["acme", "ACME"] {
        let again = tenancy.create(NewTenant::new(slug)).await;
        let error = check_error(again, ErrorKind::AlreadyExists, &["`acme` already exists and is active"]);
        assert_eq!(error.tenant(), Some(acme.slug()));
    }
    assert_eq!(Client::owner(&database).await.traces("acme").await, ONE_TENANT);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_processes_that_make_one_slug_one_wins() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let mut creations = JoinSet::new();
    for _ in 0..10 {
        let tenancy = tenancy.clone();
        creations.spawn(async move { tenancy.create(NewTenant::new("acme")).await });
    }
    let results = creations.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict), "{error:?}");
    }
    assert_eq!(Client::owner(&database).await.traces("acme").await, ONE_TENANT);
}

#[tokio::test(flavor = "multi_thread")]
async fn different_slugs_are_made_at_the_same_time() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let mut creations = JoinSet::new();
    for number in 0..20 {
        let tenancy = tenancy.clone();
        creations.spawn(async move { tenancy.create(NewTenant::new(format!("tenant-{number}"))).await });
    }
    for created in creations.join_all().await {
        let tenant = created.unwrap();
        let titles: Vec<String> = sqlx::query_scalar("SELECT title FROM note")
            .fetch_all(&tenancy.db(&tenant).unwrap())
            .await
            .unwrap();
        assert_eq!(titles, ["welcome"], "{tenant:?}");
    }
}

async fn check_refused(tenancy: &Tenancy, slug: &str, says: &str) {
    let error = check_error(tenancy.create(NewTenant::new(slug)).await, ErrorKind::InvalidInput, &[says]);
    assert!(error.to_string().len() < 300, "the whole hostile text is in the message");
    assert!(error.hint().is_some(), "{error:?}");
}

#[tokio::test]
async fn hostile_slugs_are_refused_before_anything_happens() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    check_refused(&tenancy, "z'; drop schema public;--", "only letters a-z, digits and -").await;
    check_refused(&tenancy, &"x".repeat(10_000), "10000 bytes long").await;
    check_refused(&tenancy, &"é".repeat(10_000), "20000 bytes long").await;
    check_refused(&tenancy, "", "empty").await;
    check_refused(&tenancy, "café", "'é' at byte 3").await;
    check_refused(&tenancy, "a\0b", "at byte 1").await;
    check_refused(&tenancy, "a\u{202e}b", "at byte 1").await;
    check_refused(&tenancy, "-acme", "hyphen at byte 0").await;
    check_refused(&tenancy, "www", "reserved").await;
    check_refused(&tenancy, "WWW", "reserved").await;
    check_refused(&tenancy, "xn--80ak6aa92e", "xn--").await;
    let mut client = Client::owner(&database).await;
    assert_eq!(client.count("tenantry.tenant").await, 0);
    assert_eq!(client.count("pg_namespace WHERE nspname LIKE 't\\_%'").await, 0);
}

#[tokio::test]
async fn which_slugs_are_reserved_can_be_chosen() {
    let database = database().await;
    let tenancy =
        builder(&database).reserved_slugs(ReservedSlugs::from_iter([slug("acme")])).connect().await.unwrap();
    check_refused(&tenancy, "acme", "`acme` is reserved").await;
    tenancy.create(NewTenant::new("www")).await.unwrap();
}

#[tokio::test]
async fn slugs_of_all_shapes_get_schemas_of_their_own() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    for slug in ["1", "a--b", "a-b", "select", "nulls", &"a".repeat(63), &format!("{}b", "a".repeat(62))] {
        let tenant = tenancy.create(NewTenant::new(slug)).await.unwrap();
        let answer: String = sqlx::query_scalar("SELECT current_schema()::text")
            .fetch_one(&tenancy.db(&tenant).unwrap())
            .await
            .unwrap();
        assert_eq!(answer, tenant.schema().as_str());
    }
}

#[tokio::test]
async fn settings_come_back_as_they_went_in() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let awkward = json!({
        "quotes": "it's \"quoted\" \\ $$ -- ; /*",
        "unicode": "Größe 🦀 \u{202e}",
        "escaped": r"\u0000 is only text here",
        "nested": { "list": [1, 2.5, null, true, "\n\t"] },
        "large": "x".repeat(100_000),
    });
    let mut new = NewTenant::new("acme");
    for (key, value) in awkward.as_object().unwrap() {
        new = new.setting(key, value.clone());
    }
    let acme = tenancy.create(new).await.unwrap();
    assert_eq!(acme.settings(), &awkward);
    assert_eq!(tenancy.tenant("acme").await.unwrap().settings(), &awkward);
}

#[tokio::test]
async fn a_nul_in_the_settings_is_refused() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let named = tenancy.create(NewTenant::new("acme").name("a\0b")).await;
    check_error(named, ErrorKind::InvalidInput, &["name has '\\0' at byte 1"]);
    for new in [
        NewTenant::new("acme").setting("a\0b", 1),
        NewTenant::new("acme").setting("deep", json!([{ "a\0": [] }])),
        NewTenant::new("acme").setting("deep", json!([[{ "a": ["\0"] }]])),
        NewTenant::new("acme").setting("both", r"\u0000").setting("deep", json!(["\\\0"])),
    ] {
        check_error(tenancy.create(new).await, ErrorKind::InvalidInput, &["NUL"]);
    }
    assert_eq!(Client::owner(&database).await.traces("acme").await, NOTHING);
}

#[tokio::test]
async fn a_taken_domain_leaves_nothing_behind() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    tenancy.create(NewTenant::new("acme").domain(domain("notes.test"))).await.unwrap();
    let taken = NewTenant::new("globex").domain(domain("globex.test")).domain(domain("notes.test"));
    check_error(tenancy.create(taken).await, ErrorKind::AlreadyExists, &["`notes.test` already belongs"]);
    let mut client = Client::owner(&database).await;
    assert_eq!(client.traces("globex").await, NOTHING);
    assert_eq!(client.count("tenantry.domain").await, 1);
    check_error(tenancy.find(&by_domain("globex.test")).await, ErrorKind::UnknownTenant, &[]);
}

#[tokio::test]
async fn an_address_is_no_domain() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    for address in ["192.0.2.1", "2001:db8::1"] {
        let Ok(address) = tenantry::tenant::DomainName::from_host(address) else { continue };
        let new = NewTenant::new("globex").domain(address.clone());
        check_error(tenancy.create(new).await, ErrorKind::InvalidInput, &["is an address"]);
        let added = tenancy.add_domain(&acme, &address).await;
        check_error(added, ErrorKind::InvalidInput, &["is an address"]);
    }
    assert_eq!(Client::owner(&database).await.traces("globex").await, NOTHING);
}

#[tokio::test]
async fn a_database_nobody_configured_is_named_with_the_known_ones() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let created = tenancy.create(NewTenant::new("acme").database(Alias::parse("eu").unwrap())).await;
    check_error(
        created,
        ErrorKind::Configuration,
        &["no database is named `eu`", "the known ones are: default"],
    );
    assert_eq!(Client::owner(&database).await.traces("acme").await, NOTHING);
}

#[tokio::test]
async fn unqualified_names_of_a_file_never_reach_another_schema() {
    let database = database().await;
    let mut client = Client::owner(&database).await;
    client.run("CREATE TABLE public.shared (id int)").await;
    let tenancy = tenancy(&database, &["INSERT INTO shared VALUES (1)"]).await;
    let created = tenancy.create(NewTenant::new("acme")).await;
    check_error(created, ErrorKind::Migration, &["0001_step.sql:1:13", "relation \"shared\" does not exist"]);
    assert_eq!(client.count("public.shared").await, 0);
}

/// A file that changes a row of a catalog which all tenants share.
const GRANT: &str = "-- lint: allow outside-name\nGRANT SELECT ON public.plan TO PUBLIC";

/// Changes that row, works, and commits when the work waits for that.
async fn beside<T>(database: &ScratchDatabase, work: impl Future<Output = T>) -> T {
    let mut other = Client::owner(database).await;
    other.run("BEGIN; GRANT INSERT ON public.plan TO PUBLIC").await;
    let commit = async {
        let mut client = Client::owner(database).await;
        let waits = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("it waits", async || client.count(waits).await == 1).await;
        other.run("COMMIT").await;
    };
    tokio::join!(work, commit).0
}

#[tokio::test]
async fn others_who_change_the_same_row_of_a_catalog_do_not_fail_it() {
    let database = database().await;
    Client::owner(&database).await.run("CREATE TABLE public.plan ()").await;
    let at_once = tenancy(&database, &[NOTE, GRANT]).await;
    assert_eq!(
        beside(&database, at_once.create(NewTenant::new("acme"))).await.unwrap().status(),
        Status::Active
    );
    assert_eq!(beside(&database, at_once.fill_spares(1)).await.unwrap().made, 1);

    let files = [NOTE, GRANT, "-- no-transaction\nCREATE INDEX CONCURRENTLY note_title ON note (title)"];
    let stepwise = tenancy(&database, &files).await;
    let globex = beside(&database, stepwise.create(NewTenant::new("globex"))).await.unwrap();
    assert_eq!((globex.status(), globex.last_error()), (Status::Active, None));
}

#[tokio::test]
async fn others_who_change_the_same_row_of_a_catalog_do_not_fail_the_master_schema() {
    let database = database().await;
    Client::owner(&database).await.run("CREATE TABLE public.plan ()").await;
    let folder = Folder::new();
    folder.write("master/0001_grant.sql", "GRANT SELECT ON public.plan TO PUBLIC");
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let migrate = Box::pin(tenancy.migrate(Fleet::all(), unobserved));
    let summary = beside(&database, migrate).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 0));
}

/// Sessions in which somebody forgot to end a transaction.
const IDLE: &str =
    "pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_future_at_any_moment_leaves_a_whole_tenant_or_nothing() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE, "CREATE INDEX note_title ON note (title)"]).await;
    let start = std::time::Instant::now();
    tenancy.create(NewTenant::new("whole")).await.unwrap();
    let usual = start.elapsed();

    let mut client = Client::superuser(&database).await;
    let mut whole = 0;
    for number in 0..40 {
        let slug = format!("tenant-{number}");
        let limit = random_up_to(usual * 5 / 4);
        let _ = tokio::time::timeout(limit, tenancy.create(NewTenant::new(slug.as_str()))).await;
        eventually("nobody works on it any more", async || {
            client
                .count(
                    "pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                          AND pid <> pg_backend_pid()",
                )
                .await
                == 0
        })
        .await;
        let traces = client.traces(&slug).await;
        assert!(traces == NOTHING || traces == ONE_TENANT, "{slug} after {limit:?}: {traces:?}");
        whole += i32::from(traces == ONE_TENANT);
        // What a user does next.
        match tenancy.create(NewTenant::new(slug.as_str())).await {
            Ok(_) => assert_eq!(traces, NOTHING),
            Err(error) => {
                // The commit may have been on its way when we looked.
                assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
                assert_eq!(client.traces(&slug).await, ONE_TENANT);
            }
        }
    }
    assert!(whole < 40, "no creation was interrupted, so nothing was tested");
    eventually("no transaction stays open", async || client.count(IDLE).await == 0).await;
}

#[tokio::test]
async fn a_tenant_in_another_database_is_made_served_and_migrated_there() {
    let (main, eu) = (database().await, database().await);
    let folder = Folder::of(&[NOTE]);
    let open = async || {
        builder(&main)
            .database_as(Alias::parse("eu").unwrap(), config(&eu))
            .migrations(folder.migrations())
            .connect()
            .await
            .unwrap()
    };
    let tenancy = open().await;
    let new = NewTenant::new("acme").database(Alias::parse("eu").unwrap()).domain(domain("acme.test"));
    let acme = tenancy.create(new).await.unwrap();
    assert_eq!(acme.database().as_str(), "eu");
    assert_eq!(acme.status(), Status::Active);

    let (mut at_main, mut at_eu) = (Client::owner(&main).await, Client::owner(&eu).await);
    assert_eq!(at_main.traces("acme").await, Traces { tenants: 1, ..NOTHING });
    assert_eq!(at_eu.count("tenantry.applied").await, 1);
    let exists: bool = at_eu.value("SELECT to_regclass('tenantry.tenant') IS NOT NULL").await;
    assert!(!exists, "there is one list of tenants");

    folder.write("tenant/0002_body.sql", "ALTER TABLE note ADD COLUMN body text DEFAULT 'none'");
    let tenancy = open().await;
    let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 0));
    let acme = tenancy.find(&by_domain("acme.test")).await.unwrap();
    assert_eq!(acme.digest(), Some(&tenancy.migrations().tenant().digest()));
    let body: String =
        sqlx::query_scalar("SELECT body FROM note").fetch_one(&tenancy.db(&acme).unwrap()).await.unwrap();
    assert_eq!(body, "none");
    assert_eq!(ledger(&mut at_eu, &acme).await, [(1, true), (2, true)]);
}

#[tokio::test]
async fn a_file_that_fails_in_another_database_can_be_cured_or_given_up() {
    let (main, eu) = (database().await, database().await);
    let folder = Folder::of(&["SELECT broken"]);
    let open = async || {
        builder(&main)
            .database_as(Alias::parse("eu").unwrap(), config(&eu))
            .migrations(folder.migrations())
            .connect()
            .await
            .unwrap()
    };
    let new = |slug: &str| NewTenant::new(slug).database(Alias::parse("eu").unwrap());
    let tenancy = open().await;
    for slug in ["acme", "globex"] {
        check_error(tenancy.create(new(slug)).await, ErrorKind::Migration, &["0001_step.sql:1:8"]);
        let half = tenancy.tenant(slug).await.unwrap();
        assert_eq!(half.status(), Status::Provisioning);
        assert!(half.last_error().unwrap().contains("0001_step.sql:1:8"), "{half:?}");
        check_error(tenancy.db(&half), ErrorKind::TenantUnavailable, &["provisioning"]);
    }
    tenancy.abort_creation("globex").await.unwrap();
    folder.write("tenant/0001_step.sql", NOTE);
    let acme = open().await.create(new("acme")).await.unwrap();
    assert_eq!((acme.status(), acme.last_error()), (Status::Active, None));

    let mut at_eu = Client::owner(&eu).await;
    assert_eq!(at_eu.count("tenantry.applied").await, 1, "only acme");
    assert_eq!(at_eu.count("pg_namespace WHERE nspname LIKE 't\\_%'").await, 1, "only acme");
    assert_eq!(Client::owner(&main).await.count("tenantry.tenant").await, 1, "only acme");
}
