//! Bringing the master schema and every tenant up to date.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use tenantry::migrate::MigrateOptions;
use tenantry::observe::{Observer, Outcome};
use tenantry::tenant::{Alias, Status, Tenant};
use tenantry::{ErrorKind, Fleet, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::{
    Client, Folder, builder, check_error, config, database, eventually, ledger, report, slug, table, tenancy,
    unobserved,
};

const NOTE: &str = "CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text)";

async fn open(database: &ScratchDatabase, folder: &Folder) -> Tenancy {
    builder(database).migrations(folder.migrations()).connect().await.unwrap()
}

/// Writes down what it is told: who, which versions, what went wrong.
#[derive(Debug, Default)]
struct Diary(Mutex<Vec<Entry>>);

type Entry = (String, Vec<i64>, Option<String>);

impl Observer for &Diary {
    fn finished(&self, outcome: &Outcome<'_>) {
        let who = outcome.tenant.map_or("master", |tenant| tenant.slug().as_str());
        self.0.lock().unwrap().push((who.to_owned(), outcome.applied.to_vec(), outcome.error.map(report)));
    }
}

impl Diary {
    fn applied(self) -> Vec<(String, Vec<i64>)> {
        let entries = self.0.into_inner().unwrap();
        entries
            .into_iter()
            .map(|(who, applied, error)| {
                assert_eq!(error, None, "{who}");
                (who, applied)
            })
            .collect()
    }
}

async fn check_migrated(tenancy: &Tenancy, expect: &[(&str, &[i64])]) {
    let diary = Diary::default();
    let summary = tenancy.migrate(Fleet::all(), &diary).await.unwrap();
    let expect: Vec<_> = expect.iter().map(|(who, applied)| ((*who).to_owned(), applied.to_vec())).collect();
    let migrated = expect.iter().filter(|(_, applied)| !applied.is_empty()).count();
    let mut told = diary.applied();
    assert_eq!(told[0], expect[0], "the master schema comes first");
    // Several tenants are migrated at a time.
    told[1..].sort();
    assert_eq!(told, expect);
    assert_eq!((summary.migrated, summary.up_to_date), (migrated, expect.len() - migrated));
    assert_eq!(summary.failed, 0);
}

/// The outcome for the one tenant that is migrated.
async fn migrate_one(tenancy: &Tenancy, name: &str) -> Result<Vec<i64>, String> {
    let diary = Diary::default();
    tenancy.migrate(Fleet::only([slug(name)]), &diary).await.unwrap();
    let (who, applied, error) = diary.0.into_inner().unwrap().remove(0);
    assert_eq!(who, name);
    error.map_or(Ok(applied), Err)
}

#[track_caller]
fn check_failed(result: Result<Vec<i64>, String>, says: &[&str]) {
    let text = result.expect_err("this does not go through");
    for words in says {
        assert!(text.contains(words), "it does not say {words:?}:\n{text}");
    }
}

#[tokio::test]
async fn what_is_pending_is_applied_once_in_order_and_the_master_comes_first() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    folder.write("master/0001_plan.sql", "CREATE TABLE plan (id int PRIMARY KEY)");
    let tenancy = open(&database, &folder).await;
    for slug in ["globex", "acme"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    check_migrated(&tenancy, &[("master", &[1]), ("acme", &[]), ("globex", &[])]).await;

    folder.write("tenant/0010_body.sql", "ALTER TABLE note ADD COLUMN body text");
    folder.write("tenant/0002_tag.sql", "CREATE TABLE tag (name text)");
    // Tenants may refer to what the master's migration of the same release makes.
    folder.write("master/0002_price.sql", "CREATE TABLE price (id int PRIMARY KEY)");
    folder.write("tenant/0003_price.sql", "ALTER TABLE note ADD COLUMN price int REFERENCES public.price");
    let tenancy = open(&database, &folder).await;
    check_migrated(&tenancy, &[("master", &[2]), ("acme", &[2, 3, 10]), ("globex", &[2, 3, 10])]).await;
    check_migrated(&tenancy, &[("master", &[]), ("acme", &[]), ("globex", &[])]).await;

    let mut client = Client::owner(&database).await;
    let acme = tenancy.tenant("acme").await.unwrap();
    assert_eq!(ledger(&mut client, &acme).await, [(1, true), (2, true), (3, true), (10, true)]);
    assert_eq!(client.count("public._sqlx_migrations").await, 2);
    // The tenant that is created now starts where the others are.
    let initech = tenancy.create(NewTenant::new("initech")).await.unwrap();
    assert_eq!(initech.digest(), acme.digest());
}

#[tokio::test]
async fn every_tenant_is_reached_whatever_the_size_of_a_page() {
    let database = database().await;
    let folder = Folder::new();
    let tenancy = open(&database, &folder).await;
    let mut client = Client::owner(&database).await;
    // Faster than creating them one by one.
    client
        .run(
            "DO $$ BEGIN FOR n IN 1..1203 LOOP
                  EXECUTE format('CREATE SCHEMA s%s', n);
                  INSERT INTO tenantry.tenant (id, slug, schema_name, status)
                  VALUES (gen_random_uuid(), 'tenant-' || n, 's' || n, 'active');
              END LOOP; END $$",
        )
        .await;
    drop(tenancy);
    folder.write("tenant/0001_step.sql", "SELECT 1");
    let tenancy = open(&database, &folder).await;
    let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (1203, 0));
    assert_eq!(client.count("tenantry.applied WHERE version = 1").await, 1203);
}

#[tokio::test]
async fn who_is_suspended_is_migrated_and_who_is_half_made_or_deleted_is_not() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = open(&database, &folder).await;
    // A run waits for a tenant that is moving, which `relocate` tests.
    for status in Status::ALL.into_iter().filter(|status| *status != Status::Moving) {
        tenancy.create(NewTenant::new(status.as_str())).await.unwrap();
    }
    Client::owner(&database).await.run("UPDATE tenantry.tenant SET status = slug").await;
    folder.write("tenant/0002_tag.sql", "CREATE TABLE tag (name text)");
    let tenancy = open(&database, &folder).await;
    check_migrated(&tenancy, &[("master", &[]), ("active", &[2]), ("suspended", &[2])]).await;
}

#[tokio::test]
async fn only_the_named_tenants_are_migrated() {
    let database = database().await;
    let folder = Folder::new();
    let tenancy = open(&database, &folder).await;
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    folder.write("master/0001_plan.sql", "CREATE TABLE plan (id int)");
    folder.write("tenant/0001_note.sql", NOTE);
    let tenancy = open(&database, &folder).await;
    assert_eq!(migrate_one(&tenancy, "globex").await, Ok(vec![1]));
    check_migrated(&tenancy, &[("master", &[1]), ("acme", &[1]), ("globex", &[])]).await;
}

#[tokio::test]
async fn a_changed_file_is_refused_and_named() {
    let database = database().await;
    let folder = Folder::of(&[NOTE, "CREATE TABLE tag (name text)"]);
    open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    folder.write("tenant/0001_step.sql", "CREATE TABLE note ()");
    folder.write("tenant/0003_more.sql", "CREATE TABLE more ()");
    let tenancy = open(&database, &folder).await;
    let says =
        ["tenant/0001_step.sql` was changed after", "tenant `acme`", "restore the file", "--mark-applied 1"];
    check_error(tenancy.migrate(Fleet::all(), unobserved).await, ErrorKind::Migration, &says);
    let acme = tenancy.tenant("acme").await.unwrap();
    let applied = ledger(&mut Client::owner(&database).await, &acme).await;
    assert_eq!(applied, [(1, true), (2, true)], "nothing after the contradiction is applied");

    folder.write("tenant/0001_step.sql", NOTE);
    let tenancy = open(&database, &folder).await;
    assert_eq!(migrate_one(&tenancy, "acme").await, Ok(vec![3]));
    assert_eq!(tenancy.tenant("acme").await.unwrap().last_error(), None);
}

#[tokio::test]
async fn a_missing_file_is_refused_and_named() {
    let database = database().await;
    let folder = Folder::of(&[NOTE, "CREATE TABLE tag (name text)"]);
    open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    folder.remove("tenant/0002_step.sql");
    let tenancy = open(&database, &folder).await;
    let says =
        ["version 2 was applied, but there is no file", "tenant `acme`", "deploy the release that has it"];
    check_failed(migrate_one(&tenancy, "acme").await, &says);
}

#[tokio::test]
async fn a_file_that_comes_late_is_told_and_applied_when_that_is_allowed() {
    let database = database().await;
    let folder = Folder::new();
    folder.write("tenant/0001_note.sql", NOTE);
    let tenancy = open(&database, &folder).await;
    for slug in ["behind", "acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    folder.write("tenant/0003_tag.sql", "CREATE TABLE tag (name text)");
    let ahead = Fleet::only([slug("acme"), slug("globex")]);
    open(&database, &folder).await.migrate(ahead, unobserved).await.unwrap();

    folder.write("tenant/0002_body.sql", "ALTER TABLE note ADD COLUMN body text");
    let tenancy = open(&database, &folder).await;
    let says =
        ["0002_body.sql` comes too late: version 3 is applied already", "2 tenants, the first is `acme`"];
    check_error(tenancy.migrate(Fleet::all(), unobserved).await, ErrorKind::Migration, &says);
    check_error(tenancy.preview(Fleet::all(), |_| ()).await, ErrorKind::Migration, &says);
    let mut client = Client::owner(&database).await;
    let behind = tenancy.tenant("behind").await.unwrap();
    assert_eq!(ledger(&mut client, &behind).await, [(1, true)], "nobody was touched");
    // To whom it does not come late, it is a file like any other.
    assert_eq!(migrate_one(&tenancy, "behind").await, Ok(vec![2, 3]));
    let options = MigrateOptions { allow_out_of_order: true, ..Fleet::all().into() };
    assert_eq!(tenancy.migrate(options, unobserved).await.unwrap().migrated, 2);
    assert_eq!(migrate_one(&tenancy, "acme").await, Ok(vec![]));
    let acme = tenancy.tenant("acme").await.unwrap();
    assert_eq!(acme.digest(), Some(&tenancy.migrations().tenant().digest()));
}

#[tokio::test]
async fn a_tenant_that_fails_does_not_stop_the_others() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = open(&database, &folder).await;
    for slug in ["acme", "bravo", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    let bravo = tenancy.tenant("bravo").await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run(&format!("INSERT INTO {} (title) VALUES (NULL)", table(&bravo, "note"))).await;
    folder.write("tenant/0002_more.sql", "CREATE TABLE more ();\nALTER TABLE note ALTER title SET NOT NULL;");
    folder.write("tenant/0003_last.sql", "CREATE TABLE last ()");
    let tenancy = open(&database, &folder).await;
    for _ in 0..2 {
        let diary = Diary::default();
        let summary = tenancy.migrate(Fleet::all(), &diary).await.unwrap();
        assert_eq!(summary.failed, 1);
        assert_eq!(summary.migrated + summary.up_to_date, 3);
        let errors: Vec<_> = diary
            .0
            .into_inner()
            .unwrap()
            .into_iter()
            .filter_map(|(who, _, error)| Some((who, error?)))
            .collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].0, "bravo");
        check_failed(
            Err(errors[0].1.clone()),
            &[
                "0002_more.sql:2:",
                "column \"title\" of relation \"note\" contains null values",
                "tenant `bravo`",
            ],
        );
        let bravo = tenancy.tenant("bravo").await.unwrap();
        assert!(bravo.last_error().unwrap().contains("0002_more.sql:2"), "{bravo:?}");
        assert_eq!(bravo.status(), Status::Active, "an error is no status");
        assert_eq!(ledger(&mut client, &bravo).await, [(1, true)], "both files were rolled back");
        let db = tenancy.db(&bravo).unwrap();
        let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&db).await.unwrap();
        assert_eq!(notes, 1, "it goes on being served");
    }
    client.run(&format!("UPDATE {} SET title = ''", table(&bravo, "note"))).await;
    let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 0));
    assert_eq!(tenancy.tenant("bravo").await.unwrap().last_error(), None);
}

#[tokio::test]
async fn a_tenant_whose_schema_is_gone_fails_alone_and_is_not_made_again() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = open(&database, &folder).await;
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    let acme = tenancy.tenant("acme").await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run(&format!("DROP SCHEMA \"{}\" CASCADE", acme.schema())).await;
    folder.write("tenant/0002_tag.sql", "CREATE TABLE IF NOT EXISTS tag (name text)");
    let tenancy = open(&database, &folder).await;
    check_failed(
        migrate_one(&tenancy, "acme").await,
        &[acme.schema().as_str(), "does not exist", "tenant `acme`"],
    );
    assert_eq!(migrate_one(&tenancy, "globex").await, Ok(vec![2]));
    let exists = format!("pg_namespace WHERE nspname = '{}'", acme.schema());
    assert_eq!(client.count(&exists).await, 0);
    assert_eq!(client.count("pg_tables WHERE tablename = 'tag'").await, 1, "only where it belongs");
}

#[tokio::test]
async fn a_value_of_a_megabyte_is_not_repeated_in_the_error_and_in_the_record() {
    let database = database().await;
    let folder = Folder::of(&["CREATE TABLE number (value int)"]);
    open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    let insert = format!("INSERT INTO number VALUES ('{}')", "x".repeat(1_000_000));
    folder.write("tenant/0002_number.sql", &insert);
    let tenancy = open(&database, &folder).await;
    let told = migrate_one(&tenancy, "acme").await.unwrap_err();
    assert!(told.contains("0002_number.sql:1") && told.contains("invalid input syntax for type integer"));
    let run = tenancy.runs(1).await.unwrap().remove(0);
    for entry in tenancy.run_entries_after(&run, None, 10).await.unwrap() {
        assert!(entry.error.is_none_or(|error| error.len() < 2_000));
    }
    assert!(tenancy.tenant("acme").await.unwrap().last_error().unwrap().len() < 2_000);
}

#[tokio::test]
async fn a_failing_master_stops_everything() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    folder.write("master/0001_plan.sql", "CREATE TABLE plan ();\nSELECT broken");
    folder.write("tenant/0002_tag.sql", "CREATE TABLE tag (name text)");
    let tenancy = open(&database, &folder).await;
    let migrated = tenancy.migrate(Fleet::all(), unobserved).await;
    let says = ["master/0001_plan.sql:2:8", "column \"broken\" does not exist", "master schema `public`"];
    check_error(migrated, ErrorKind::Migration, &says);
    let mut client = Client::owner(&database).await;
    assert_eq!(client.count("pg_tables WHERE tablename IN ('plan', 'tag')").await, 0);
}

#[tokio::test]
async fn files_that_cannot_share_a_transaction_get_their_own() {
    let database = database().await;
    // Created before, so that there is a batch to fall back from.
    let folder = Folder::new();
    open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    folder.write("tenant/0001_type.sql", "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE person (mood mood)");
    folder.write("tenant/0002_value.sql", "ALTER TYPE mood ADD VALUE 'happy'");
    folder.write("tenant/0003_use.sql", "INSERT INTO person VALUES ('happy')");
    // 55006: the rows have checks that are still to be done when the table is altered.
    folder.write(
        "tenant/0004_deferred.sql",
        "CREATE TABLE a (id int PRIMARY KEY);
         CREATE TABLE b (a_id int REFERENCES a DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO b VALUES (1); INSERT INTO a VALUES (1)",
    );
    folder.write("tenant/0005_alter.sql", "ALTER TABLE b ADD COLUMN more text");
    let tenancy = open(&database, &folder).await;
    assert_eq!(migrate_one(&tenancy, "acme").await, Ok(vec![1, 2, 3, 4, 5]));
    assert_eq!(migrate_one(&tenancy, "acme").await, Ok(vec![]));
    let acme = tenancy.tenant("acme").await.unwrap();
    assert_eq!(acme.digest(), Some(&tenancy.migrations().tenant().digest()));
    assert!(acme.owns_types());
    let times = format!("{} WHERE execution_time <= 0", table(&acme, "_sqlx_migrations"));
    assert_eq!(Client::owner(&database).await.count(&times).await, 0);
}

#[tokio::test]
async fn a_file_that_fails_after_a_fallback_keeps_what_came_before() {
    let database = database().await;
    let folder = Folder::new();
    // The type is there before: a new value of a type of the same transaction may be used from 17 on.
    folder.write("tenant/0001_type.sql", "CREATE TYPE mood AS ENUM ('sad')");
    open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    folder.write("tenant/0002_value.sql", "ALTER TYPE mood ADD VALUE 'happy'");
    folder.write("tenant/0003_use.sql", "CREATE TABLE person AS SELECT 'happy'::mood AS mood");
    folder.write("tenant/0004_broken.sql", "SELECT broken");
    let tenancy = open(&database, &folder).await;
    check_failed(migrate_one(&tenancy, "acme").await, &["0004_broken.sql:1:8", "tenant `acme`"]);
    let acme = tenancy.tenant("acme").await.unwrap();
    let mut client = Client::owner(&database).await;
    assert_eq!(ledger(&mut client, &acme).await, [(1, true), (2, true), (3, true)]);
    // The summary tells the same as the ledger.
    let version: i64 = client.value("SELECT version FROM tenantry.applied WHERE version IS NOT NULL").await;
    assert_eq!(version, 3);
    folder.write("tenant/0004_broken.sql", "SELECT 1");
    assert_eq!(migrate_one(&open(&database, &folder).await, "acme").await, Ok(vec![4]));
}

#[tokio::test]
async fn a_file_may_hold_whatever_postgresql_reads() {
    let database = database().await;
    let folder = Folder::new();
    open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    folder.write(
        "tenant/0001_everything.sql",
        r#"-- begin; 'unfinished
           /* nested /* comment; */ still */
           CREATE TABLE "odd;name" (";" text DEFAULT 'it''s; fine', e text DEFAULT E'\';');
           CREATE FUNCTION plus(a int, b int) RETURNS int LANGUAGE plpgsql AS $body$
           BEGIN
               -- COMMIT; inside a body is text
               RETURN a + b; END
           $body$;
           CREATE FUNCTION atomic(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a + 1; SELECT a + 2; END;
           DO $$ BEGIN PERFORM 1; EXECUTE 'CREATE TABLE made (id int)'; END $$;
           INSERT INTO "odd;name" DEFAULT VALUES;;
           CREATE TABLE result AS SELECT plus(1, 2) AS three, atomic(1) AS also_three, $q$;$q$ AS semicolon
           -- no semicolon at the end"#,
    );
    folder.write("tenant/0002_empty.sql", "");
    folder.write("tenant/0003_comment.sql", "-- nothing to do");
    folder.write("tenant/0004_windows.sql", "CREATE TABLE w (id int);\r\nINSERT INTO w VALUES (1);\r\n");
    let tenancy = open(&database, &folder).await;
    assert_eq!(migrate_one(&tenancy, "acme").await, Ok(vec![1, 2, 3, 4]));
    let acme = tenancy.tenant("acme").await.unwrap();
    let mut client = Client::owner(&database).await;
    let result: Vec<(i32, i32, String)> = client.rows(&format!("TABLE {}", table(&acme, "result"))).await;
    assert_eq!(result, [(3, 3, ";".to_owned())]);
    assert_eq!(client.count(&table(&acme, "odd;name")).await, 1);
    assert_eq!(client.count(&table(&acme, "made")).await, 0);
    // A new tenant gets the same in one piece.
    tenancy.create(NewTenant::new("globex")).await.unwrap();
}

#[tokio::test]
async fn what_a_file_sets_reaches_neither_the_next_file_nor_the_next_tenant() {
    let database = database().await;
    let folder = Folder::new();
    let tenancy = open(&database, &folder).await;
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    let look = "CREATE TABLE {} AS SELECT concat_ws(' ', current_setting('statement_timeout'), \
                current_setting('work_mem'), coalesce(current_setting('app.mark', true), '')) AS settings";
    let set = "SET statement_timeout = '9min'; SET SESSION work_mem = '64kB'; \
               SELECT set_config('app.mark', 'left', false)";
    folder.write("tenant/0001_look.sql", &look.replace("{}", "before"));
    folder.write("tenant/0002_set.sql", set);
    folder.write("tenant/0003_look.sql", &look.replace("{}", "next_file"));
    folder.write("tenant/0004_vacuum.sql", "-- no-transaction\nSET statement_timeout = '9min'");
    folder.write("tenant/0005_look.sql", &look.replace("{}", "after"));
    folder.write("tenant/0006_set.sql", set);
    let tenancy = open(&database, &folder).await;
    let applied: &[i64] = &[1, 2, 3, 4, 5, 6];
    check_migrated(&tenancy, &[("master", &[]), ("acme", applied), ("globex", applied)]).await;

    let mut client = Client::owner(&database).await;
    let memory: String = client.value("SELECT current_setting('work_mem')").await;
    for slug in ["acme", "globex"] {
        let tenant = tenancy.tenant(slug).await.unwrap();
        for seen in ["before", "next_file", "after"] {
            // An unset variable is null before anybody set it, and empty afterwards.
            let settings: Option<String> =
                client.value(&format!("SELECT settings FROM {}", table(&tenant, seen))).await;
            let settings = settings.unwrap_or_else(|| format!("10min {memory} "));
            assert_eq!(settings, format!("10min {memory} "), "{slug}, {seen}");
        }
    }
}

#[tokio::test]
async fn what_every_session_begins_with_outlasts_a_file() {
    let seen = "SELECT concat_ws(' ', current_setting('client_connection_check_interval'), current_setting('TimeZone'),
                current_setting('standard_conforming_strings')) AS it";
    let (database, folder) = (database().await, Folder::of(&["CREATE TABLE note ()"]));
    folder.write("tenant/0002_seen.sql", &format!("CREATE TABLE seen AS {seen}"));
    let tenancy = open(&database, &folder).await;
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    folder.write("tenant/0003_seen.sql", &format!("INSERT INTO seen {seen}"));
    let tenancy = open(&database, &folder).await;
    let options = MigrateOptions { jobs: NonZeroU32::MIN, ..MigrateOptions::default() };
    tenancy.migrate(options, unobserved).await.unwrap();
    let mut client = Client::owner(&database).await;
    for tenant in tenancy.tenants_after("", 10).await.unwrap() {
        let all: Vec<(String,)> = client.rows(&format!("SELECT it FROM {}", table(&tenant, "seen"))).await;
        assert_eq!(all, [(); 2].map(|()| ("1s UTC on".to_owned(),)), "{}", tenant.slug());
    }
}

#[tokio::test]
async fn a_function_may_move_the_path_if_it_moves_it_back() {
    let database = database().await;
    let folder = Folder::new();
    open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    // The lexer refuses this in the open.
    let there = "PERFORM set_config('search_path', 'public', true)";
    folder.write("tenant/0001_move.sql", &format!("DO $$ BEGIN {there}; END $$"));
    folder.write("tenant/0002_note.sql", NOTE);
    let error = migrate_one(&open(&database, &folder).await, "acme").await.unwrap_err();
    assert!(error.contains("0001_move.sql: the file leaves `search_path` at `public`"), "{error}");
    folder.write(
        "tenant/0001_move.sql",
        &format!(
            "DO $$ DECLARE path text := current_setting('search_path');
             BEGIN {there}; PERFORM set_config('search_path', path, true); END $$"
        ),
    );
    let tenancy = open(&database, &folder).await;
    assert_eq!(migrate_one(&tenancy, "acme").await, Ok(vec![1, 2]));
    let acme = tenancy.tenant("acme").await.unwrap();
    assert_eq!(Client::owner(&database).await.count(&table(&acme, "note")).await, 0);
}

#[tokio::test]
async fn a_trigger_that_is_deferred_to_the_commit_finds_its_tables() {
    let database = database().await;
    let folder = Folder::new();
    open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    folder.write(
        "tenant/0001_trigger.sql",
        "CREATE TABLE note (id int); CREATE TABLE log (id int);
         CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO log VALUES (NEW.id); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER log_it AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION log_it();
         INSERT INTO note VALUES (1)",
    );
    let tenancy = open(&database, &folder).await;
    assert_eq!(migrate_one(&tenancy, "acme").await, Ok(vec![1]));
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    let mut client = Client::owner(&database).await;
    for tenant in [tenancy.tenant("acme").await.unwrap(), globex] {
        assert_eq!(client.count(&table(&tenant, "log")).await, 1);
    }
}

#[tokio::test]
async fn a_database_that_is_away_fails_only_its_own_tenants() {
    let (main, eu) = (database().await, database().await);
    let alias = Alias::parse("eu").unwrap();
    let folder = Folder::of(&[NOTE]);
    let open = async || {
        builder(&main)
            .database_as(alias.clone(), config(&eu))
            .migrations(folder.migrations())
            .connect()
            .await
            .unwrap()
    };
    let tenancy = open().await;
    tenancy.create(NewTenant::new("acme").database(alias.clone())).await.unwrap();
    tenancy.create(NewTenant::new("globex")).await.unwrap();
    folder.write("tenant/0002_tag.sql", "CREATE TABLE tag (name text)");
    let tenancy = open().await;
    let mut superuser = Client::superuser(&main).await;
    let name = eu.name();
    superuser.run(&format!("UPDATE pg_database SET datallowconn = false WHERE datname = '{name}'")).await;
    let backends =
        format!("(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}') x");
    superuser.count(&backends).await;
    let diary = Diary::default();
    let summary = tenancy.migrate(Fleet::all(), &diary).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 1), "{diary:?}");
    superuser.run(&format!("UPDATE pg_database SET datallowconn = true WHERE datname = '{name}'")).await;
    check_migrated(&tenancy, &[("master", &[]), ("acme", &[2]), ("globex", &[])]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_one_of_which_waits_apply_each_file_once() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = open(&database, &folder).await;
    for number in 0..10 {
        tenancy.create(NewTenant::new(format!("tenant-{number}"))).await.unwrap();
    }
    folder.write("master/0001_plan.sql", "CREATE TABLE plan (id int)");
    folder.write("tenant/0002_body.sql", "ALTER TABLE note ADD COLUMN body text");
    folder.write(
        "tenant/0003_index.sql",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY note_body ON note (body)",
    );
    folder.write("tenant/0004_row.sql", "INSERT INTO note (title) VALUES ('once')");
    let tenancies = [open(&database, &folder).await, open(&database, &folder).await, tenancy];
    let [one, two, _] = &tenancies;
    let run = async |tenancy: &Tenancy| {
        let options = MigrateOptions { wait: true, ..MigrateOptions::default() };
        tenancy.migrate(options, unobserved).await.unwrap()
    };
    let (first, second) = tokio::join!(run(one), run(two));
    assert_eq!(first.failed + second.failed, 0);
    assert_eq!(first.migrated + second.migrated, 11, "{first:?} {second:?}");
    let mut client = Client::owner(&database).await;
    for tenant in one.tenants_after("", 100).await.unwrap() {
        assert_eq!(client.count(&table(&tenant, "note")).await, 1, "{tenant:?}");
        assert_eq!(ledger(&mut client, &tenant).await, [(1, true), (2, true), (3, true), (4, true)]);
        assert_eq!(tenant.last_error(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_terminated_stops_the_file_and_repeating_helps() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = open(&database, &folder).await;
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    let slow = "CREATE TABLE half (id int);\nSELECT pg_sleep(60) WHERE current_schema() LIKE 't\\_acme%' AND \
                NOT EXISTS (SELECT FROM public.lucky)";
    folder.write("tenant/0002_slow.sql", slow);
    let mut client = Client::superuser(&database).await;
    client.run("CREATE TABLE public.lucky (); GRANT SELECT ON public.lucky TO PUBLIC").await;
    let tenancy = open(&database, &folder).await;

    let diary: &'static Diary = Box::leak(Box::default());
    let run = tokio::spawn({
        let tenancy = tenancy.clone();
        async move { tenancy.migrate(Fleet::all(), diary).await }
    });
    let sleeper = "(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' \
                    AND datname = current_database()) killed";
    eventually("the slow file runs", async || client.count(sleeper).await == 1).await;
    let summary = run.await.unwrap().unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 1), "globex does not suffer");
    let entries = diary.0.lock().unwrap().clone();
    let error = entries.iter().find_map(|(who, _, error)| error.clone().filter(|_| who == "acme"));
    check_failed(
        Err(error.unwrap()),
        &["0002_slow.sql:2", "terminating connection due to administrator command", "tenant `acme`"],
    );
    let acme = tenancy.tenant("acme").await.unwrap();
    assert!(acme.last_error().is_some(), "{acme:?}");
    assert_eq!(ledger(&mut client, &acme).await, [(1, true)], "the file left nothing");

    client.run("ALTER TABLE public.lucky ADD COLUMN id int; INSERT INTO public.lucky VALUES (1)").await;
    assert_eq!(migrate_one(&tenancy, "acme").await, Ok(vec![2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_run_leaves_every_schema_at_the_end_of_some_file() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = open(&database, &folder).await;
    for number in 0..12 {
        tenancy.create(NewTenant::new(format!("tenant-{number}"))).await.unwrap();
    }
    let mut client = Client::owner(&database).await;
    let idle = "pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    for version in 2..12 {
        folder.write(&format!("tenant/{version:04}_step.sql"), &format!("CREATE TABLE t{version} (id int)"));
        let tenancy = open(&database, &folder).await;
        let limit = crate::support::random_up_to(Duration::from_millis(60));
        let _ = tokio::time::timeout(limit, tenancy.migrate(Fleet::all(), unobserved)).await;
        let agree = "tenantry.tenant t JOIN tenantry.applied a USING (schema_name) WHERE version IS DISTINCT FROM \
                     (SELECT max(substr(tablename, 2)::int) FROM pg_tables WHERE schemaname = t.schema_name \
                      AND tablename ~ '^t[0-9]+$')";
        let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
        assert_eq!(summary.failed, 0);
        assert_eq!(client.count(agree).await, 0, "the summary and the tables disagree");
    }
    eventually("no transaction stays open", async || client.count(idle).await == 0).await;
}

async fn owns_types(tenancy: &Tenancy, tenant: &Tenant) -> bool {
    tenancy.tenant(tenant.slug().as_str()).await.unwrap().owns_types()
}

#[tokio::test]
async fn whether_a_schema_owns_types_is_recorded() {
    let database = database().await;
    let folder = Folder::of(&[NOTE, "CREATE VIEW all_notes AS SELECT * FROM note; CREATE SEQUENCE s"]);
    let acme = open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    assert!(!acme.owns_types(), "the row types of tables and views do not count");
    let steps = [
        ("CREATE TYPE pair AS (a int, b int)", true),
        ("DROP TYPE pair", false),
        ("CREATE DOMAIN positive AS int CHECK (value > 0)", true),
        ("DROP DOMAIN positive", false),
        ("CREATE TYPE mood AS ENUM ('happy')", true),
    ];
    for (version, (sql, expect)) in (3..).zip(steps) {
        folder.write(&format!("tenant/{version:04}_step.sql"), sql);
        let tenancy = open(&database, &folder).await;
        assert_eq!(migrate_one(&tenancy, "acme").await, Ok(vec![version]));
        assert_eq!(owns_types(&tenancy, &acme).await, expect, "{sql}");
    }
}

#[tokio::test]
async fn other_processes_hear_that_the_fleet_was_migrated() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let there = tenancy(&database, &[NOTE]).await;
    let acme = there.create(NewTenant::new("acme")).await.unwrap();
    folder.write("tenant/0002_type.sql", "CREATE TYPE mood AS ENUM ('happy')");
    let here = open(&database, &folder).await;
    assert!(!owns_types(&there, &acme).await);
    here.migrate(Fleet::all(), unobserved).await.unwrap();
    eventually("the other process knows", async || owns_types(&there, &acme).await).await;
}

/// Ten attempts within a second would not do: the pauses between four take three and a half.
fn impatient(attempts: u32) -> MigrateOptions {
    let mut options = MigrateOptions::from(Fleet::all());
    options.limits.lock_timeout = Duration::from_millis(200);
    options.attempts = NonZeroU32::new(attempts).unwrap();
    options
}

#[tokio::test]
async fn who_holds_the_lock_is_named_and_the_tenant_is_tried_again() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = open(&database, &folder).await;
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    folder.write("tenant/0002_done.sql", "ALTER TABLE note ADD done bool");
    let tenancy = open(&database, &folder).await;
    let acme = tenancy.tenant("acme").await.unwrap();
    let mut report = Client::owner(&database).await;
    report.run("BEGIN").await;
    report.count(&table(&acme, "note")).await;

    let diary = Diary::default();
    let summary = tenancy.migrate(impatient(2), &diary).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 1), "{diary:?}");
    let entries = diary.0.into_inner().unwrap();
    let (_, _, error) = entries.iter().find(|(who, ..)| who == "acme").unwrap();
    let error = error.as_deref().unwrap();
    for part in
        ["0002_done.sql:1", "lock timeout", "it waited for process ", "idle in transaction", "count(*)"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }

    // It goes away during the pause after the first attempt, which takes at least a quarter second.
    let release = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        report.run("ROLLBACK").await;
    };
    let (summary, ()) = tokio::join!(tenancy.migrate(impatient(4), unobserved), release);
    let summary = summary.unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 0));
}

#[tokio::test]
async fn a_ledger_that_is_not_what_its_summary_says_is_believed() {
    let database = database().await;
    let folder = Folder::of(&[NOTE, "CREATE TABLE tag (name text)"]);
    let tenancy = open(&database, &folder).await;
    for slug in ["acme", "globex", "initech"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    let globex = tenancy.tenant("globex").await.unwrap();
    let mut client = Client::owner(&database).await;
    let second = format!("DELETE FROM {} WHERE version = 2", table(&globex, "_sqlx_migrations"));
    client.run(&second).await;
    client.run(&format!("DROP TABLE {}", table(&globex, "tag"))).await;
    folder.write("tenant/0003_done.sql", "ALTER TABLE note ADD done bool");
    let tenancy = open(&database, &folder).await;
    check_migrated(&tenancy, &[("master", &[]), ("acme", &[3]), ("globex", &[2, 3]), ("initech", &[3])])
        .await;
}

#[tokio::test]
async fn as_many_tenants_as_jobs_are_migrated_at_a_time() {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = open(&database, &folder).await;
    for number in 0..7 {
        tenancy.create(NewTenant::new(format!("tenant-{number}"))).await.unwrap();
    }
    folder.write("tenant/0002_slow.sql", "SELECT pg_sleep(0.3)");
    let tenancy = open(&database, &folder).await;
    let mut options = MigrateOptions::from(Fleet::all());
    options.jobs = NonZeroU32::new(3).unwrap();
    let mut client = Client::superuser(&database).await;
    let watch = async {
        let mut most = 0;
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let at_work = "pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
            most = most.max(client.count(at_work).await);
        }
        most
    };
    let (summary, most) = tokio::join!(tenancy.migrate(options, unobserved), watch);
    assert_eq!(summary.unwrap().migrated, 7);
    assert_eq!(most, 3);
}
