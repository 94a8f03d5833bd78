//! New tenants that start from a snapshot, and the snapshot itself.

mod carried;
mod rows;

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use tenantry::migrate::{BaselineOptions, NewBaseline};
use tenantry::observe::{Step, Steps};
use tenantry::{Error, ErrorKind, Migrations, NewTenant, Tenancy};
use tenantry_embedded::{Binaries, ScratchDatabase};

use crate::support::{Client, Folder, ONE_TENANT, builder, check_error, database, ledger, report, table};

/// Something of everything that a dump writes in a way of its own.
const KINDS: &str = "
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE DOMAIN price AS numeric CONSTRAINT price_positive CHECK (VALUE > 0);
    CREATE TABLE author (id serial PRIMARY KEY, name varchar(80) NOT NULL, mood mood DEFAULT 'good',
        CONSTRAINT author_name CHECK (name IN ('ann', 'bob')));
    CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, author integer NOT NULL,
        title text DEFAULT 'it''s; \\ so', price price, dropped integer,
        CONSTRAINT note_author FOREIGN KEY (author) REFERENCES author (id));
    ALTER TABLE note DROP COLUMN dropped;
    CREATE TABLE \"Odd \"\"name\" (\"Id\" serial, \"select\" text);
    CREATE TABLE event (at date NOT NULL) PARTITION BY RANGE (at);
    CREATE TABLE event_2024 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    COMMENT ON TABLE note IS 'what is; noted';";
const CODE: &str = "
    CREATE VIEW titles AS SELECT note.title, author.name FROM note JOIN author ON author.id = note.author;
    CREATE MATERIALIZED VIEW counts AS SELECT count(*) AS notes FROM note;
    CREATE FUNCTION notes() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM note';
    CREATE FUNCTION safe() RETURNS bigint LANGUAGE sql SET search_path FROM CURRENT AS $$SELECT notes()$$;
    CREATE FUNCTION atomic() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM note; END;
    CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.title := upper(NEW.title); RETURN NEW; END $$;
    CREATE TRIGGER shout BEFORE INSERT ON note FOR EACH ROW EXECUTE FUNCTION shout();
    ALTER TABLE note ENABLE ROW LEVEL SECURITY;
    CREATE POLICY all_notes ON note USING (true);";
const INDEX: &str = "-- no-transaction\nCREATE INDEX CONCURRENTLY note_title ON note (title);";

async fn tenancy(database: &ScratchDatabase, folder: &Folder) -> Tenancy {
    builder(database).migrations(folder.migrations()).connect().await.unwrap()
}

/// Calls `pg_dump` of the server's own programs.
fn dump(database: &ScratchDatabase, arguments: &[String]) -> String {
    let mut command = Command::new(Binaries::find().unwrap().directory().join("pg_dump"));
    let output = command.args(arguments).arg("--dbname").arg(database.url()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn make(
    database: &ScratchDatabase,
    tenancy: &Tenancy,
    options: BaselineOptions,
) -> Result<NewBaseline, Error> {
    tenancy.make_baseline(options, async |arguments: &[String]| Ok(dump(database, arguments))).await
}

async fn check(database: &ScratchDatabase, tenancy: &Tenancy) -> Result<i64, Error> {
    tenancy.check_baseline(async |arguments: &[String]| Ok(dump(database, arguments))).await
}

/// Asserts that no scratch schema stays, whatever happened.
async fn check_nothing_left(database: &ScratchDatabase) {
    let mut client = Client::owner(database).await;
    assert_eq!(client.count("pg_namespace WHERE nspname LIKE 'tenantry\\_baseline%'").await, 0);
    assert_eq!(client.count("tenantry.applied WHERE schema_name LIKE 'tenantry\\_baseline%'").await, 0);
}

/// Files, and a baseline of all of them.
async fn with_baseline(database: &ScratchDatabase, sql: &[&str]) -> Folder {
    let folder = Folder::of(sql);
    let made = make(database, &tenancy(database, &folder).await, BaselineOptions::default()).await;
    folder.write("tenant/baseline.sql", &made.unwrap_or_else(|error| panic!("{}", report(&error))).text);
    folder
}

/// Has enough once a step of this name begins or is done.
struct Until(&'static str, AtomicBool);

impl Steps for &Until {
    fn step(&self, step: Step<'_>) {
        self.1.fetch_or(step.what == self.0, Ordering::SeqCst);
    }

    fn is_cancelled(&self) -> bool {
        self.1.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_baseline_that_is_cancelled_leaves_no_schema() {
    let database = database().await;
    let files: Vec<_> = (0..25).map(|number| format!("CREATE TABLE t{number} ()")).collect();
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let tenancy = tenancy(&database, &Folder::of(&files)).await;
    let mut client = Client::owner(&database).await;
    for step in ["replaying migrations", "writing down what they make", "applying the text"] {
        let until = Until(step, AtomicBool::new(false));
        let dump = async |arguments: &[String]| Ok::<_, Error>(dump(&database, arguments));
        let made = tenancy.make_baseline_observed(BaselineOptions::default(), &until, dump).await;
        match step {
            // The last moment at which it may be cancelled was before.
            "applying the text" => drop(made.unwrap()),
            _ => drop(check_error(made.map(drop), ErrorKind::Migration, &["it was cancelled"])),
        }
        let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'tenantry\\_baseline\\_%'";
        assert_eq!(client.value::<i64>(left).await, 0, "{step}");
    }
}

#[tokio::test]
async fn a_tenant_starts_from_the_baseline_and_applies_what_is_newer() {
    let database = database().await;
    let folder = with_baseline(&database, &[KINDS, CODE, INDEX]).await;
    check_nothing_left(&database).await;
    folder.write("tenant/0004_later.sql", "ALTER TABLE note ADD COLUMN later int;");
    let tenancy = tenancy(&database, &folder).await;
    assert_eq!(check(&database, &tenancy).await.map_err(|error| report(&error)), Ok(3));
    check_nothing_left(&database).await;

    // Other files would be tables twice; so these are from the baseline.
    for slug in ["acme", "globex"] {
        let made =
            tenancy.create(NewTenant::new(slug)).await.unwrap_or_else(|error| panic!("{}", report(&error)));
        assert_eq!(made.digest(), Some(&tenancy.migrations().tenant().digest()));
        let mut client = Client::owner(&database).await;
        assert_eq!(client.traces(slug).await, ONE_TENANT);
        assert_eq!(ledger(&mut client, &made).await, [(1, true), (2, true), (3, true), (4, true)]);
        let rows = table(&made, "_sqlx_migrations");
        let rows: Vec<(i64, Vec<u8>, bool)> = client
            .rows(&format!("SELECT version, checksum, execution_time >= 0 FROM {rows} ORDER BY 1"))
            .await;
        for ((version, checksum, ran), migration) in rows.iter().zip(tenancy.migrations().tenant()) {
            assert_eq!((*version, checksum.as_slice()), (migration.version(), migration.checksum()));
            assert_eq!(*ran, *version == 4, "only what is newer ran: {version}");
        }
        let db = tenancy.db(&made).unwrap();
        sqlx::query("INSERT INTO author (name) VALUES ('ann')").execute(&db).await.unwrap();
        sqlx::query("INSERT INTO note (author, title) VALUES (1, 'quiet')").execute(&db).await.unwrap();
        let found: (String, i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT title FROM titles), (SELECT notes FROM counts), notes(), safe(), atomic()",
        )
        .fetch_one(&db)
        .await
        .unwrap();
        assert_eq!(found, ("QUIET".to_owned(), 0, 1, 1, 1));
    }
}

#[tokio::test]
async fn a_tenant_in_steps_starts_from_the_baseline_too() {
    let database = database().await;
    let folder = with_baseline(&database, &[KINDS, CODE]).await;
    folder.write("tenant/0003_index.sql", INDEX);
    let tenancy = tenancy(&database, &folder).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    let rows = table(&acme, "_sqlx_migrations");
    let rows: Vec<(i64, bool)> =
        client.rows(&format!("SELECT version, execution_time >= 0 FROM {rows} ORDER BY 1")).await;
    assert_eq!(rows, [(1, false), (2, false), (3, true)]);
}

#[tokio::test]
async fn a_baseline_ends_at_the_version_that_was_asked_for() {
    let database = database().await;
    let folder = Folder::of(&["CREATE TABLE a ();", "CREATE TABLE b ();"]);
    let tenancy = tenancy(&database, &folder).await;
    let text = make(&database, &tenancy, BaselineOptions::default().at(1)).await.unwrap().text;
    assert!(text.contains("CREATE TABLE __tenant__.a") && !text.contains("__tenant__.b"), "{text}");
    assert!(!text.contains("_sqlx_migrations") && !text.contains("\\restrict"), "{text}");
    // As an application has it that compiled everything in.
    assert_eq!(folder.migrations().with_baseline(&text).unwrap().baseline().unwrap().version(), 1);
    check_error(
        make(&database, &tenancy, BaselineOptions::default().at(7)).await,
        ErrorKind::InvalidInput,
        &["no tenant migration 7"],
    );
}

#[tokio::test]
async fn files_that_changed_after_the_baseline_are_refused() {
    let database = database().await;
    let folder = with_baseline(&database, &["CREATE TABLE a ();", "CREATE TABLE b ();"]).await;
    folder.write("tenant/0001_step.sql", "CREATE TABLE a (id int);");
    let (master, tenant) = (folder.tenant().with_file_name("master"), folder.tenant());
    let error = Migrations::from_dirs(&master, &tenant).unwrap_err();
    assert!(error.to_string().contains("baseline.sql: it was made from other files"), "{error}");
    assert!(error.hint().unwrap().contains("tenantry baseline"));
}

#[tokio::test]
async fn a_baseline_that_makes_something_else_is_found() {
    let database = database().await;
    let folder = with_baseline(&database, &["CREATE TABLE a (id int, name text);"]).await;
    let file = folder.tenant().join("baseline.sql");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("name text", "name text NOT NULL")).unwrap();
    let result = check(&database, &tenancy(&database, &folder).await).await;
    let error = check_error(
        result,
        ErrorKind::Migration,
        &["is not what the migrations make", "table a.name has `attnotnull true`"],
    );
    assert!(error.hint().unwrap().contains("tenantry baseline"));
    std::fs::write(&file, text.replace("CREATE TABLE", "CREATE TABEL")).unwrap();
    let result = check(&database, &tenancy(&database, &folder).await).await;
    check_error(result, ErrorKind::Migration, &["baseline.sql:8:", "TABEL", "scratch schema"]);
    check_nothing_left(&database).await;
}

#[tokio::test]
async fn a_scratch_schema_that_nobody_works_in_is_removed_by_the_next_run() {
    let database = database().await;
    let folder = Folder::of(&["CREATE TABLE a (id int);"]);
    let tenancy = tenancy(&database, &folder).await;
    let mut client = Client::owner(&database).await;
    let left = format!("tenantry_baseline_{}", "0".repeat(32));
    client.run(&format!("CREATE SCHEMA {left}; CREATE TABLE {left}.a ()")).await;
    let digest = "decode(repeat('00', 32), 'hex')";
    client
        .run(&format!("INSERT INTO tenantry.applied (schema_name, digest) VALUES ('{left}', {digest})"))
        .await;
    // Two at once leave each other alone.
    let options = BaselineOptions::default;
    let (one, other) =
        tokio::join!(make(&database, &tenancy, options()), make(&database, &tenancy, options()));
    assert_eq!(one.unwrap().text, other.unwrap().text);
    check_nothing_left(&database).await;
}

#[tokio::test]
async fn what_no_baseline_can_hold_is_refused_and_leaves_nothing() {
    let database = database().await;
    for (sql, says) in [
        ("CREATE TABLE plan (name text); INSERT INTO plan VALUES ('free');", "leave rows in `plan`"),
        (
            "DO $$ BEGIN EXECUTE format('CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $f$SELECT %L::text$f$', \
             current_schema() || '.x'); END $$;",
            "has the name of its own schema in a body",
        ),
        ("CREATE TABLE broken (id nonsense);", "0001_step.sql:1:"),
    ] {
        let tenancy = tenancy(&database, &Folder::of(&[sql])).await;
        check_error(
            make(&database, &tenancy, BaselineOptions::default()).await,
            ErrorKind::Migration,
            &[says],
        );
        check_nothing_left(&database).await;
    }
    let tenancy = tenancy(&database, &Folder::of(&["CREATE TABLE a ();"])).await;
    let no_dump = async |_: &[String]| Err(Error::invalid_input("no dump"));
    let result = tenancy.make_baseline(BaselineOptions::default(), no_dump).await;
    check_error(result, ErrorKind::InvalidInput, &["no dump"]);
    check_nothing_left(&database).await;
}
