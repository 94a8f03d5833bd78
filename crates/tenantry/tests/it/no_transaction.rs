//! Files that must not run in a transaction, and what is left of them when they are interrupted.

use tenantry::migrate::{Mark, Marking, MigrateOptions};
use tenantry::tenant::Tenant;
use tenantry::{ErrorKind, Fleet, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::{
    Client, Folder, builder, check_error, database, eventually, ledger, slug, table, unobserved,
};

const NOTE: &str = "CREATE TABLE note (id int, title text); INSERT INTO note VALUES (1, 'same'), (2, 'same')";

struct Setting {
    database: ScratchDatabase,
    folder: Folder,
    client: Client,
    acme: Tenant,
}

/// A tenant at version 1, and a file of version 2 that it has not seen.
async fn pending(sql: &str) -> Setting {
    let database = database().await;
    let folder = Folder::of(&[NOTE]);
    let tenancy = builder(&database).migrations(folder.migrations()).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    folder.write("tenant/0002_alone.sql", &format!("-- no-transaction\n{sql}"));
    let mut client = Client::owner(&database).await;
    client.run(&format!("SET search_path TO \"{}\"", acme.schema())).await;
    Setting { database, folder, client, acme }
}

impl Setting {
    async fn open(&self) -> Tenancy {
        builder(&self.database).migrations(self.folder.migrations()).connect().await.unwrap()
    }

    /// Marks version 2 as a process does that is about to run it, and is killed.
    async fn mark_interrupted(&mut self) {
        let migrations = self.folder.migrations();
        let file = migrations.tenant().get(2).unwrap();
        let mark = "INSERT INTO _sqlx_migrations VALUES (2, 'alone', now(), false, $1, -1)";
        sqlx::query(mark).bind(file.checksum()).execute(self.client.connection()).await.unwrap();
    }

    /// Says what people say of version 2.
    async fn mark(&self, mark: Mark) -> tenantry::Result<Marking> {
        self.open().await.mark(&Fleet::only([slug("acme")]), 2, mark).await
    }

    async fn migrate(&self) -> Result<(), String> {
        let failure = std::sync::Mutex::new(None);
        let observer = |outcome: &tenantry::observe::Outcome<'_>| {
            *failure.lock().unwrap() = outcome.error.map(crate::support::report);
        };
        self.open().await.migrate(Fleet::only([slug("acme")]), observer).await.unwrap();
        failure.into_inner().unwrap().map_or(Ok(()), Err)
    }

    /// Returns true if the index is there, and valid.
    async fn index(&mut self, name: &str) -> Option<bool> {
        let found: Vec<(bool,)> = self
            .client
            .rows(&format!(
                "SELECT indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname = '{name}' \
                 AND relnamespace = '\"{}\"'::regnamespace",
                self.acme.schema()
            ))
            .await;
        found.first().map(|row| row.0)
    }

    async fn check_done(&mut self) {
        assert_eq!(ledger(&mut self.client, &self.acme).await, [(1, true), (2, true)]);
        let tenancy = self.open().await;
        let acme = tenancy.tenant("acme").await.unwrap();
        assert_eq!(acme.digest(), Some(&tenancy.migrations().tenant().digest()));
        assert_eq!(acme.last_error(), None);
        assert_eq!(self.migrate().await, Ok(()));
    }
}

#[tokio::test]
async fn an_interrupted_build_that_was_finished_is_only_noted() {
    let mut setting = pending("CREATE INDEX CONCURRENTLY note_title ON note (title)").await;
    setting.mark_interrupted().await;
    setting.client.run("CREATE INDEX note_title ON note (title)").await;
    let before: i64 = setting.client.value("SELECT 'note_title'::regclass::oid::bigint").await;
    setting.migrate().await.unwrap();
    let after: i64 = setting.client.value("SELECT 'note_title'::regclass::oid::bigint").await;
    assert_eq!(before, after, "it was built again");
    setting.check_done().await;
}

#[tokio::test]
async fn an_interrupted_build_that_never_began_is_done() {
    let mut setting = pending("CREATE INDEX CONCURRENTLY note_title ON note (title)").await;
    setting.mark_interrupted().await;
    setting.migrate().await.unwrap();
    assert_eq!(setting.index("note_title").await, Some(true));
    setting.check_done().await;
}

#[tokio::test]
async fn an_invalid_index_is_removed_and_built_again() {
    let mut setting = pending("CREATE UNIQUE INDEX CONCURRENTLY note_title ON note (title)").await;
    // Twice, because the second run finds what the first one left.
    for _ in 0..2 {
        let text = setting.migrate().await.unwrap_err();
        for words in ["0002_alone.sql:2", "could not create unique index", "is duplicated", "tenant `acme`"] {
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(setting.index("note_title").await, Some(false), "PostgreSQL leaves an invalid index");
        assert_eq!(ledger(&mut setting.client, &setting.acme).await, [(1, true), (2, false)]);
    }
    setting.client.run("DELETE FROM note WHERE id = 2").await;
    setting.migrate().await.unwrap();
    assert_eq!(setting.index("note_title").await, Some(true));
    setting.check_done().await;
}

#[tokio::test]
async fn an_index_with_an_awkward_name_is_found_again() {
    let long = "n".repeat(80);
    for (written, stored) in [
        ("\"Note \"\"Title\"\"\"", "Note \"Title\""),
        ("Note_TITLE", "note_title"),
        ("NOTE_ÄTITLE", "note_Ätitle"),
        (long.as_str(), &long[..63]),
    ] {
        let mut setting =
            pending(&format!("CREATE UNIQUE INDEX CONCURRENTLY {written} ON note (title)")).await;
        setting.migrate().await.unwrap_err();
        assert_eq!(setting.index(stored).await, Some(false), "{written}");
        setting.client.run("DELETE FROM note WHERE id = 2").await;
        assert_eq!(setting.migrate().await, Ok(()), "{written}");
        assert_eq!(setting.index(stored).await, Some(true), "{written}");
    }
}

#[tokio::test]
async fn anything_else_that_was_interrupted_stops_with_a_hint() {
    let mut setting = pending("VACUUM note").await;
    setting.mark_interrupted().await;
    setting.folder.write("tenant/0003_more.sql", "CREATE TABLE more ()");
    for _ in 0..2 {
        let text = setting.migrate().await.unwrap_err();
        for words in
            ["0002_alone.sql` was interrupted", "tenant `acme`", "how far it came", "--mark-pending 2"]
        {
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(ledger(&mut setting.client, &setting.acme).await, [(1, true), (2, false)]);
    }
    // As the hint says.
    let marking = setting.mark(Mark::Pending).await.unwrap();
    assert_eq!((marking.marked, marking.untouched), (1, 0));
    assert_eq!(ledger(&mut setting.client, &setting.acme).await, [(1, true)]);
    setting.migrate().await.unwrap();
    assert_eq!(ledger(&mut setting.client, &setting.acme).await, [(1, true), (2, true), (3, true)]);
}

#[tokio::test]
async fn an_interrupted_file_may_be_taken_for_done() {
    let mut setting = pending("VACUUM note").await;
    setting.mark_interrupted().await;
    setting.migrate().await.unwrap_err();
    assert_eq!(setting.mark(Mark::Applied).await.unwrap().marked, 1);
    setting.migrate().await.unwrap();
    setting.check_done().await;
}

#[tokio::test]
async fn an_index_that_is_not_valid_is_never_taken_for_done() {
    let mut setting = pending("CREATE UNIQUE INDEX CONCURRENTLY note_title ON note (title)").await;
    setting.migrate().await.unwrap_err();
    let refused = setting.mark(Mark::Applied).await;
    check_error(refused, ErrorKind::Migration, &["index `note_title` is missing or not valid"]);
    assert_eq!(ledger(&mut setting.client, &setting.acme).await, [(1, true), (2, false)]);

    // Neither by the server, which leaves alone what is there.
    let mut setting =
        pending("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS note_title ON note (title)").await;
    let build = "CREATE UNIQUE INDEX CONCURRENTLY note_title ON note (title)";
    setting.client.try_run(build).await.unwrap_err();
    assert_eq!(setting.index("note_title").await, Some(false));
    setting.client.run("DELETE FROM note WHERE id = 2").await;
    let text = setting.migrate().await.unwrap_err();
    assert!(text.contains("index `note_title` is not valid") && text.contains("migrate again"), "{text}");
    setting.migrate().await.unwrap();
    assert_eq!(setting.index("note_title").await, Some(true));
    setting.check_done().await;
}

const TWO: &str = "SET lock_timeout = '5s';\nCREATE INDEX CONCURRENTLY note_id ON note (id);\n\
                   CREATE UNIQUE INDEX CONCURRENTLY note_title ON note (title);";

#[tokio::test]
async fn several_indexes_are_judged_each_by_itself() {
    let mut setting = pending(TWO).await;
    let text = setting.migrate().await.unwrap_err();
    assert!(text.contains("0002_alone.sql:4") && text.contains("could not create unique index"), "{text}");
    assert_eq!(setting.index("note_id").await, Some(true));
    assert_eq!(setting.index("note_title").await, Some(false));
    let before: i64 = setting.client.value("SELECT 'note_id'::regclass::oid::bigint").await;
    setting.client.run("DELETE FROM note WHERE id = 2").await;
    setting.migrate().await.unwrap();
    let after: i64 = setting.client.value("SELECT 'note_id'::regclass::oid::bigint").await;
    assert_eq!(before, after, "what was built is not built again");
    assert_eq!(setting.index("note_title").await, Some(true));
    setting.check_done().await;
}

#[tokio::test]
async fn a_mistake_in_the_second_statement_is_corrected_in_the_file() {
    let mut setting = pending(&TWO.replace("(title)", "(titel)")).await;
    let text = setting.migrate().await.unwrap_err();
    let says = "column \"titel\" does not exist";
    assert!(text.contains("0002_alone.sql:4") && text.contains(says), "{text}");
    assert_eq!(ledger(&mut setting.client, &setting.acme).await, [(1, true), (2, false)]);
    let mended = format!("-- no-transaction\n{}", TWO.replace("UNIQUE", ""));
    setting.folder.write("tenant/0002_alone.sql", &mended);
    setting.migrate().await.unwrap();
    setting.check_done().await;
}

#[tokio::test]
async fn half_of_the_indexes_are_removed_on_the_way_back() {
    let mut setting = pending(TWO).await;
    setting.migrate().await.unwrap_err();
    setting.folder.write("tenant/0001_step.down.sql", "ALTER TABLE note RENAME TO kept");
    let back = MigrateOptions { to: Some(0), ..Fleet::only([slug("acme")]).into() };
    assert_eq!(setting.open().await.migrate(back, unobserved).await.unwrap().failed, 0);
    assert_eq!(setting.index("note_id").await, None);
    assert_eq!(setting.index("note_title").await, None);
    assert_eq!(ledger(&mut setting.client, &setting.acme).await, []);
}

#[tokio::test]
async fn a_setting_is_in_force_in_its_file_and_nowhere_else() {
    let mut setting =
        pending("SET lock_timeout = '77ms';\nCREATE INDEX CONCURRENTLY note_title ON note (title)").await;
    let mut blocker = Client::owner(&setting.database).await;
    blocker.run(&format!("BEGIN; LOCK TABLE {} IN ROW EXCLUSIVE MODE", table(&setting.acme, "note"))).await;
    let options = MigrateOptions { attempts: 1.try_into().unwrap(), ..Fleet::all().into() };
    let summary = setting.open().await.migrate(options, unobserved).await.unwrap();
    assert_eq!(summary.failed, 1, "the build does not wait longer than that");
    let acme = setting.open().await.tenant("acme").await.unwrap();
    assert!(acme.last_error().unwrap().contains("lock timeout"), "{acme:?}");
    blocker.run("ROLLBACK").await;
    let look = "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS it";
    setting.folder.write("tenant/0003_more.sql", look);
    setting.migrate().await.unwrap();
    assert_eq!(setting.client.value::<String>("SELECT it FROM seen").await, "3s");
}

#[tokio::test]
async fn what_needs_no_transaction_says_so_in_the_hint() {
    let partitioned =
        "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE INDEX ON p (id); REINDEX TABLE p";
    for (sql, says) in [
        ("DO $$ BEGIN COMMIT; END $$", "invalid transaction termination"),
        (partitioned, "cannot run inside a transaction block"),
    ] {
        let database = database().await;
        let tenancy = crate::support::tenancy(&database, &[sql]).await;
        let refused = tenancy.create(NewTenant::new("acme")).await;
        check_error(refused, ErrorKind::Migration, &[says, "hint: ", "`-- no-transaction`"]);
    }
}

#[tokio::test]
async fn a_statement_that_cannot_begin_leaves_no_mark() {
    let mut setting = pending("CREATE INDEX CONCURRENTLY note_title ON note (titel)").await;
    let text = setting.migrate().await.unwrap_err();
    assert!(text.contains("0002_alone.sql:2") && text.contains("column \"titel\" does not exist"), "{text}");
    assert_eq!(ledger(&mut setting.client, &setting.acme).await, [(1, true)]);
    setting.folder.write(
        "tenant/0002_alone.sql",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY note_title ON note (title)",
    );
    setting.migrate().await.unwrap();
    setting.check_done().await;
}

#[tokio::test]
async fn a_build_whose_backend_is_terminated_is_done_by_the_next_run() {
    let mut setting = pending("CREATE INDEX CONCURRENTLY note_title ON note (title)").await;
    // An open transaction that uses the table keeps the build waiting.
    let mut blocker = Client::owner(&setting.database).await;
    blocker.run(&format!("BEGIN; LOCK TABLE {} IN ROW EXCLUSIVE MODE", table(&setting.acme, "note"))).await;
    let tenancy = setting.open().await;
    let run = tokio::spawn(async move { tenancy.migrate(Fleet::only([slug("acme")]), unobserved).await });
    let mut superuser = Client::superuser(&setting.database).await;
    let building = "(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%CONCURRENTLY%' \
                     AND wait_event_type = 'Lock' AND datname = current_database()) killed";
    eventually("the build waits", async || superuser.count(building).await == 1).await;
    let summary = run.await.unwrap().unwrap();
    assert_eq!(summary.failed, 1);
    assert_eq!(ledger(&mut setting.client, &setting.acme).await, [(1, true), (2, false)]);
    assert_eq!(setting.index("note_title").await, Some(false));

    blocker.run("ROLLBACK").await;
    setting.migrate().await.unwrap();
    assert_eq!(setting.index("note_title").await, Some(true));
    setting.check_done().await;
}

#[tokio::test]
async fn a_run_that_is_dropped_during_a_build_is_completed_by_the_next_one() {
    let mut setting = pending("CREATE INDEX CONCURRENTLY note_title ON note (title)").await;
    let mut blocker = Client::owner(&setting.database).await;
    blocker.run(&format!("BEGIN; LOCK TABLE {} IN ROW EXCLUSIVE MODE", table(&setting.acme, "note"))).await;
    let tenancy = setting.open().await;
    let run = tokio::spawn(async move { tenancy.migrate(Fleet::all(), unobserved).await });
    let building = "pg_stat_activity WHERE query LIKE '%CONCURRENTLY%' AND wait_event_type = 'Lock' \
                    AND datname = current_database() AND pid <> pg_backend_pid()";
    let mut client = Client::owner(&setting.database).await;
    eventually("the build waits", async || client.count(building).await == 1).await;
    run.abort();
    blocker.run("ROLLBACK").await;
    // The server goes on with it on its own, and keeps the lock of the schema until it is done.
    setting.migrate().await.unwrap();
    assert_eq!(setting.index("note_title").await, Some(true));
    setting.check_done().await;
}

#[tokio::test]
async fn a_new_tenant_runs_such_a_file_too() {
    let setting = pending("VACUUM note").await;
    let tenancy = setting.open().await;
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    let mut client = Client::owner(&setting.database).await;
    assert_eq!(ledger(&mut client, &globex).await, [(1, true), (2, true)]);
}

#[tokio::test]
async fn two_statements_or_a_transaction_are_refused_when_they_are_read() {
    let folder = Folder::new();
    let read = |sql: &str| {
        folder.write("tenant/0001_alone.sql", sql);
        tenantry::Migrations::from_dirs(folder.tenant(), folder.tenant())
            .map(drop)
            .map_err(tenantry::Error::from)
    };
    let two = read("-- no-transaction\nVACUUM note;\nVACUUM tag");
    check_error(two, ErrorKind::Migration, &["0001_alone.sql:3", "exactly one statement", "holds 2"]);
    let none = read("-- no-transaction\n");
    check_error(none, ErrorKind::Migration, &["0001_alone.sql:1", "holds 0"]);
    let outside = read("SELECT 1;\nCREATE INDEX CONCURRENTLY i ON note (title)");
    check_error(
        outside,
        ErrorKind::Migration,
        &["0001_alone.sql:2", "CREATE INDEX CONCURRENTLY", "no-transaction"],
    );
}
