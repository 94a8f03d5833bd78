//! Changes outside of a file's schema, as the server's catalogs and locks tell them.

use tenantry::migrate::MigrateOptions;
use tenantry::{ErrorKind, Fleet, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::{
    Client, Folder, NOTHING, builder, check_error, database, eventually, ledger, report, unobserved,
};

const NOTE: &str = "CREATE TABLE note (id int PRIMARY KEY, title text);
                    CREATE TABLE tag (note int CONSTRAINT tag_note REFERENCES note);
                    CREATE TABLE bill (plan int CONSTRAINT bill_plan REFERENCES public.plan);
                    CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'";

/// Objects that several tenants see.
const SHARED: &str = "CREATE TABLE public.plan (id int PRIMARY KEY, name text);
                      CREATE SEQUENCE public.drawn;
                      CREATE TYPE public.mood AS ENUM ('good');
                      CREATE DOMAIN public.price AS int;
                      CREATE FUNCTION public.two() RETURNS int LANGUAGE sql AS 'SELECT 2';
                      CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.log (line text)";

/// Each is undone, and what it would have changed is named.
const OUTSIDE: &[(&str, &str)] = &[
    ("CREATE TABLE public.leak (id int)", "public.leak"),
    ("CREATE VIEW elsewhere.leak AS SELECT 1", "elsewhere.leak"),
    ("CREATE INDEX ON public.plan (name)", "public.plan"),
    ("ALTER TABLE public.plan ADD COLUMN x int", "public.plan"),
    ("ALTER TABLE note SET SCHEMA public", "public.note"),
    ("INSERT INTO elsewhere.log VALUES ('x')", "elsewhere.log"),
    ("UPDATE public.plan SET name = ''", "public.plan"),
    ("DROP TABLE elsewhere.log", "elsewhere.log"),
    ("DROP TABLE public.plan CASCADE", "public.plan"),
    ("DROP SEQUENCE public.drawn", "public.drawn"),
    ("SELECT nextval('public.drawn')", "public.drawn"),
    ("COMMENT ON TABLE public.plan IS 'x'", "public.plan"),
    ("CREATE POLICY p ON public.plan", "public.plan"),
    (
        "CREATE TRIGGER t BEFORE UPDATE ON public.plan EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "public.plan",
    ),
    ("DROP TABLE bill; ALTER TABLE public.plan ADD COLUMN x int", "public.plan"),
    ("CREATE FUNCTION public.three() RETURNS int LANGUAGE sql AS 'SELECT 3'", "function public.three()"),
    (
        "CREATE FUNCTION elsewhere.three() RETURNS int LANGUAGE sql AS 'SELECT 3'",
        "function elsewhere.three()",
    ),
    // Since 15.20 the server locks the function, and is seen to.
    ("CREATE OR REPLACE FUNCTION public.two() RETURNS int LANGUAGE sql AS 'SELECT 3'", "public.two()"),
    ("ALTER FUNCTION public.two() STABLE", "function public.two()"),
    ("DROP FUNCTION public.two()", "public.two"),
    ("CREATE TYPE public.kind AS ENUM ('a')", "type public.kind"),
    ("ALTER TYPE public.mood ADD VALUE 'bad'", "public.mood"),
    ("ALTER DOMAIN public.price SET DEFAULT 1", "type public.price"),
    ("DROP DOMAIN public.price", "public.price"),
    ("CREATE COLLATION public.c FROM \"C\"", "collation public.c"),
    ("GRANT SELECT ON public.plan TO PUBLIC", "table public.plan"),
    ("REVOKE EXECUTE ON FUNCTION public.two() FROM PUBLIC", "function public.two()"),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA elsewhere, public GRANT SELECT ON TABLES TO PUBLIC",
        "default privileges",
    ),
    ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "default privileges"),
    ("CREATE SCHEMA another", "a schema"),
    ("DROP SCHEMA elsewhere CASCADE", "elsewhere.log"),
    ("CREATE PUBLICATION p", "a publication"),
    ("SELECT lo_create(0)", "a large object"),
    ("DO $$ BEGIN EXECUTE 'CREATE TABLE pub' || 'lic.leak ()'; END $$", "public.leak"),
    (
        "DO $$ BEGIN BEGIN CREATE FUNCTION public.three() RETURNS int LANGUAGE sql AS 'SELECT 3';
           EXCEPTION WHEN others THEN NULL; END; END $$",
        "function public.three()",
    ),
    (
        "DO $$ BEGIN PERFORM set_config('search_path', 'public', false); END $$; CREATE TABLE leak ()",
        "`public`",
    ),
    ("DO $$ BEGIN SET LOCAL search_path TO elsewhere; END $$", "`search_path` at `elsewhere`"),
    ("DO $$ BEGIN DELETE FROM _sqlx_migrations; END $$", "its own row from the ledger"),
];

/// Each is the tenant's own affair.
const INSIDE: &[&str] = &[
    "CREATE TABLE a (id int PRIMARY KEY, b int REFERENCES note, c int CONSTRAINT c REFERENCES public.plan)",
    "ALTER TABLE note ADD COLUMN done boolean, ADD CONSTRAINT titled CHECK (title <> '')",
    "ALTER TABLE note ADD COLUMN plan int CONSTRAINT note_plan REFERENCES public.plan",
    "ALTER TABLE bill DROP CONSTRAINT bill_plan",
    "ALTER TABLE bill DROP COLUMN plan",
    "DROP TABLE bill",
    "DROP TABLE tag, note; CREATE TABLE note ()",
    "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2'; ALTER FUNCTION one() STABLE;
     REVOKE EXECUTE ON FUNCTION one() FROM PUBLIC; CREATE FUNCTION three() RETURNS int LANGUAGE sql AS 'SELECT 3'",
    "DROP FUNCTION one()",
    "CREATE TYPE kind AS ENUM ('a'); CREATE DOMAIN price AS int; ALTER DOMAIN price SET DEFAULT 1",
    "CREATE TEMP TABLE a (id int PRIMARY KEY, b text); INSERT INTO a VALUES (1, 'x'); DROP TABLE a",
    "CREATE VIEW v AS SELECT * FROM public.plan; CREATE MATERIALIZED VIEW m AS SELECT * FROM v; DROP VIEW v CASCADE",
    "CREATE TABLE p (i int) PARTITION BY RANGE (i); CREATE TABLE q PARTITION OF p DEFAULT;
     ALTER TABLE p DETACH PARTITION q; DROP TABLE q",
    "INSERT INTO note SELECT i, repeat('x', 3000) FROM generate_series(1, 50) i; TRUNCATE note CASCADE",
    "SELECT * FROM public.plan FOR KEY SHARE",
    "DO $$ BEGIN BEGIN CREATE FUNCTION three() RETURNS int LANGUAGE sql AS 'SELECT 3';
       EXCEPTION WHEN others THEN NULL; END; END $$",
    "GRANT SELECT ON note TO PUBLIC; COMMENT ON TABLE note IS 'x'; COMMENT ON FUNCTION one() IS 'y'",
    "CREATE INDEX ON note (title); REINDEX TABLE note; ANALYZE note",
    "CREATE TABLE a (s serial, i int GENERATED ALWAYS AS IDENTITY); ALTER TABLE a DROP COLUMN s",
    "CREATE COLLATION c FROM \"C\"; CREATE STATISTICS s ON id, title FROM note; DROP STATISTICS s",
    "CREATE RULE r AS ON INSERT TO note DO NOTHING; DROP RULE r ON note; ALTER TABLE note RENAME TO notes",
    "SET lock_timeout = '1s'; SELECT 1",
    "CREATE EXTENSION IF NOT EXISTS plpgsql",
    "-- lint: allow outside-name\nCREATE TABLE IF NOT EXISTS public.allowed (); GRANT SELECT ON public.plan TO PUBLIC",
];

/// An installation with a tenant, and a folder whose second file is to come.
async fn installed() -> (ScratchDatabase, Folder) {
    let (database, folder) = (database().await, Folder::of(&[NOTE]));
    Client::owner(&database).await.run(SHARED).await;
    open(&database, &folder).await.create(NewTenant::new("acme")).await.unwrap();
    (database, folder)
}

async fn open(database: &ScratchDatabase, folder: &Folder) -> Tenancy {
    builder(database).migrations(folder.migrations()).connect().await.unwrap()
}

#[tokio::test]
async fn what_a_file_changes_outside_is_undone_and_named() {
    let (database, folder) = installed().await;
    let mut client = Client::owner(&database).await;
    for (sql, name) in OUTSIDE {
        folder.write("tenant/0002_bad.sql", sql);
        let tenancy = open(&database, &folder).await;
        let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
        let acme = tenancy.tenant("acme").await.unwrap();
        let error = acme.last_error().unwrap_or_default();
        assert_eq!(summary.failed, 1, "{sql}");
        assert!(error.contains("0002_bad.sql") && error.contains(name), "{sql}: {error}");
        assert_eq!(ledger(&mut client, &acme).await, [(1, true)], "{sql}");
        let created = tenancy.create(NewTenant::new("globex")).await;
        assert!(created.is_err(), "{sql}");
        check_error(created, ErrorKind::Migration, &["0002_bad.sql", name]);
        assert_eq!(client.traces("globex").await, NOTHING, "{sql}");
    }
    assert_eq!(client.count("pg_class WHERE relname = 'leak'").await, 0);
}

#[tokio::test]
async fn what_a_file_changes_in_its_schema_is_its_own_affair() {
    let (database, folder) = installed().await;
    let mut client = Client::owner(&database).await;
    for sql in INSIDE {
        // Nobody else has applied another second file.
        client.run("TRUNCATE tenantry.tenant, tenantry.applied CASCADE").await;
        open(&database, &folder).await.create(NewTenant::new("late")).await.unwrap();
        folder.write("tenant/0002_good.sql", sql);
        let tenancy = open(&database, &folder).await;
        if let Err(error) = tenancy.create(NewTenant::new("new")).await {
            panic!("{sql}: {}", report(&error));
        }
        let mut told = Vec::new();
        let seen = std::sync::Mutex::new(&mut told);
        let tell = |outcome: &tenantry::observe::Outcome<'_>| {
            seen.lock().unwrap().extend(outcome.error.map(report));
        };
        let summary = tenancy.migrate(Fleet::all(), tell).await.unwrap();
        assert_eq!((summary.migrated, summary.failed), (1, 0), "{sql}: {told:?}");
        folder.remove("tenant/0002_good.sql");
    }
}

#[tokio::test]
async fn a_file_after_one_that_may_is_judged_by_what_it_does_itself() {
    let (database, folder) = installed().await;
    folder
        .write("tenant/0002_may.sql", "-- lint: allow outside-name\nINSERT INTO elsewhere.log VALUES ('x')");
    folder.write("tenant/0003_own.sql", "ALTER TABLE note ADD COLUMN done boolean");
    folder.write("tenant/0004_own.sql", "CREATE FUNCTION four() RETURNS int LANGUAGE sql AS 'SELECT 4'");
    let tenancy = open(&database, &folder).await;
    assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().migrated, 1);
    folder.write("tenant/0005_bad.sql", "UPDATE public.plan SET name = ''");
    let created = open(&database, &folder).await.create(NewTenant::new("globex")).await;
    check_error(created, ErrorKind::Migration, &["0005_bad.sql", "public.plan"]);
}

#[tokio::test]
async fn a_file_of_the_master_works_in_its_schema_and_in_those_of_extensions() {
    let (database, folder) = installed().await;
    for (sql, name) in [
        ("CREATE TABLE elsewhere.leak ()", "elsewhere.leak"),
        ("INSERT INTO elsewhere.log VALUES ('x')", "elsewhere.log"),
    ] {
        folder.write("master/0001_bad.sql", sql);
        let migrated = open(&database, &folder).await.migrate(Fleet::all(), unobserved).await;
        check_error(migrated, ErrorKind::Migration, &["0001_bad.sql", name]);
    }
    folder.remove("master/0001_bad.sql");
    folder.write(
        "master/0002_good.sql",
        "CREATE TABLE country (id int); CREATE TABLE extensions.a ();
         GRANT SELECT ON country TO PUBLIC; CREATE PUBLICATION p",
    );
    let tenancy = open(&database, &folder).await;
    let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_the_same_row_of_a_catalog_at_once_tries_again() {
    let (database, folder) = installed().await;
    folder.write(
        "tenant/0002_grant.sql",
        "-- lint: allow outside-name\nGRANT USAGE ON SCHEMA elsewhere TO PUBLIC",
    );
    let tenancy = open(&database, &folder).await;
    let (mut other, mut client) = (Client::owner(&database).await, Client::owner(&database).await);
    other.run("BEGIN; GRANT CREATE ON SCHEMA elsewhere TO PUBLIC").await;
    let run = tokio::spawn(async move {
        let options: MigrateOptions = Fleet::all().into();
        tenancy.migrate(options, unobserved).await
    });
    eventually("the run waits", async || {
        let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        client.count(waiting).await == 1
    })
    .await;
    other.run("COMMIT").await;
    let summary = run.await.unwrap().unwrap();
    assert_eq!((summary.migrated, summary.failed), (1, 0));
}
