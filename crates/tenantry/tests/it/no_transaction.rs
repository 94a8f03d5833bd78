//! Files that must not run in a transaction, and what is left of them when they are interrupted.

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
        for words in ["0002_alone.sql` was interrupted", "tenant `acme`", "hint: find out how far it came"] {
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(ledger(&mut setting.client, &setting.acme).await, [(1, true), (2, false)]);
    }
    // As the hint says: undo it by hand, then migrate again.
    setting.client.run("DELETE FROM _sqlx_migrations WHERE version = 2").await;
    setting.migrate().await.unwrap();
    assert_eq!(ledger(&mut setting.client, &setting.acme).await, [(1, true), (2, true), (3, true)]);
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
